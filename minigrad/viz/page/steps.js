// formulas: each is in the page once, in the sheet of the derivation or else in a template

const template = $("formulas").content, set = i => template.getElementById(`f${i}`) || $(`f${i}`);
const text = i => set(i).getAttribute("alttext");
function formula(i, parent, tag = "span", attributes = {}) {
  const holder = make(tag, attributes, parent);
  holder.append(copied(i));
  holder.classList.add("formula");
  return holder;
}

function copied(i) {
  const math = set(i).cloneNode(true);
  math.removeAttribute("id");
  return math;
}

// the steps

const bar = $("scrub");
bar.max = steps.length - 1;
const d = b => text(b.derivative);
const isDead = x => x.data.every(v => +v === 0);

/** The gradients that have arrived after some steps: for each box an array, and whether it is all of it. */
function arrived(upTo) {
  const found = {};
  for (let i = 0; i <= upTo; i++) {
    if (steps[i].phase === "seed") found[steps[i].box] = {array: byKey[steps[i].box].grad, whole: true};
    for (const m of steps[i].moves || []) found[m.to] = {array: m.sum, whole: m.nth === m.of, nth: m.nth, of: m.of};
  }
  return found;
}

/** Where a step is in its pass. */
function placeOf(step) {
  const forward = steps.findIndex(s => s.phase === "seed");
  return step < forward ? `forward ${step} / ${forward - 1}` : `backward ${step - forward} / ${steps.length - 1 - forward}`;
}

/** Show a step: with its question, unless it is shown already. */
function show(step, smooth = true, ask = question || step !== now) {
  const before = question ? now - 1 : now;
  document.querySelectorAll(".lit").forEach(e => e.classList.remove("lit"));
  now = Math.max(0, Math.min(steps.length - 1, step));
  question = ask ? questionAt(now) : null;
  const at = paint();
  tell(at);
  if (chosen) choose(chosen);
  if (nudge) panel();
  code(at);
  $("say").textContent = question ? asked(question) : `${now in answers ? `${answers[now].said} ` : ""}${say(at)}`;
  bar.value = now;
  $("count").textContent = placeOf(now);
  bar.setAttribute("aria-valuetext", `step ${now} of ${steps.length - 1}, ${placeOf(now)}`);
  for (const id of ["home", "previous"]) $(id).disabled = now === 0;
  for (const id of ["next", "last"]) $(id).disabled = now === steps.length - 1;
  document.body.dataset.step = now;
  if (location.protocol !== "about:") history.replaceState(null, "", `#${prefix}step=${now}`);  // a page in a notebook has no address
  centre([...(at.box ? [at.box] : []), ...(at.moves || []).map(m => m.to), ...(at.from || [])], smooth);
  svg.querySelectorAll(".pulse").forEach(p => p.remove());
  if (now === before + 1 && smooth && !still.matches) edges.forEach((e, i) => {
    if (at.phase === "forward" && e.to === at.box) pulse(e.line, false);
    if (!question && (at.moves || []).some(m => m.edge === i)) pulse(e.line, true);
  });
}

