// live values: the page computes its arrays itself, and the reader moves a number and sees all that follows

let live, program, leaves, recorded, start;
const own = b => program.values[live.leaves[b.key]].data;
const rootValue = () => arrays[byKey[data.rootKey].value].data[0];
let moved;  // is any value another than the recorded one?
let nudge = null;  // the element that is moved: where it was, its gradient and the root there
/** Take the values in the page for the recorded ones. */
function begin() {
  live = data.live;
  program = live.off ? {values: []} : compiled(live.ops);
  leaves = boxes.filter(b => live.leaves && b.key in live.leaves);
  recorded = arrays.map(x => ({data: x.data, note: x.note}));
  start = program.unknown ? [] : leaves.map(b => own(b).slice());
  moved = false;
}
begin();

/** An array that the page has computed, as it shows it: of a large one the means of as many runs. */
function computed(i) {
  const {data} = program.values[live.values[i]], most = recorded[i].data.length;
  if (data.length === most) return data;
  const from = k => Math.floor(k * data.length / most);
  return Float64Array.from({length: most}, (_, k) => ALL.mean(data.subarray(from(k), from(k + 1))));
}

/** What an array is, in words. */
function nameOf(i) {
  const value = boxes.find(b => b.value === i), gradient = boxes.find(b => b.grad === i);
  const move = steps.flatMap(s => s.moves || []).find(m => m.flow === i || m.sum === i);
  return value ? value.label : gradient ? d(gradient) : move ? `a contribution to ${d(byKey[move.to])}` : "a condition";
}

/** Why the page cannot compute the graph, or nothing. */
function reason() {
  if (live.off) return live.off;
  if (program.unknown) return `the page does not know the op ${program.unknown}`;
  if (!leaves.length) return `${root} depends on no number that could be moved`;
  for (const [i, x] of arrays.entries()) {
    if (live.values[i] === null) continue;
    const here = computed(i), size = here instanceof Float32Array ? 1e-4 : 1e-6;
    // what cancels in Python's order of the terms may leave something in another
    const room = size * largest(x) + size * 1e-8 * shared[x.gradient].high;
    const k = here.findIndex((v, k) => !(v === x.data[k] || v !== v && x.data[k] !== x.data[k] || Math.abs(v - x.data[k]) <= room));
    if (k >= 0) return `${nameOf(i)}${x.shape.length ? index(x.shape, k) : ""} is ${shown(here[k], 8)} as the page computes it, and ${shown(x.data[k], 8)} in Python`;
  }
}

/** Compute everything anew, and show it. */
function update(what) {
  for (const value of program.values) if (value.run) value.run();
  moved = leaves.some((b, i) => own(b).some((v, k) => v !== start[i][k] && !(v !== v && start[i][k] !== start[i][k])));
  arrays.forEach((x, i) => {
    if (live.values[i] === null) return;
    x.data = moved ? computed(i) : recorded[i].data;
    x.note = moved ? recorded[i].note.replace(/; (all|min|largest) .*/, "") : recorded[i].note;
  });
  for (const b of boxes) if (b.norm !== null && live.values[b.grad] !== null) b.norm = normOf(program.values[live.values[b.grad]].data);
  if (mode !== "own") share();
  generation++;
  if (now === 0 && !predicting) show(steps.length - 1, false);
  if (question && !isAnswerable(steps[now])) show(now, false);
  paint();
  if ($("step").remarks !== remarksOn(steps[now])) tell(steps[now]);
  for (const holder of document.querySelectorAll("#step [data-of], #chosen [data-of]")) {
    if (holder.lastElementChild.checkVisibility({contentVisibilityAuto: true})) holder.refill(); else holder.late = true;
  }
  legend();
  if (loops.length) controls();
  document.querySelectorAll("#sheet [data-array]").forEach(e => { e.textContent = ` = ${shown(arrays[e.dataset.array].data[0], 4)}` });
  $("others").hidden = !Object.keys(live.cases).some(otherCase);
  panel();
  announce(what);
}
document.addEventListener("contentvisibilityautostatechange", ({target, skipped}) => {
  if (skipped || !target.late) return;  // scrolled into view
  target.late = false;
  target.refill();
});
function normOf(x) {
  const most = x.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
  return most > 0 && most < Infinity ? most * Math.sqrt(x.reduce((a, v) => a + (v / most) ** 2, 0)) : most;
}

let saying = null;
/** Tell those who listen, when the value has stopped moving. */
function announce(what) {
  clearTimeout(saying);
  saying = setTimeout(() => { $("say").textContent = `${what}. ${[...document.querySelectorAll("#live .told")].map(e => e.textContent).filter(Boolean).join(". ")}` }, 250);
}

