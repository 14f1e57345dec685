// the graph: its boxes, and what of it is folded

const PAD = 18, PILL = 24, GAP = 40, MANY = 60, LEAST = 9 / 10.5;  // LEAST: the zoom at which the smallest text has 9 px
const {copies, loops} = data;
const pane = document.querySelector("main");
const svg = make("svg", {role: "group", "aria-label": `The computation graph of ${root}`}, pane);
const definitions = make("defs", {}, svg);
for (const [id, fill] of [["forward", "var(--forward)"], ["back", "var(--back)"], ["plain", "var(--edge)"]]) {
  const marker = make("marker", {id, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse"}, definitions);
  make("path", {d: "M0 0L10 5L0 10z", style: `fill:${fill}`}, marker);
}
const under = make("g", {}, svg), lines = make("g", {}, svg), over = make("g", {}, svg), stubs = make("g", {}, svg);
for (const e of edges) e.line = make("path", {class: "edge", d: e.path}, lines);
const items = [...boxes, ...copies], itemOf = Object.fromEntries(items.map(b => [b.key, b]));
for (const b of items) b.at = b.place;

for (const b of boxes) {  // from the inputs to the output, as the keyboard goes through them
  const [x, y, w, h] = b.place, top = b.sign ? y + PILL / 2 : y, height = b.sign ? h - PILL / 2 : h;
  const g = b.g = make("g", {class: `box ${b.kind} pending`, tabindex: 0, role: "button", "data-key": b.key}, svg);
  body(g, b.kind, x, top, w, height);
  if (b.sign) {
    const wide = Math.max(PILL, b.sign.length * 8 + 14), sign = make("g", {class: "sign"}, g);
    make("rect", {x: x + w / 2 - wide / 2, y, width: wide, height: PILL, rx: PILL / 2}, sign);
    make("text", {x: x + w / 2, y: y + 16.5}, sign, b.sign);
  }
  const line = top + (b.sign ? 27 : 20);
  make("text", {class: "name", x: x + 10, y: line}, g, short(b.label));
  make("text", {class: "shape", x: x + w - (b.kind === "input" ? 15 : 10), y: line, "text-anchor": "end"}, g, b.shape);
  b.valueAt = make("g", {class: "value"}, g);
  b.gradAt = make("g", {class: "grad"}, g);
  b.normAt = make("rect", {class: "norm", x: x + 10, y: y + h - 8, height: 3}, g);
  linked(b, b);
}
for (const c of copies) {
  const b = byKey[c.of], [x, y, w, h] = c.place;
  c.g = make("g", {class: `copy ${b.kind}`, "data-of": b.key}, svg);
  body(c.g, b.kind, x, y, w, h);
  make("text", {class: "name", x: x + w / 2, y: y + 18, "text-anchor": "middle"}, c.g, b.label);
  c.flowAt = make("g", {class: "grad"}, c.g);
  c.edges = edges.flatMap((e, i) => e.copy === c.key ? [i] : []);
  linked(c, b);
}

function short(label) { return label.length > 40 ? `${label.slice(0, 39)}…` : label }
function body(g, kind, x, y, w, h) {
  if (kind === "input") {
    make("path", {class: "body", d: `M${x} ${y}h${w - 12}l12 12v${h - 12}h${-w}z`}, g);
    make("path", {class: "body", d: `M${x + w - 12} ${y}v12h12`}, g);
  } else make("rect", {class: "body", x, y, width: w, height: h, rx: kind === "result" ? 10 : 1}, g);
}

/** What is drawn of a value, the box or a copy of it, answers to the pointer; the others of it light up. */
function linked(it, b) {
  const light = on => { for (const c of [b, ...copies.filter(c => c.of === b.key)]) if (c.g) c.g.classList.toggle("linked", on && c !== it) };
  it.g.addEventListener("click", () => { pinned = true; choose(b) });
  it.g.addEventListener("pointerenter", event => { light(true); if (event.pointerType === "mouse" && !pinned) choose(b) });
  it.g.addEventListener("pointerleave", event => { light(false); if (event.pointerType === "mouse" && !pinned) choose(null) });
  it.g.addEventListener("focus", () => { if (it.g.matches(":focus-visible")) choose(b) });
  it.g.addEventListener("keydown", event => { if (event.key === "Enter") { pinned = true; choose(b); $("chosen").focus() } });
}

/** The length of the bar of a gradient's norm, on a logarithmic scale over the graph. */
function lengthOf(norm) {
  if (!finite(norm) || norm <= 0) return 0;
  const [low, high] = normRange().map(Math.log10);
  return high > low ? .04 + .96 * (Math.log10(norm) - low) / (high - low) : 1;
}
function normRange() {
  const norms = boxes.map(b => b.norm).filter(v => finite(v) && v > 0);
  return [Math.min(...norms), Math.max(...norms)];
}

/** A row in a box: up to four numbers, or an array as a strip of colours. */
function strip(parent, x, left, top, width, mark) {
  const drawn = `${arrays.indexOf(x)} ${generation}`;
  if (parent.drawn === drawn) return;
  parent.drawn = drawn;
  parent.replaceChildren();
  if (!x.data.length) return;
  if (x.data.length <= 4) {
    const several = x.data.length > 1, text = make("text", several ? {class: "several", x: left, y: top + 11} : {x: left, y: top + 11}, parent, mark ? `${mark} ` : "");
    let digits = several ? 4 : 5, texts;
    do texts = Array.from(x.data, v => shown(v, digits - 1)); while (--digits > 2 && several && 7 * texts.join(" ").length + (mark ? 16 : 0) > width);
    texts.forEach((number, i) => {
      const part = make("tspan", i ? {dx: 7} : {}, text, number);
      if (!finite(x.data[i])) part.style.fill = "var(--bad)";
    });
    return;
  }
  if (mark) make("text", {x: left, y: top + 11}, parent, mark);
  left += 18;
  const most = Math.min(x.data.length, 20), scale = scaleOf(x), each = (width - 18) / most;
  for (let i = 0; i < most; i++) {
    const from = Math.floor(i * x.data.length / most), part = x.data.slice(from, Math.floor((i + 1) * x.data.length / most));
    const bad = part.find(v => !finite(v));
    const mean = bad !== undefined ? bad : part.reduce((a, v) => a + v, 0) / part.length;
    const cell = make("rect", {x: (left + i * each).toFixed(1), y: top, width: (each + .2).toFixed(1), height: 12}, parent);
    cell.style.fill = colour(mean, scale);
  }
}

/** Is a box drawn, and not folded away? */
const isShown = b => b.g.style.display !== "none";

/** What the boxes and copies show of the gradients that have arrived, and the values on the scale that is chosen. */
function marks(gradients) {
  const flows = {}, here = new Set((question ? [question.m] : steps[now].moves || []).map(m => m.edge));
  for (let i = 0; i <= known(); i++) for (const m of steps[i].moves || []) flows[m.edge] = m.flow;
  for (const b of boxes.filter(isShown)) {
    const [x, y, w] = b.place;
    strip(b.valueAt, arrays[b.value], x + 10, y + (b.sign ? PILL / 2 + 35 : 28), w - 20, "");
    b.normAt.style.display = gradients[b.key] && gradients[b.key].whole ? "" : "none";
    b.normAt.setAttribute("width", ((w - 20) * lengthOf(b.norm)).toFixed(1));
  }
  for (const c of copies) {
    const back = c.edges.filter(i => i in flows), [x, y, w] = c.place;
    c.g.classList.toggle("target", c.edges.some(i => here.has(i)));
    if (back.length !== 1) { c.flowAt.replaceChildren(); c.flowAt.drawn = "" }
    if (back.length === 1) strip(c.flowAt, arrays[flows[back[0]]], x + 8, y + 26, w - 16, "+");
    else if (back.length) make("text", {x: x + 8, y: y + 37}, c.flowAt, `+ ${back.length} parts`);
  }
}

// folding: a closed scope is a box of its own, and of a rolled loop one step is shown

const places = {};  // of an item in a loop: the loop and the step
const folds = data.frames.map(f => ({...f, of: "scope", closed: false, inside: new Set(f.inside)}));
loops.forEach((steps, i) => {
  const loop = {of: "loop", closed: false, steps, count: steps.length, shown: steps.length - 1};
  steps.forEach((keys, t) => { for (const key of keys) places[key] = {loop, step: t} });
  for (const c of copies) {
    const user = places[edges[c.edges[0]].to];
    if (user && user.loop === loop) { places[c.key] = user; steps[user.step].push(c.key) }
  }
  loop.inside = new Set(steps.flat());
  folds.push(loop);
});
folds.sort((a, b) => b.inside.size - a.inside.size);  // the outermost first
const elsewhere = key => places[key] && places[key].loop.closed && places[key].step !== places[key].loop.shown;

/** What stands for an item: itself, a closed scope around it, or nothing where it is in another step of a loop. */
function seen(key) {
  return elsewhere(key) ? null : folds.find(f => f.of === "scope" && f.closed && f.inside.has(key)) || itemOf[key];
}

/** The map of one coordinate under which what is in the spans keeps its size and wide gaps between them shrink. */
function squeezed(spans) {
  const marks = [];
  let end = null, at = 0;
  for (const [from, to] of spans.sort((a, b) => a[0] - b[0])) {
    if (end !== null && to <= end) continue;
    const start = end === null ? from : Math.max(from, end);
    if (end !== null) at += Math.min(start - end, GAP);
    marks.push([start, at], [to, at += to - start]);
    end = to;
  }
  const map = v => {
    const i = marks.findIndex(m => m[0] >= v);
    if (i < 0) return at + v - end;
    if (i === 0) return v - marks[0][0];
    const [[a, p], [b, q]] = [marks[i - 1], marks[i]];
    return b > a ? p + (v - a) / (b - a) * (q - p) : q;
  };
  return {map, size: at};
}

/** Put everything in its place, for what is folded now. */
function arrange() {
  for (const b of items) b.g.style.display = seen(b.key) === b ? "" : "none";
  const inner = [];  // the rectangles of the folds that are shown, and what is in them
  for (const f of [...folds].reverse()) {
    const keys = [...f.inside].filter(key => !elsewhere(key)), self = f.of === "scope" && f.closed;
    f.visible = keys.some(key => seen(key) === (self ? f : itemOf[key])) || !self && inner.some(o => within(o.fold, f));
    f.place = null;
    if (!f.visible) continue;
    if (self) {
      const [x, y, w, h] = f.box, wide = Math.min(w, Math.max(110, 8 * f.label.length + 58));
      f.place = [x + (w - wide) / 2, y + (h - 46) / 2, wide, 46];
    } else f.around = [...keys.filter(key => seen(key) === itemOf[key]).map(key => itemOf[key].place), ...inner.filter(o => within(o.fold, f)).map(o => o.place)];
    inner.push({fold: f, place: f.place || hullOf(f)});
  }
  const shownItems = [...items.filter(b => seen(b.key) === b), ...folds.filter(f => f.visible && f.place)].map(b => b.place);
  const open = folds.filter(f => f.visible && !f.place);
  const folded = folds.some(f => f.closed), edgesOf = (from, size) => [[from, from + 1], [from + size - 1, from + size]];
  const hulls = open.map(hullOf);
  const across = folded ? squeezed([...shownItems.map(p => [p[0], p[0] + p[2]]), ...hulls.flatMap(p => edgesOf(p[0], p[2]))]) : {map: v => v, size: data.width};
  const down = folded ? squeezed([...shownItems.map(p => [p[1], p[1] + p[3]]), ...hulls.flatMap(p => [[p[1], p[1] + 28], ...edgesOf(p[1], p[3])])]) : {map: v => v, size: data.height};
  const moved = ([x, y, w, h]) => { const left = across.map(x), top = down.map(y); return [left, top, across.map(x + w) - left, down.map(y + h) - top] };
  for (const b of items) {
    if (seen(b.key) !== b) continue;
    b.at = moved(b.place);
    b.g.setAttribute("transform", `translate(${(b.at[0] - b.place[0]).toFixed(1)} ${(b.at[1] - b.place[1]).toFixed(1)})`);
  }
  under.replaceChildren();
  over.replaceChildren();
  stubs.replaceChildren();
  for (const f of folds) if (f.visible) frame(f, f.place ? f.at = moved(f.place) : moved(hullOf(f)));
  joined(across.map, down.map);
  view.width = across.size + 2 * PAD;
  view.height = down.size + 2 * PAD + 14;
  svg.setAttribute("viewBox", `${-PAD} ${-PAD} ${view.width} ${view.height}`);
  scaled();
}
function hull(all, margin, above) {
  const x = Math.min(...all.map(p => p[0])), y = Math.min(...all.map(p => p[1]));
  return [x - margin, y - above, Math.max(...all.map(p => p[0] + p[2])) - x + 2 * margin, Math.max(...all.map(p => p[1] + p[3])) - y + above + margin];
}
const within = (f, outer) => f !== outer && [...f.inside].every(key => outer.inside.has(key));
/** A frame: where Graphviz has put it, or around what is shown of it. */
function hullOf(f) { return f.of === "scope" && !folds.some(o => o.closed) ? f.box : hull(f.around, 12, 32) }

/** A frame, or the box of a closed scope, and the button that opens or closes it. */
function frame(f, [x, y, w, h]) {
  const name = f.of === "loop" ? `×${f.count}${f.closed ? `, step ${f.shown + 1}` : ""}` : f.label;
  const g = f.g = make("g", {class: f.place ? "frame closed" : `frame ${f.of}`}, f.place ? over : under);
  make("rect", {x, y, width: w, height: h, rx: f.place ? 6 : 14}, g);
  if (f.place) make("rect", {x: x + 3, y: y + 3, width: w - 6, height: h - 6, rx: 4}, g);
  const title = make("g", {class: "frame"}, over);  // above the edges, or they cross it
  const middle = f.place ? y + h / 2 : y + 16;
  make("text", {x: x + 32, y: middle + (f.place ? 0 : 5)}, title, name);
  if (f.place) make("text", {class: "count", x: x + 32, y: middle + 14}, title, `${[...f.inside].filter(key => byKey[key] && byKey[key].sign).length} ops`);
  const says = f.of === "loop" ? (f.closed ? `Unroll the loop of ${f.count} steps` : `Roll the loop of ${f.count} steps`) : `${f.closed ? "Open" : "Close"} ${f.label || "the scope"}`;
  const button = make("g", {class: "fold", role: "button", tabindex: 0, "aria-label": says, "aria-expanded": !f.closed}, title);
  make("rect", {x: x + 9, y: middle - 8, width: 16, height: 16, rx: 4}, button);
  make("path", {d: `M${x + 13} ${middle}h8${f.closed ? `m-4 -4v8` : ""}`}, button);
  f.button = button;
  const toggle = () => {
    const before = f.button.getBoundingClientRect();
    f.closed = !f.closed;
    again();
    f.button.focus({preventScroll: true});
    const after = f.button.getBoundingClientRect();
    pane.scrollBy(after.left - before.left, after.top - before.top);  // it stays under the pointer
  };
  button.addEventListener("click", toggle);
  button.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); toggle() } });
}

