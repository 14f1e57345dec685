// the graph

const PAD = 18, PILL = 24;
data.width += 2 * PAD;
data.height += 2 * PAD;
const pane = document.querySelector("main");
const svg = make("svg", {viewBox: `${-PAD} ${-PAD} ${data.width} ${data.height}`, role: "group", "aria-label": `The computation graph of ${root}`}, pane);
const definitions = make("defs", {}, svg);
for (const [id, fill] of [["forward", "var(--forward)"], ["back", "var(--back)"], ["plain", "var(--edge)"]]) {
  const marker = make("marker", {id, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse"}, definitions);
  make("path", {d: "M0 0L10 5L0 10z", style: `fill:${fill}`}, marker);
}
for (const {label, box: [x, y, w, h]} of data.frames) {
  const g = make("g", {class: "frame"}, svg);
  make("rect", {x, y, width: w, height: h, rx: 14}, g);
}
for (const e of edges) e.line = make("path", {class: "edge", d: e.path}, svg);
for (const {label, box: [x, y]} of data.frames) {
  make("text", {x: x + 14, y: y + 21}, make("g", {class: "frame"}, svg), label);  // above the edges, or they cross it
}
for (const b of boxes) {
  const [x, y, w, h] = b.place, top = b.sign ? y + PILL / 2 : y, height = b.sign ? h - PILL / 2 : h;
  const g = b.g = make("g", {class: `box ${b.kind} pending`, tabindex: 0, role: "button", "data-key": b.key}, svg);
  if (b.kind === "input") {
    make("path", {class: "body", d: `M${x} ${top}h${w - 12}l12 12v${height - 12}h${-w}z`}, g);
    make("path", {class: "body", d: `M${x + w - 12} ${top}v12h12`}, g);
  } else make("rect", {class: "body", x, y: top, width: w, height, rx: b.kind === "result" ? 10 : 1}, g);
  if (b.sign) {
    const wide = Math.max(PILL, b.sign.length * 8 + 14), sign = make("g", {class: "sign"}, g);
    make("rect", {x: x + w / 2 - wide / 2, y, width: wide, height: PILL, rx: PILL / 2}, sign);
    make("text", {x: x + w / 2, y: y + 16.5}, sign, b.sign);
  }
  const line = top + (b.sign ? 27 : 20);
  make("text", {class: "name", x: x + 10, y: line}, g, b.label);
  make("text", {class: "shape", x: x + w - (b.kind === "input" ? 15 : 10), y: line, "text-anchor": "end"}, g, b.shape);
  b.valueAt = make("g", {class: "value"}, g);
  b.gradAt = make("g", {class: "grad"}, g);
  strip(b.valueAt, arrays[b.value], x + 10, line + 8, w - 20, "");
  g.addEventListener("click", () => { pinned = true; choose(b) });
  g.addEventListener("pointerenter", event => { if (event.pointerType === "mouse" && !pinned) choose(b) });
  g.addEventListener("pointerleave", event => { if (event.pointerType === "mouse" && !pinned) choose(null) });
  g.addEventListener("focus", () => { if (g.matches(":focus-visible")) choose(b) });
  g.addEventListener("keydown", event => { if (event.key === "Enter") { pinned = true; choose(b); $("chosen").focus() } });
}

/** A row in a box: a number, or an array as a strip of colours. */
function strip(parent, x, left, top, width, mark) {
  parent.replaceChildren();
  if (!x.data.length) return;
  if (x.data.length === 1) {
    const text = make("text", {x: left, y: top + 11}, parent, `${mark} ${shown(x.data[0])}`.trim());
    if (!finite(x.data[0])) text.style.fill = "var(--bad)";
    return;
  }
  if (mark) make("text", {x: left, y: top + 11}, parent, mark);
  left += 18;
  const most = Math.min(x.data.length, 20), scale = largest(x), each = (width - 18) / most;
  for (let i = 0; i < most; i++) {
    const from = Math.floor(i * x.data.length / most), part = x.data.slice(from, Math.floor((i + 1) * x.data.length / most));
    const bad = part.find(v => !finite(v));
    const mean = bad !== undefined ? bad : part.reduce((a, v) => a + v, 0) / part.length;
    const cell = make("rect", {x: (left + i * each).toFixed(1), y: top, width: (each + .2).toFixed(1), height: 12}, parent);
    cell.style.fill = colour(mean, scale);
  }
}

function fit() {
  const wide = pane.clientWidth, high = pane.clientHeight, phone = matchMedia("(max-width: 820px)").matches;
  const whole = Math.min(wide / data.width, high / data.height);
  const factor = Math.max(phone ? .72 : Math.min(.82, wide / data.width), Math.min(1.35, whole));
  svg.setAttribute("width", data.width * factor);
  svg.setAttribute("height", data.height * factor);
}
function centre(keys, smooth) {
  const shownBoxes = keys.map(k => byKey[k].place), factor = svg.clientWidth / data.width;
  if (!shownBoxes.length) return;
  const x1 = Math.min(...shownBoxes.map(p => p[0])), x2 = Math.max(...shownBoxes.map(p => p[0] + p[2]));
  const y1 = Math.min(...shownBoxes.map(p => p[1])), y2 = Math.max(...shownBoxes.map(p => p[1] + p[3]));
  pane.scrollTo({left: ((x1 + x2) / 2 + PAD) * factor - pane.clientWidth / 2, top: ((y1 + y2) / 2 + PAD) * factor - pane.clientHeight / 2, behavior: smooth && !still.matches ? "smooth" : "auto"});
}