// what formulas say of values

/** Is a formula written for another case than that of the values now, one without ties or zeros? */
const otherCase = key => key in (live.cases || {}) && arrays[live.cases[key]].data[0] !== recorded[live.cases[key]].data[0];

/** Why nothing flows to an operand, where nothing does. */
function why(m, at) {
  if (!moved) return m.why;
  return isDead(arrays[m.flow]) ? `${cause(m, at)}: nothing flows to ${byKey[m.to].label}.` : "";
}
function cause(m, at) {
  const b = byKey[at.box];
  if (isDead(arrays[b.grad])) {
    const before = steps.find(s => (s.moves || []).some(m => m.to === b.key));
    return before ? cause(before.moves.find(m => m.to === b.key), before) : `${d(b)} is 0`;
  }
  const closed = m.conditions.map(i => live.conditions[i]).find(c => isDead(arrays[c.arrays[0]]));
  return closed ? `${sides(closed)}, so ${text(closed.formulas[0])} is 0` : "A factor is 0, or the terms cancel";
}
/** The two sides of a condition: "m = −9.07". */
function sides({formulas, arrays: of}) {
  return [1, 2].map(i => [text(formulas[i]), spoken(arrays[of[i]])]).filter(([name, v]) => name !== v).map(([name, v]) => `${name} = ${v}`).join(" and ");
}

// the panel

const card = $("live");
/** The element that is chosen, as the code has it: W[2, 3]. */
const elementName = () => nudge.box.label + (own(nudge.box).length > 1 ? index(arrays[nudge.box.value].shape, nudge.at) : "");
const field = (id, type, says, parent, more = {}) => make("input", {id, type, "aria-label": says, step: "any", ...more}, parent);
const signed = v => `${v > 0 ? "+" : ""}${shown(v, 4)}`;

function build() {
  nudge = null;
  card.replaceChildren();
  make("div", {class: "phase"}, card, "Live values");
  const off = reason();
  if (off) {
    make("p", {class: "why"}, card, `Live values are off: ${off}. All numbers are Python's.`);
    return;
  }
  make("p", {class: "root told"}, card);
  const row = make("div", {class: "row"}, card), which = make("select", {id: "leaf", "aria-label": "The value to move"}, make("label", {}, row, "Move "));
  for (const b of leaves) make("option", {value: b.key}, which, `${b.label} ${b.shape}`);
  which.onchange = () => pick(byKey[which.value], 0);
  make("strong", {id: "element"}, row);
  make("div", {class: "wide", id: "grid"}, card);
  const line = make("div", {class: "row"}, card);
  const range = field("slide", "range", "The element, by sliding", line), typed = field("typed", "text", "The element, as a number", line, {inputmode: "decimal"});
  const refused = make("p", {class: "zero told", id: "refused"}, card);
  range.oninput = () => put(Number(range.value));
  typed.oninput = () => { if (isNumber(typed, own(nudge.box))) put(Number(typed.value)) };
  typed.onchange = () => { if (!isNumber(typed, own(nudge.box))) refuse(elementName(), typed, own(nudge.box)) };
  for (const e of [range, typed]) e.addEventListener("keydown", event => {
    const by = {ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10, ...(e === range ? {ArrowRight: 1, ArrowLeft: -1} : {})}[event.key];
    if (!by) return;
    event.preventDefault();
    put(Number((own(nudge.box)[nudge.at] + by * nudge.reach / 50).toPrecision(12)));
  });
  make("p", {class: "nudge told"}, card);
  make("ul", {class: "conditions"}, card);
  if (live.held) make("p", {class: "why", id: "held"}, card, "Masks, indices and constants are held as recorded: where the code computes one from a value that is moved, it does not follow.");
  make("p", {class: "why follows told"}, card);
  const end = make("div", {class: "row"}, card);
  make("button", {id: "descend", "aria-label": "A step of gradient descent", title: "A step of gradient descent"}, end, "Gradient step").onclick = descend;
  field("rate", "text", "Learning rate", make("label", {}, end, "rate "), {value: .1, inputmode: "decimal"});
  make("button", {id: "reset", "aria-label": "Reset all values"}, end, "Reset").onclick = reset;
  pick(leaves.find(b => b.kind === "parameter") || leaves[0], 0);
}