/** Draw the step that is shown: its values, its gradients, and the card about it. */
function paint() {
  const at = steps[now], backwards = ["seed", "backward", "end"].includes(at.phase);
  const values = new Set(), gradients = arrived(known()), flows = new Map();
  for (let i = 0; i <= now; i++) {
    for (const key of steps[i].phase === "start" ? steps[i].boxes : []) values.add(key);
    if (steps[i].phase === "forward") values.add(steps[i].box);
    if (i <= known()) for (const m of steps[i].moves || []) flows.set(m.edge, m.flow);
  }
  const moves = question ? [question.m] : at.moves || [], targets = new Set(moves.map(m => m.to)), here = new Set(moves.map(m => m.edge));
  svg.classList.toggle("backwards", backwards);
  for (const b of boxes) {
    const g = gradients[b.key];
    const c = {pending: !values.has(b.key), returned: g, active: b.key === at.box, target: targets.has(b.key), dead: g && g.whole && isDead(arrays[g.array])};
    for (const [name, on] of Object.entries(c)) b.g.classList.toggle(name, Boolean(on));
    if (!isShown(b)) continue;
    if (g) {
      const [x, y, w] = b.place, top = y + (b.sign ? PILL / 2 + 27 : 20);
      strip(b.gradAt, arrays[g.array], x + 10, top + 27, w - 20, "∂");
    }
    const value = arrays[b.value];
    const label = `${b.kind} ${b.label}, ${values.has(b.key) ? spoken(value) : "not computed yet"}${g ? ", gradient " + spoken(arrays[g.array]) : ""}`;
    b.g.setAttribute("aria-label", label);
    b.title ||= b.g.insertBefore(make("title", {}, svg), b.g.firstChild);
    b.title.textContent = label;
  }
  edges.forEach((e, i) => {
    const on = here.has(i) || at.phase === "forward" && e.to === at.box, returned = flows.has(i);
    e.line.setAttribute("class", ["edge", values.has(e.to) && "seen", returned && "returned", on && "active", returned && isDead(arrays[flows.get(i)]) && "dead"].filter(Boolean).join(" "));
    e.line.removeAttribute("marker-start");
    e.line.removeAttribute("marker-end");
    if (returned) e.line.setAttribute("marker-start", "url(#back)");
    else e.line.setAttribute("marker-end", on ? "url(#forward)" : "url(#plain)");
  });
  marks(gradients);
  veil(gradients);
  return at;
}

/** A dot that runs along an edge, the way the numbers go. */
function pulse(line, back) {
  if (line.style.display) return;  // folded away
  const dot = make("circle", {class: "pulse", r: 6}, svg), length = line.getTotalLength(), began = performance.now();
  (function frame(time) {
    const share = Math.max(0, Math.min(1, (time - began) / 650)), eased = share * share * (3 - 2 * share);
    const p = line.getPointAtLength(length * (back ? 1 - eased : eased));
    dot.setAttribute("cx", p.x);
    dot.setAttribute("cy", p.y);
    if (share < 1 && dot.isConnected) requestAnimationFrame(frame); else dot.remove();
  })(began);
}

/** An array for those who listen: a small one whole, of a larger one the shape, the range and the norm. */
function spoken(x) {
  const numbers = x.data.filter(finite), said = v => shown(v, 3);
  if (!x.data.length) return "empty";
  if (x.data.length === 1) return said(x.data[0]);
  if (x.data.length <= 8) return Array.from(x.data, said).join(", ");
  const bad = x.data.length - numbers.length, shape = x.shape.join(" by ");
  if (x.note) return x.note;
  if (!numbers.length) return `${shape} numbers, none finite`;
  if (x.data.every(v => String(v) === String(x.data[0]))) return `${shape} numbers, all ${isDead(x) ? "zeros" : said(x.data[0])}`;
  const norm = Math.hypot(...numbers), sizes = numbers[0] instanceof Complex ? "of modulus " : "";
  const range = `${sizes}from ${said(Math.min(...numbers))} to ${said(Math.max(...numbers))}`;
  return `${shape} numbers ${range}, norm ${said(norm)}${bad ? `, ${bad} not finite` : ""}`;
}

/** A step in one sentence, for those who listen. */
function say(at) {
  const b = at.box && byKey[at.box];
  return {
    start: () => `Before the start: ${at.boxes.map(k => `${byKey[k].label} is ${spoken(arrays[byKey[k].value])}`).join("; ")}`,
    forward: () => `Forward: ${text(at.title)}, which is ${spoken(arrays[b.value])}`,
    seed: () => `The backward pass begins: ∂${root}/∂${root} is 1`,
    backward: () => `Backward through ${text(at.title)}: ${at.moves.map(m => `${text(m.formula)}, which is ${spoken(arrays[m.flow])}${why(m, at) ? `: ${why(m, at)}` : ""}`).join("; ")}`,
    end: () => `Done, the gradients: ${at.boxes.map(k => `${d(byKey[k])} is ${spoken(arrays[byKey[k].grad])}`).join("; ")}`,
  }[at.phase]();
}

/** What the card of a step says of values, other than numbers. */
const remarksOn = at => question ? "" : (at.moves || []).map(m => why(m, at)).join() + otherCase(at.box);