/** The edges: as they were laid out, to a closed scope straight, and from other steps of a loop as a stub. */
function joined(across, down) {
  const cut = new Map();
  for (const e of edges) {
    const from = seen(e.copy || e.from), to = seen(e.to), itself = from === itemOf[e.copy || e.from] && to === itemOf[e.to];
    e.line.style.display = from && to && from !== to ? "" : "none";
    if (!from !== !to) {
      const [end, other, outward] = from ? [from, e.to, true] : [to, e.copy || e.from, false];
      if (!places[other]) continue;
      const key = `${outward} ${end.at}`;
      if (!cut.has(key)) cut.set(key, {end, outward, loop: places[other].loop, steps: new Set()});
      cut.get(key).steps.add(places[other].step);
    } else if (itself) {
      let odd = false;
      e.line.setAttribute("d", e.path.replace(/-?[\d.]+/g, v => ((odd = !odd) ? across : down)(Number(v)).toFixed(1)));
    } else if (from && to) {
      const x1 = from.at[0] + from.at[2] / 2, y1 = from.at[1] + from.at[3], x2 = to.at[0] + to.at[2] / 2, y2 = to.at[1], bend = Math.max(12, (y2 - y1) / 2);
      e.line.setAttribute("d", `M${x1} ${y1}C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`);
    }
  }
  for (const {end, outward, loop, steps} of cut.values()) {
    const [x, y, w, h] = end.at, left = x + w / 2 - (outward ? -14 : 22), top = outward ? y + h : y - 20 + (end.sign ? PILL / 2 : 0);
    const one = steps.size === 1 ? [...steps][0] : null, text = one === null ? `${steps.size} steps` : `step ${one + 1}`;
    const g = make("g", one === null ? {class: "stub"} : {class: "stub", role: "button", tabindex: 0, "aria-label": `${outward ? "On to" : "From"} ${text}`}, stubs);
    make("path", {d: `M${left} ${top}v20`, "marker-end": "url(#plain)"}, g);
    make("text", {x: left + (outward ? 6 : -6), y: top + 13, "text-anchor": outward ? "start" : "end"}, g, text);
    if (one === null) continue;
    g.addEventListener("click", () => turn(loop, one));
    g.addEventListener("keydown", event => { if (event.key === "Enter") turn(loop, one) });
  }
}