card.addEventListener("keydown", event => { if (event.target.matches("input, select, td")) event.stopPropagation() });  // they are no commands
document.querySelector("#sheet h2").after(make("p", {class: "zero", id: "others", hidden: ""}, null, "Some formulas are those for the recorded values, where a tie or a zero made another case."));
/** Is a number typed, one that an array can hold? */
const isNumber = (input, x = [0]) => input.value.trim() !== "" && Number.isFinite(x instanceof Float32Array ? Math.fround(input.value) : Number(input.value));
/** Say what was needed, and what came. */
function refuse(name, input, x) {
  const most = x instanceof Float32Array ? "3.4e38" : "1.8e308", typed = input.value.trim();
  const which = input === $("rate") ? " above 0, such as 0.1" : typed && !Number.isNaN(Number(typed)) ? ` of at most ${most} in size` : ", such as 0.1";
  $("refused").textContent = `${name} needs a number${which}, got ${typed || "nothing"}`;
  announce("Nothing has changed");
}

/** Choose the element to move. */
function pick(b, at) {
  if (!leaves.includes(b)) return;
  const fresh = !nudge || nudge.box !== b, x = own(b);
  const g = b.grad === null || arrays[b.grad].data.length !== x.length ? null : arrays[b.grad].data[at];
  nudge = {box: b, at, from: x[at], root: rootValue(), g, open: (live.conditions || []).map(c => String(arrays[c.arrays[0]].data))};
  const reach = 2 * Math.max(.5, x.reduce((a, v) => Number.isFinite(v) ? Math.max(a, Math.abs(v)) : a, 0));
  nudge.reach = Number(reach.toPrecision(1));
  $("slide").min = -nudge.reach;
  $("slide").max = nudge.reach;
  $("leaf").value = b.key;
  if (fresh) grid(b);
  panel();
}

/** The elements of a value, to choose one from. */
function grid(b) {
  const {shape} = arrays[b.value], x = own(b), columns = shape.length > 1 ? shape[shape.length - 1] : Math.min(20, x.length);
  $("grid").replaceChildren();
  if (x.length < 2 || x.length > 2000) return;
  const table = make("table", {class: "pick", role: "grid", "aria-label": `The elements of ${b.label}`}, $("grid"));
  let row;
  x.forEach((v, i) => {
    if (i % columns === 0) row = make("tr", {}, table);
    make("td", {role: "gridcell", "data-i": i}, row);
  });
  table.addEventListener("keydown", event => {
    const by = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns}[event.key];
    if (event.key === "Enter" || event.key === " ") $("slide").focus();
    else if (!by) return;
    event.preventDefault();
    if (!by || !(nudge.at + by in x)) return;
    pick(b, nudge.at + by);
    table.querySelector("[tabindex='0']").focus();
    announce(`${elementName()} is ${shown(x[nudge.at])}`);
  });
  table.addEventListener("pointerdown", event => { const cell = event.target.closest("td"); if (cell) drag(event, b, Number(cell.dataset.i)) });
}
/** Choose an element with the pointer, and move it to the left or right. */
function drag(event, b, at) {
  if (!leaves.includes(b) || !nudge) return;
  pick(b, at);
  if (event.pointerType !== "mouse") return;
  event.preventDefault();
  const from = event.clientX, value = own(b)[at];
  const move = e => put(Number((value + (e.clientX - from) * nudge.reach / 150).toPrecision(6)));
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", () => document.removeEventListener("pointermove", move), {once: true});
}
$("chosen").addEventListener("pointerdown", event => {
  const cell = event.target.closest("td"), holder = cell && cell.closest("[data-of]");
  if (holder && holder === $("chosen").querySelector("[data-of]") && chosen) drag(event, chosen, [...holder.querySelectorAll("td")].indexOf(cell));
});

/** Give the chosen element another value. */
function put(v) {
  own(nudge.box)[nudge.at] = v;
  nudge.step = "";  // what it says was true before this move
  update(`${elementName()} is ${shown(v)}`);
}