/** The card of a step: what happens, in words and numbers. */
function tell(at) {
  const card = $("step");
  if (question && question.form) return;
  card.remarks = remarksOn(at);
  card.replaceChildren();
  const back = ["seed", "backward", "end"].includes(at.phase);
  card.classList.toggle("back", back);
  const phase = {start: "Before the start", forward: "Forward pass", seed: "The backward pass begins", backward: "Backward pass", end: "Done"}[at.phase];
  make("div", {class: "phase"}, card, phase);
  const b = at.box && byKey[at.box];
  if (at.phase === "start") {
    make("h2", {}, card, `What ${root} is computed from`);
    make("p", {class: "why"}, card, "Parameters and inputs have their values. Step on, and every result is computed from what stands above it.");
    for (const key of at.boxes) row(card, byKey[key].symbol, arrays[byKey[key].value]);
  } else if (at.phase === "forward") {
    formula(at.title, card, "h2");
    for (const key of at.from) row(card, byKey[key].symbol, arrays[byKey[key].value]);
    row(card, b.symbol, arrays[b.value]).prepend("result ");
  } else if (at.phase === "seed") {
    make("h2", {}, card, `∂${root}/∂${root} = 1`);
    make("p", {class: "why"}, card, `From here on back: how much does ${root} change with each value? Every op turns the gradient of its result into the gradients of its arguments.`);
  } else if (question) ask(card, at);
  else if (at.phase === "backward") {
    formula(at.title, card, "h2");
    if (now in answers) make("p", {class: "verdict"}, card, answers[now].said);
    if (at.why) make("p", {class: "why"}, card, at.why);
    row(card, at.g, arrays[b.grad], "g", d(b));
    const other = otherCase(at.box);
    if (other) make("p", {class: "zero"}, card, "A tie or a zero makes this another case than that of the recorded values, for which the formulas are written.");
    if (at.local !== null && !other) formula(at.local, make("p", {}, card, "local derivative "));
    if (at.slide) make("p", {class: "slide"}, card, at.slide);
    const product = data.products.find(p => p.box === at.box);
    if (product && !other) {
      const more = make("details", {}, card);
      make("summary", {}, more, "Element by element");
      formula(product.formula, more, "p");
      make("p", {class: "why"}, more, `Point at a cell of the contribution to ${byKey[product.W].label} below, or choose an element of ${byKey[product.W].label} above, to see what it is made of.`);
    }
    for (const m of at.moves) {
      const to = byKey[m.to], move = make("div", {class: "move"}, card), head = make("h3", {}, move);
      const whole = m.of === 1;
      formula(other ? to.derivative : m.formula, head, "span", {class: "g"});
      followed(heat(move, arrays[m.flow], `contribution to ${d(to)}`, arrays[m.flow].data.length <= 16), m, at.box);
      byExample(move, m, b);
      if (why(m, at)) make("p", {class: "zero"}, move, why(m, at));
      if (!whole) {
        make("p", {class: "why"}, move, `${to.label} is used ${m.of} times: its contributions add up. ${m.nth} of ${m.of} ${m.nth === m.of ? "are in, the sum is" : "is in so far."}`);
        if (m.nth > 1) heat(move, arrays[m.sum], d(to), arrays[m.sum].data.length <= 16);
      }
    }
  } else {
    total(card);
    make("h2", {}, card, `The gradient of ${root}`);
    for (const key of at.boxes) row(card, byKey[key].derivative, arrays[byKey[key].grad], "g");
  }
}
function row(parent, i, x, mark = "", name = text(i)) {
  const head = formula(i, parent, "h3", {class: mark});
  heat(parent, x, name, x.data.length <= 16);
  return head;
}