/** Show another step of a rolled loop. */
function turn(loop, step) {
  loop.shown = Math.max(0, Math.min(loop.count - 1, step));
  again();
}
function again() { arrange(); controls(); mark(); paint() }

/** Fold until there are few boxes: roll the loops, then close the scopes, the innermost first. */
function foldMany() {
  const many = () => new Set(items.map(b => seen(b.key)).filter(Boolean)).size > MANY;
  for (const f of [...folds.filter(f => f.of === "loop"), ...folds.filter(f => f.of === "scope").reverse()]) if (many()) f.closed = true;
}

/** Turn a rolled loop to the step that a value is computed in. */
function reveal(key) {
  const at = places[key];
  if (at && at.loop.closed && at.loop.shown !== at.step) turn(at.loop, at.step);
}
/** Mark the closed scope in which something happens. */
function mark() {
  const at = steps[now].box && seen(steps[now].box);
  for (const f of folds) if (f.g) f.g.classList.toggle("active", f === at);
}

// zoom and pan

const view = {width: data.width + 2 * PAD, height: data.height + 2 * PAD, factor: 1, chosen: false};
function scaled() {
  svg.setAttribute("width", view.width * view.factor);
  svg.setAttribute("height", view.height * view.factor);
  if ($("percent")) $("percent").textContent = `${Math.round(100 * view.factor)} %`;
}
/** Zoom, around a point of the window or the middle of the pane, which stays where it is. */
function zoom(factor, x, y) {
  const all = pane.getBoundingClientRect(), before = svg.getBoundingClientRect();
  const [cx, cy] = x === undefined ? [all.left + all.width / 2, all.top + all.height / 2] : [x, y];
  const [u, v] = [(cx - before.left) / view.factor, (cy - before.top) / view.factor];
  view.factor = Math.max(.1, Math.min(4, factor));
  view.chosen = true;
  scaled();
  const after = svg.getBoundingClientRect();
  pane.scrollBy(after.left + u * view.factor - cx, after.top + v * view.factor - cy);
}
const whole = () => Math.min(pane.clientWidth / view.width, pane.clientHeight / view.height);
/** The zoom at the start: the whole graph, but no text below 9 px. */
function fit() {
  if (!view.chosen) view.factor = Math.max(LEAST, Math.min(1.35, whole()));
  scaled();
}
function centre(keys, smooth) {
  const at = steps[now];
  if (at.box) reveal(at.box);
  mark();
  const beside = edges.filter(e => e.copy && e.to === at.box).map(e => e.copy);
  const shownBoxes = [...keys.filter(key => !copies.some(c => c.of === key)), ...beside].map(seen).filter(b => b && b.at).map(b => b.at);
  if (!shownBoxes.length) return;
  const x1 = Math.min(...shownBoxes.map(p => p[0])), x2 = Math.max(...shownBoxes.map(p => p[0] + p[2]));
  const y1 = Math.min(...shownBoxes.map(p => p[1])), y2 = Math.max(...shownBoxes.map(p => p[1] + p[3]));
  pane.scrollTo({left: ((x1 + x2) / 2 + PAD) * view.factor - pane.clientWidth / 2, top: ((y1 + y2) / 2 + PAD) * view.factor - pane.clientHeight / 2, behavior: smooth && !still.matches ? "smooth" : "auto"});
}
function goTo({at: [x, y, w, h]}) {
  pane.scrollTo((x + w / 2 + PAD) * view.factor - pane.clientWidth / 2, (y + h / 2 + PAD) * view.factor - pane.clientHeight / 2);
}
pane.addEventListener("wheel", event => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoom(view.factor * Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
}, {passive: false});
let apart = 0;  // the distance of two fingers
pane.addEventListener("touchmove", event => {
  if (event.touches.length !== 2) { apart = 0; return }
  event.preventDefault();
  const [a, b] = event.touches, distance = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  if (apart) zoom(view.factor * distance / apart, (a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2);
  apart = distance;
}, {passive: false});
pane.addEventListener("touchend", () => { apart = 0 });
pane.addEventListener("pointerdown", event => {
  if (event.pointerType !== "mouse" || event.button || event.target.closest("[role=button], .copy")) return;
  pane.setPointerCapture(event.pointerId);
  pane.classList.add("held");
});
pane.addEventListener("pointermove", event => { if (pane.classList.contains("held")) pane.scrollBy(-event.movementX, -event.movementY) });
for (const end of ["pointerup", "pointercancel"]) pane.addEventListener(end, () => pane.classList.remove("held"));

// the tools above the graph

const tools = make("div", {id: "tools", role: "toolbar", "aria-label": "View"});
pane.before(tools);
function tool(text, says, action, parent = tools) {
  const button = make("button", {"aria-label": says, title: says}, parent, text);
  button.onclick = action;
  return button;
}
tool("−", "Zoom out (-)", () => zoom(view.factor / 1.25));
tool("", "Zoom to 100 % (0)", () => zoom(1)).id = "percent";
tool("+", "Zoom in (+)", () => zoom(view.factor * 1.25));
tool("Fit", "Show the whole graph (f)", () => { zoom(Math.min(1.35, whole())) });
const search = make("input", {type: "search", id: "search", placeholder: "Find a value or an op", "aria-label": "Find a value or an op (/)"}, tools);
const hits = make("span", {class: "hits", role: "status"}, tools);
let hit = -1;
const matching = () => { const text = search.value.trim().toLowerCase(); return text ? boxes.filter(b => [b.label, b.sign].some(s => s.toLowerCase().includes(text))) : [] };
search.addEventListener("input", () => { hit = -1; find(0) });
search.addEventListener("keydown", event => {
  event.stopPropagation();  // what is written is no command
  if (event.key === "Enter") find(event.shiftKey ? -1 : 1);
  else if (event.key === "Escape") { search.value = ""; find(0); choose(null); pane.focus() }
});
/** Mark what is found, and go to another one of it. */
function find(by) {
  const all = matching();
  for (const b of boxes) b.g.classList.toggle("found", all.includes(b));
  if (by && all.length) {
    hit = (hit + by + all.length + (hit < 0 && by < 0 ? 1 : 0)) % all.length;
    const b = all[hit];
    for (const f of folds) if (f.of === "scope" && f.inside.has(b.key)) f.closed = false;
    reveal(b.key);
    again();
    goTo(b);
    pinned = true;
    choose(b);
  }
  hits.textContent = search.value.trim() ? (hit < 0 ? `${all.length} found` : `${hit + 1} of ${all.length}`) : "";
}
const colours = make("label", {class: "colours"}, tools, "Colours ");
const modes = make("select", {id: "scale", "aria-label": "The scale of the colours"}, colours);
for (const [value, text] of [["own", "this array"], ["shared", "shared"], ["log", "logarithmic"]]) make("option", {value}, modes, text);
modes.onchange = () => { mode = modes.value; generation++; share(); legend(); show(now, false) };
modes.addEventListener("keydown", event => event.stopPropagation());
const key = make("span", {class: "scale", id: "colours"}, tools);
/** The scale of the colours and of the bars, in numbers. */
function legend() {
  key.replaceChildren();
  const about = (x, name) => { const {low, high} = scaleOf(x); return `${name} ${low ? `±${shown(low, 2)} to ` : ""}±${shown(high, 3)}` };
  const text = mode === "own" ? "−max to max of each array" : [about(arrays.find(x => !x.gradient), "values"), ...arrays.filter(x => x.gradient).slice(0, 1).map(x => about(x, "gradients"))].join(", ");
  const bar = make("span", {class: "bar", "aria-hidden": "true"}, key);
  for (let i = -4; i <= 4; i++) make("i", {}, bar).style.background = colour(i, {high: 4});
  make("span", {}, key, text);
  const [low, high] = normRange();
  if (high > 0) make("i", {class: "norm", "aria-hidden": "true"}, make("span", {}, key)).after(`size of the gradient${high > low ? `, ${shown(low, 2)} to ${shown(high, 2)}, logarithmic` : ` ${shown(high, 2)}`}`)
}
const selectors = make("span", {class: "loops"}, tools);
/** The value that a step of a loop computes last. */
const stateOf = (loop, step) => byKey[loop.steps[step].filter(key => byKey[key] && byKey[key].sign).pop()];
/** The selectors of the steps of the loops. */
function controls() {
  const focused = document.activeElement && document.activeElement.dataset && document.activeElement.dataset.loop;
  selectors.replaceChildren();
  folds.filter(f => f.of === "loop").forEach((loop, i) => {
    const group = make("span", {class: "loop", role: "group", "aria-label": `A loop of ${loop.count} steps`}, selectors);
    tool(loop.closed ? "Unroll" : "Roll", `${loop.closed ? "Unroll" : "Roll"} the loop of ${loop.count} steps`, () => { loop.closed = !loop.closed; again(); goTo(stateOf(loop, loop.shown)) }, group).dataset.loop = `roll${i}`;
    make("span", {}, group, `×${loop.count}`);
    if (!loop.closed) return;
    make("span", {}, group, "step");
    const input = make("input", {type: "number", min: 1, max: loop.count, value: loop.shown + 1, "aria-label": `The step of ${loop.count} that is shown`, "data-loop": `step${i}`}, group);
    input.onchange = () => turn(loop, Number(input.value) - 1);
    input.addEventListener("keydown", event => event.stopPropagation());
    const states = loop.steps.map((_, t) => stateOf(loop, t));
    if (states.some(b => b.norm === null)) return;
    const over = make("svg", {class: "norms", width: 4 * loop.count, height: 22, "aria-hidden": "true"}, group);
    make("title", {}, over, `The size of the gradient of ${states[loop.shown].label} and its like in each step`);
    states.forEach((b, t) => {
      const high = Math.max(1, 22 * lengthOf(b.norm));
      make("rect", {x: 4 * t, y: 22 - high, width: 3, height: high, class: t === loop.shown ? "on" : ""}, over);
    });
    over.addEventListener("click", event => turn(loop, Math.floor(event.offsetX / 4)));
  });
  const same = focused && selectors.querySelector(`[data-loop=${focused}]`);
  if (same) same.focus();
}
if (data.note) make("p", {}, tools, data.note);
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const action = {"+": () => zoom(view.factor * 1.25), "=": () => zoom(view.factor * 1.25), "-": () => zoom(view.factor / 1.25), "0": () => zoom(1), f: () => zoom(Math.min(1.35, whole())), "/": () => search.focus()}[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { generation++; legend(); show(now, false) });
foldMany();
const ways = [["scope", "scopes are closed"], ["loop", "of loops one step is shown"]].filter(([of]) => folds.some(f => f.of === of && f.closed));
if (ways.length) make("p", {}, tools, `A large graph: ${ways.map(w => w[1]).join(", ")}.`);
legend();
controls();
arrange();