/** What the panel shows of the values now. */
function panel() {
  const {box, at, g} = nudge, x = own(box), delta = x[at] - nudge.from, J = rootValue(), name = elementName(), slope = `∂${root}/∂${name}`;
  const was = recorded[byKey[data.rootKey].value].data[0];
  card.querySelector(".root").replaceChildren(make("span", {class: "scalar"}, null, `${root} = ${shown(J, 6)}`), moved ? ` recorded: ${shown(was, 6)}` : "");
  $("element").textContent = name;
  $("slide").value = Number.isFinite(x[at]) ? x[at] : 0;
  $("slide").setAttribute("aria-valuetext", `${name} is ${shown(x[at])}`);
  $("refused").textContent = "";
  if (document.activeElement !== $("typed") || Number($("typed").value) !== x[at]) $("typed").value = Number.isFinite(x[at]) ? Number(x[at].toPrecision(6)) : "";
  const scale = scaleOf(arrays[box.value]);
  for (const cell of $("grid").querySelectorAll("td")) {
    const i = Number(cell.dataset.i), on = i === at;
    cell.style.background = colour(x[i], scale);
    cell.tabIndex = on ? 0 : -1;
    cell.setAttribute("aria-selected", on);
    cell.setAttribute("aria-label", `${index(arrays[box.value].shape, i)} ${shown(x[i], 3)}`);
  }
  const told = card.querySelector(".nudge");
  told.replaceChildren();
  if (nudge.step) told.textContent = nudge.step;
  else if (g === null) told.textContent = `${box.label} ${box.grad === null ? "is a constant: no gradient is computed for it" : "is too large for the page to have each number of its gradient"}. Δ${root} = ${signed(J - nudge.root)}`;
  else if (isSecret(box)) told.textContent = `${delta === 0 ? "" : `Δ${root} = ${signed(J - nudge.root)}. `}${slope} is hidden until the backward pass has reached ${box.label}.`;
  else if (delta === 0) told.textContent = `${slope} = ${shown(g)}: when ${name} moves by a little, ${root} moves by about ${shown(g)} times as much.`;
  else {
    for (const [key, v] of [[`Δ${name}`, delta], [`Δ${root}`, J - nudge.root], [`g Δ${name}`, g * delta]]) make("span", {}, told, `${key} = ${signed(v)} `);
    make("small", {class: "why"}, told, `where g = ${slope} = ${shown(g)}, before the move`);
  }
  const products = data.products.filter(p => p.W === box.key);
  card.querySelector(".follows").textContent = products.length && !isSecret(box) ? lightElement(products, at) : "";
  const list = card.querySelector(".conditions");
  list.replaceChildren();
  (live.conditions || []).forEach((c, k) => {
    const i = c.arrays[0], on = live.values[i] === null ? arrays[i] : program.values[live.values[i]];  // whole, where arrays has means
    const n = on.data.length, held = on.data.reduce((a, v) => a + (v ? 1 : 0), 0), item = make("li", {class: held ? "told" : "told closed"}, list);
    formula(c.formulas[0], item);
    const state = held ? "1, open (lets the gradient through)" : "0, closed (stops the gradient)";
    item.append(n === 1 ? ` = ${state}: ${sides(c)}` : ` is ${state}, in ${held ? `${held} of` : "all"} ${n}`, String(arrays[i].data) === nudge.open[k] ? "" : ". It changed on the way, and the gradient with it");
  });
}

/** A step of gradient descent on the parameters. */
function descend() {
  const rate = Number($("rate").value), before = rootValue();
  if (!isNumber($("rate")) || rate <= 0) { refuse("The learning rate", $("rate")); $("rate").focus(); return }
  let squares = 0;
  const gradients = leaves.map(b => b.kind === "parameter" && b.grad !== null && (live.values[b.grad] === null ? arrays[b.grad] : program.values[live.values[b.grad]]).data.slice());
  leaves.forEach((b, i) => {
    const g = gradients[i], x = own(b), {rows} = b.grad === null ? {} : arrays[b.grad], width = x.length / arrays[b.value].shape[0];
    if (!g) return;
    g.forEach((v, k) => { x[rows ? rows[Math.floor(k / width)] * width + k % width : k] -= rate * v; squares += v * v });
  });
  update("A step of gradient descent");
  pick(nudge.box, nudge.at);
  const shut = (live.conditions || []).find(c => isDead(arrays[c.arrays[0]]));
  nudge.step = squares === 0 ? `No parameter has a gradient other than 0 here, so a step moves nothing${shut ? `: ${text(shut.formulas[0])} is 0, as ${sides(shut)}` : ""}` : `The step made Δ${root} = ${signed(rootValue() - before)}; to first order it is −rate ‖g‖² = ${signed(-rate * squares)}`;
  panel();
}
function reset() {
  leaves.forEach((b, i) => own(b).set(start[i]));
  update("All values are the recorded ones");
  pick(nudge.box, nudge.at);
}

/** The number in the address after a word, #step=17. */
function addressed(word = "step") { return Number((location.hash.match(`[#&]${word}=(\\d+)(?:&|$)`) || [0, 0])[1]) }
addEventListener("hashchange", () => { if (addressed() !== now) go(addressed()) });

fit();
build();
show(addressed(), false);