/** What is under the pointer: its whole value and gradient. */
function choose(b) {
  if (chosen) chosen.g.classList.remove("chosen");
  chosen = b;
  const card = $("chosen");
  card.hidden = !b;
  if (!b) { pinned = false; return }
  b.g.classList.add("chosen");
  const g = arrived(known())[b.key], at = b.g.getBoundingClientRect(), all = pane.getBoundingClientRect();
  card.classList.toggle("left", at.left + at.right > all.left + all.right);  // on the other side of it
  card.replaceChildren();
  const close = make("button", {"aria-label": "Close"}, card, "×");
  close.onclick = () => { choose(null); b.g.focus({preventScroll: true}) };
  make("div", {class: "phase"}, card, b.kind);
  formula(b.symbol, card, "h2").append(" ", make("small", {class: "why"}, null, `${b.shape} ${b.dtype}`));
  if (b.g.classList.contains("pending")) make("p", {class: "why"}, card, "not computed yet");
  else heat(card, arrays[b.value], b.label, true, true);
  formula(b.derivative, card, "h3", {class: "g"}).append(g && !g.whole ? ` (so far ${g.nth} of ${g.of})` : "");
  if (g) heat(card, arrays[g.array], d(b), true, true);
  else make("p", {class: "why"}, card, b.grad === null ? "a constant: no gradient is computed for it" : "no gradient yet");
}

/** What element i, j of the matrix in products W x has to do with: rows i of what is computed from it, and each x at j. */
function lightElement(products, at) {
  svg.querySelectorAll("rect.lit, tspan.lit").forEach(e => e.classList.remove("lit"));
  return products.map(p => useOf(p, at)).join(" ");
}
function useOf(p, at) {
  const [n, m] = arrays[byKey[p.W].value].shape, i = Math.floor(at / m), j = at % m;
  outline(byKey[p.W], at, n * m);
  outline(byKey[p.x], j, m);
  for (const key of p.rows) outline(byKey[key], i, n);
  const b = byKey[p.box], g = arrays[b.grad].data[i], x = arrays[byKey[p.x].value].data[j], element = (name, ...at) => `${name.includes(" ") ? `(${name})` : name}[${at.join(", ")}]`;
  const uses = p.rows.map(key => element(byKey[key].label, i)).join(", "), only = `${element(byKey[p.W].label, i, j)} is only used to compute ${uses}`;
  const towards = p.head === data.rootKey ? only : `Towards ${byKey[p.head].label}, ${only}`;
  return `${towards}; from there it gets ${d(b)}[${i}] times ${element(byKey[p.x].label, j)}, ${shown(g, 3)} · ${shown(x, 3)} = ${shown(g * x, 3)}.`;
}
/** Outline an element in the strips of a box, each cell of which may stand for several. */
function outline(b, at, n) {
  for (const strip of [b.valueAt, b.gradAt]) {
    const cells = strip.querySelectorAll("rect, tspan"), cell = [...cells].findLast((_, k) => Math.floor(k * n / cells.length) <= at);
    if (cell) cell.classList.add("lit");
  }
}
/** Let the cells of a contribution to a matrix tell what they are made of. */
function followed(holder, m, box) {
  const p = data.products.find(p => p.box === box && p.W === m.to);
  if (!p) return;
  const says = make("p", {class: "why follows"}, holder.parentElement);
  const tell = event => { const cell = event.target.closest("td"); if (cell) says.textContent = lightElement([p], [...holder.querySelectorAll("td")].indexOf(cell)) };
  holder.addEventListener("pointerover", tell);
  holder.addEventListener("click", tell);
}

/** Of a contribution that is a sum over a batch the parts, example by example. */
function byExample(parent, m, b) {
  const g = arrays[b.grad], sum = arrays[m.flow], [n, ...rest] = g.shape;
  if (!rest.length || String(rest) !== String(sum.shape) || g.note || !b.sign.includes("+")) return;
  const which = make("select", {"aria-label": "Which example of the batch"}, make("label", {class: "example"}, parent, "Show "));
  make("option", {value: ""}, which, `the sum over ${n} examples`);
  for (let i = 0; i < n; i++) make("option", {value: i}, which, `example ${i}`);
  which.addEventListener("keydown", event => event.stopPropagation());
  const part = make("div", {}, parent), size = sizeOf(rest);
  const row = i => ({shape: rest, gradient: true, get data() { return g.data.slice(i * size, (i + 1) * size) }});
  const upTo = i => ({shape: rest, gradient: true, get data() { return sum.data.map((_, k) => Array.from({length: i + 1}, (_, e) => g.data[e * size + k]).reduce((a, v) => a + v, 0)) }});
  which.onchange = () => {
    part.replaceChildren();
    if (which.value === "") return;
    const i = Number(which.value);
    heat(part, row(i), `${d(b)}[${i}]`, size <= 16);
    make("p", {class: "why"}, part, `example ${i} alone; the sum of examples 0 to ${i}:`);
    heat(part, upTo(i), "the sum so far", size <= 16);
  };
}

