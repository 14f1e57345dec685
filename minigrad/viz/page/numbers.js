"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const {boxes, edges, steps, arrays, root} = data;
const byKey = Object.fromEntries(boxes.map(b => [b.key, b]));
const $ = id => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
let now = 0, chosen = null, pinned = false, timer = null;
let generation = 0;  // of what is drawn: of the values and of their scale
let prefix = "";  // of the step in the address

function make(tag, attributes, parent, text) {
  const space = parent && parent.namespaceURI.includes("svg") || tag === "svg";
  const it = space ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) it.setAttribute(key, value);
  if (text !== undefined) it.textContent = text;
  if (parent) parent.append(it);
  return it;
}

// numbers

/** A complex number: where a size is needed, its modulus. */
class Complex {
  constructor(re, im) { this.re = re; this.im = im }
  valueOf() { return Math.hypot(this.re, this.im) }
  toString() { return `${this.re}${this.im < 0 ? "-" : "+"}${Math.abs(this.im)}i` }
}
const NAMED = {nan: NaN, inf: Infinity, "-inf": -Infinity};  // as JSON has them
const numeric = v => Array.isArray(v) ? new Complex(...v) : v in NAMED ? NAMED[v] : v;
for (const x of arrays) x.data = x.data.map(numeric);

const finite = v => Number.isFinite(v) || v instanceof Complex;
function shown(v, digits = 4) {
  if (v instanceof Complex) return `${shown(v.re, digits)} ${v.im < 0 ? "−" : "+"} ${shown(Math.abs(v.im), digits)}i`;
  if (!finite(v)) return String(v).replace("-", "−").replace("Infinity", "∞");
  if (v === 0) return "0";
  const size = Math.abs(v);
  const text = size >= 1e-3 && size < 1e5 ? String(Number(v.toPrecision(digits))) : v.toExponential(Math.max(0, digits - 2));
  return text.replaceAll("-", "−").replace("e+", "e");
}
const largest = x => Math.max(0, ...x.data.filter(finite).map(Math.abs));

// colours: violet is negative, green is positive, grey is zero, red is no number

let mode = "own";  // the scale: of each array, "shared" by all values and by all gradients, or "log"arithmic over them
const dark = matchMedia("(prefers-color-scheme: dark)");
function sort() {
  const values = new Set(boxes.map(b => b.value));
  arrays.forEach((x, i) => { x.gradient = !values.has(i) });
}
sort();
const shared = {};
function share() {
  for (const gradient of [false, true]) {
    let high = 0, low = Infinity;
    for (const x of arrays) if (x.gradient === gradient) for (const v of x.data) if (finite(v) && +v) { high = Math.max(high, Math.abs(v)); low = Math.min(low, Math.abs(v)) }
    shared[gradient] = {high, low: Math.min(low, high)};
  }
}
share();

/** The scale of an array's colours: the largest magnitude, and the smallest where it is logarithmic. */
function scaleOf(x) {
  const {high, low} = shared[x.gradient];
  return mode === "own" ? {high: largest(x)} : mode === "shared" ? {high} : {high, low};
}
function colour(v, {high, low}) {
  if (!finite(v)) return "#c8102e";
  const size = Math.abs(v);
  let share = high ? Math.min(1, size / high) : 0;
  if (low && size) share = high > low ? Math.max(.1, .1 + .9 * Math.log(size / low) / Math.log(high / low)) : 1;
  const zero = dark.matches ? [52, 60, 67] : [244, 244, 244];
  const end = dark.matches ? (v < 0 ? [204, 150, 220] : [116, 204, 138]) : v < 0 ? [118, 42, 131] : [27, 120, 55];
  return `rgb(${end.map((c, i) => Math.round(zero[i] + (c - zero[i]) * Math.min(1, share))).join(",")})`;
}
/** Black or white, whichever has more contrast. */
function ink(v, scale) {
  const rgb = finite(v) ? colour(v, scale).match(/\d+/g).map(Number) : [200, 16, 46];
  const [r, g, b] = rgb.map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b > .179 ? "#000" : "#fff";
}

function index(shape, i) {
  const places = [];
  for (const n of [...shape].reverse()) { places.unshift(i % n); i = Math.floor(i / n) }
  return `[${places.join(", ")}]`;
}

/** An array as a table of numbers on colours; without numbers where it is a strip. Its holder's `refill` shows it anew. */
function heat(parent, x, name, numbers, exact = !numbers) {
  const holder = make("div", {class: "wide", "data-of": name}, parent);
  const kind = () => !x.shape.length ? "scalar" : !x.data.length ? "empty" : x.data.length > 16 && x.data.every(v => +v === 0) ? "zero" : "table";
  const full = numbers && x.data.length <= 400, digits = x.data.length > 60 ? 2 : 3;
  let built, cells, readout, note;
  holder.refill = () => {
    if (built !== kind()) build(built = kind());
    if (note) note.textContent = x.note;
    if (built === "scalar") {
      cells[0].className = finite(x.data[0]) ? "scalar" : "scalar bad";
      cells[0].dataset.v = x.data[0];
      cells[0].textContent = shown(x.data[0], 6);
    } else if (built === "table") {
      const scale = scaleOf(x);
      cells.forEach((cell, i) => {
        const v = x.data[i];
        if (cell.dataset.v === String(v) && cell.scale === scale.high) return;
        cell.dataset.v = v;
        cell.scale = scale.high;
        cell.style.background = colour(v, scale);
        if (!full) return;
        cell.textContent = shown(v, digits);
        cell.style.color = ink(v, scale);
      });
      if (readout) readout.textContent = `${x.data.length} numbers, none beyond ±${shown(largest(x), 3)}`;
    }
  };
  holder.refill();
  return holder;

  function build(kind) {
    holder.replaceChildren();
    cells = [];
    note = x.note && make("p", {class: "why"}, holder);
    readout = null;
    if (kind === "scalar") cells = [make("span", {}, holder)];
    if (kind === "empty") make("span", {class: "why"}, holder, "empty");
    if (kind === "zero") make("p", {class: "why"}, holder, `all ${x.data.length} are 0`);
    if (kind !== "table") return;
    const table = make("table", {class: !full ? "heat strip" : x.data.length > 60 ? "heat dense" : "heat", "aria-label": `${name}, ${x.shape.join(" by ")}`}, holder);
    const flat = x.shape.length < 2;
    const columns = flat ? (full && x.data.length > 8 ? 5 : full && x.data.length > 4 ? 4 : Math.min(40, x.data.length)) : Math.min(60, x.shape[x.shape.length - 1]);
    let row;
    x.data.forEach((v, i) => {
      if (i % columns === 0) row = make("tr", {}, table);
      cells.push(make("td", {"data-at": index(x.shape, i)}, row));
    });
    if (full && !exact) return;
    readout = make("div", {class: "readout"}, holder);
    const tell = event => {
      const cell = event.target.closest("td");
      if (cell) readout.textContent = `${name}${cell.dataset.at} = ${cell.dataset.v.replaceAll("-", "−")}`;
    };
    table.addEventListener("pointerover", tell);
    table.addEventListener("click", tell);
  }
}
