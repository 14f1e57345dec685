// formulas: each is in the page once, in the sheet of the derivation or else in a template

const template = $("formulas").content, set = i => template.getElementById(`f${i}`) || $(`f${i}`);
const text = i => set(i).getAttribute("alttext");
function formula(i, parent, tag = "span", attributes = {}) {
  const holder = make(tag, attributes, parent), math = set(i).cloneNode(true);
  math.removeAttribute("id");
  holder.append(math);
  holder.classList.add("formula");
  return holder;
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

function show(step, smooth = true) {
  const before = now;
  now = Math.max(0, Math.min(steps.length - 1, step));
  const at = paint();
  tell(at);
  if (chosen) choose(chosen);
  code(at);
  $("say").textContent = say(at);
  bar.value = now;
  const forward = steps.findIndex(s => s.phase === "seed");
  const where = now < forward ? `forward ${now} / ${forward - 1}` : `backward ${now - forward} / ${steps.length - 1 - forward}`;
  $("count").textContent = where;
  bar.setAttribute("aria-valuetext", `step ${now} of ${steps.length - 1}, ${where}`);
  for (const id of ["home", "previous"]) $(id).disabled = now === 0;
  for (const id of ["next", "last"]) $(id).disabled = now === steps.length - 1;
  document.body.dataset.step = now;
  centre([...(at.box ? [at.box] : []), ...(at.moves || []).map(m => m.to), ...(at.from || [])], smooth);
  svg.querySelectorAll(".pulse").forEach(p => p.remove());
  if (now === before + 1 && smooth && !still.matches) edges.forEach((e, i) => {
    if (at.phase === "forward" && e.to === at.box) pulse(e.line, false);
    if ((at.moves || []).some(m => m.edge === i)) pulse(e.line, true);
  });
}

/** Draw the step that is shown: its values, its gradients, and the card about it. */
function paint() {
  const at = steps[now], backwards = ["seed", "backward", "end"].includes(at.phase);
  const values = new Set(), gradients = arrived(now), flows = new Map();
  for (let i = 0; i <= now; i++) {
    for (const key of steps[i].phase === "start" ? steps[i].boxes : []) values.add(key);
    if (steps[i].phase === "forward") values.add(steps[i].box);
    for (const m of steps[i].moves || []) flows.set(m.edge, m.flow);
  }
  const targets = new Set((at.moves || []).map(m => m.to)), here = new Set((at.moves || []).map(m => m.edge));
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
const remarksOn = at => (at.moves || []).map(m => why(m, at)).join() + otherCase(at.box);

/** The card of a step: what happens, in words and numbers. */
function tell(at) {
  const card = $("step");
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
  } else if (at.phase === "backward") {
    formula(at.title, card, "h2");
    if (at.why) make("p", {class: "why"}, card, at.why);
    row(card, at.g, arrays[b.grad], "g", d(b));
    const other = otherCase(at.box);
    if (other) make("p", {class: "zero"}, card, "A tie or a zero makes this another case than that of the recorded values, for which the formulas are written.");
    if (at.local !== null && !other) formula(at.local, make("p", {}, card, "local derivative "));
    if (at.slide) make("p", {class: "slide"}, card, at.slide);
    for (const m of at.moves) {
      const to = byKey[m.to], move = make("div", {class: "move"}, card), head = make("h3", {}, move);
      const whole = m.of === 1;
      formula(other ? to.derivative : m.formula, head, "span", {class: "g"});
      heat(move, arrays[m.flow], `contribution to ${d(to)}`, arrays[m.flow].data.length <= 16);
      if (why(m, at)) make("p", {class: "zero"}, move, why(m, at));
      if (!whole) {
        make("p", {class: "why"}, move, `${to.label} is used ${m.of} times: its contributions add up. ${m.nth} of ${m.of} ${m.nth === m.of ? "are in, the sum is" : "is in so far."}`);
        if (m.nth > 1) heat(move, arrays[m.sum], d(to), arrays[m.sum].data.length <= 16);
      }
    }
  } else {
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
  const g = arrived(now)[b.key], at = b.g.getBoundingClientRect(), all = pane.getBoundingClientRect();
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

// the code

for (const {title, numbers, lines} of data.code) {
  make("div", {class: "phase"}, $("code"), title);
  const block = make("pre", {tabindex: 0}, $("code"));
  lines.forEach((text, i) => make("span", {"data-n": numbers[i]}, block, text || " "));
}
function code(at) {
  document.querySelectorAll("#code .on").forEach(line => { line.classList.remove("on"); line.removeAttribute("aria-current") });
  if (!at.line) return;
  const line = document.querySelectorAll("#code pre")[at.line[0]].children[at.line[1]];
  line.classList.add("on");
  line.setAttribute("aria-current", "step");
}

// the controls

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(() => now < steps.length - 1 ? show(now + 1) : play(false), 1600) : null;
  $("play").textContent = on ? "⏸ Pause" : "▶ Play";
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
}
function go(step) { play(false); show(step) }
$("home").onclick = () => go(0);
$("previous").onclick = () => go(now - 1);
$("next").onclick = () => go(now + 1);
$("last").onclick = () => go(steps.length - 1);
$("play").onclick = () => { if (timer) play(false); else { if (now === steps.length - 1) show(0); play(true) } };
bar.oninput = () => go(Number(bar.value));
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") choose(null);
  const move = {ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: steps.length - 1}[event.key];
  if (move !== undefined && !scrolls(event.target)) go(move);
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