// the code

for (const {title, numbers, lines} of data.code) {
  make("div", {class: "phase"}, $("code"), title);
  const block = make("pre", {tabindex: 0}, $("code"));
  lines.forEach((text, i) => make("span", {"data-n": numbers[i]}, block, text || " "));
}
const lineAt = ([block, i]) => document.querySelectorAll("#code pre")[block].children[i];

// one reading: a line of code, a value and its formulas light up together, and lead to their step

const readings = {};  // of each value: its lines, in the code, on the sheet and in the graph
for (const b of boxes) readings[b.key] = new Set([b.g]);
for (const at of steps) if (at.line && at.phase === "forward") readings[at.box].add(lineAt(at.line));
for (const item of document.querySelectorAll("#sheet [data-box]")) readings[item.dataset.box].add(item);
/** Light up all that is about some values, the card of the step too where it is about one. */
function light(keys, on) {
  for (const key of keys) for (const e of readings[key]) e.classList.toggle("lit", on);
  $("step").classList.toggle("lit", on && keys.includes(steps[now].box));
}
const reached = new Map();
for (const [key, all] of Object.entries(readings)) for (const e of all) reached.set(e, [...reached.get(e) || [], key]);
for (const [e, keys] of reached) {
  for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focus", true], ["blur", false]]) e.addEventListener(event, () => light(keys, on));
  if (e.matches(".box")) continue;
  const back = e.closest("#gradients"), step = () => go(stepOf(keys[keys.length - 1], back));
  if (e.matches("span")) e.setAttribute("role", "link");
  e.setAttribute("tabindex", 0);
  e.setAttribute("title", "Go to its step");
  e.classList.add("leads");
  e.addEventListener("click", step);
  e.addEventListener("keydown", event => { if (event.key === "Enter") step() });
}
/** The step that computes a value, or its gradient: of a leaf the last that adds to it. */
function stepOf(key, back) {
  if (!back) return Math.max(0, steps.findIndex(s => s.phase === "forward" && s.box === key));
  if (key === data.rootKey) return steps.findIndex(s => s.phase === "seed");
  return steps.findLastIndex(s => (s.moves || []).some(m => m.to === key));
}
$("step").addEventListener("pointerenter", () => steps[now].box && light([steps[now].box], true));
$("step").addEventListener("pointerleave", () => steps[now].box && light([steps[now].box], false));

function code(at) {
  document.querySelectorAll("#code .on").forEach(line => { line.classList.remove("on"); line.removeAttribute("aria-current") });
  if (!at.line) return;
  const line = lineAt(at.line);
  line.classList.add("on");
  line.setAttribute("aria-current", "step");
}

// the controls

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => now < steps.length - 1 ? show(now + 1, true, false) : play(false), 1600) : null;
  $("play").textContent = on ? "⏸ Pause" : "▶ Play";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
}
function go(step) { play(false); show(step) }
$("home").onclick = () => go(0);
$("previous").onclick = () => go(now - 1);
$("next").onclick = forward;
$("last").onclick = () => go(steps.length - 1);
$("play").onclick = () => { if (timer) play(false); else { if (now === steps.length - 1) show(0); play(true) } };
bar.oninput = () => go(Number(bar.value));
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") choose(null);
  const move = {ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: steps.length - 1}[event.key];
  if (move !== undefined && !scrolls(event.target)) event.key === "ArrowRight" ? forward() : go(move);
  else if (event.key === " " && event.target === document.body) $("play").click();
  else return;
  event.preventDefault();
});
/** Does a focused pane scroll, so that the arrows are its own? */
function scrolls(pane) {
  if (pane === document.body || !/auto|scroll/.test(getComputedStyle(pane).overflowX + getComputedStyle(pane).overflowY)) return false;
  return pane.scrollWidth > pane.clientWidth || pane.scrollHeight > pane.clientHeight;
}
addEventListener("resize", () => { fit(); show(now, false) });
