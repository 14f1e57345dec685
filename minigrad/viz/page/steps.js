// the steps

const bar = $("scrub");
bar.max = steps.length - 1;
const d = b => `∂${root}/∂${b.under}`;
const isDead = x => x.data.every(v => v === 0);

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
  const at = steps[now], backwards = ["seed", "backward", "end"].includes(at.phase);
  const values = new Set(), gradients = arrived(now), returned = new Set();
  for (let i = 0; i <= now; i++) {
    for (const key of steps[i].phase === "start" ? steps[i].boxes : []) values.add(key);
    if (steps[i].phase === "forward") values.add(steps[i].box);
    for (const m of steps[i].moves || []) returned.add(m.edge);
  }
  const active = new Set(at.box ? [at.box] : []), targets = new Set((at.moves || []).map(m => m.to));
  svg.classList.toggle("backwards", backwards);
  for (const b of boxes) {
    const g = gradients[b.key];
    const c = {pending: !values.has(b.key), returned: g, active: active.has(b.key), target: targets.has(b.key), dead: g && g.whole && isDead(arrays[g.array])};
    for (const [name, on] of Object.entries(c)) b.g.classList.toggle(name, Boolean(on));
    if (g) {
      const [x, y, w] = b.place, top = y + (b.sign ? PILL / 2 + 27 : 20);
      strip(b.gradAt, arrays[g.array], x + 10, top + 27, w - 20, b.delta || "∂");
    }
    const value = arrays[b.value];
    const says = values.has(b.key) ? (value.data.length === 1 ? shown(value.data[0]) : `shape ${b.shape}`) : "not computed yet";
    b.g.setAttribute("aria-label", `${b.kind} ${b.label}, ${says}${g ? ", gradient " + (arrays[g.array].data.length === 1 ? shown(arrays[g.array].data[0]) : "here") : ""}`);
  }
  edges.forEach((e, i) => {
    const move = (at.moves || []).find(m => m.edge === i), on = move || at.phase === "forward" && e.to === at.box;
    const flows = steps.slice(0, now + 1).flatMap(s => s.moves || []).find(m => m.edge === i);
    e.line.setAttribute("class", ["edge", values.has(e.to) && "seen", returned.has(i) && "returned", on && "active", flows && isDead(arrays[flows.flow]) && "dead"].filter(Boolean).join(" "));
    e.line.removeAttribute("marker-start");
    e.line.removeAttribute("marker-end");
    if (returned.has(i)) e.line.setAttribute("marker-start", "url(#back)");
    else e.line.setAttribute("marker-end", on ? "url(#forward)" : "url(#plain)");
  });
  marks(gradients);
  tell(at, gradients);
  code(at);
  $("say").textContent = say(at);
  if (chosen) choose(chosen);
  bar.value = now;
  const forward = steps.findIndex(s => s.phase === "seed");
  const where = now < forward ? `forward ${now} / ${forward - 1}` : `backward ${now - forward} / ${steps.length - 1 - forward}`;
  $("count").textContent = where;
  bar.setAttribute("aria-valuetext", `step ${now} of ${steps.length - 1}, ${where}`);
  for (const id of ["home", "previous"]) $(id).disabled = now === 0;
  for (const id of ["next", "last"]) $(id).disabled = now === steps.length - 1;
  document.body.dataset.step = now;
  centre([...active, ...targets, ...(at.from || [])], smooth);
  svg.querySelectorAll(".pulse").forEach(p => p.remove());
  if (now === before + 1 && smooth && !still.matches) edges.forEach((e, i) => {
    if (at.phase === "forward" && e.to === at.box) pulse(e.line, false);
    if ((at.moves || []).some(m => m.edge === i)) pulse(e.line, true);
  });
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

/** A step in one sentence, for those who listen. */
function say(at) {
  const b = at.box && byKey[at.box];
  const value = x => x.data.length === 1 ? ` is ${shown(x.data[0])}` : "";
  return {
    start: () => `Before the start: ${at.boxes.map(k => byKey[k].label).join(", ")}`,
    forward: () => `Forward: ${at.title}${value(arrays[b.value])}`,
    seed: () => `The backward pass begins: ∂${root}/∂${root} is 1`,
    backward: () => `Backward through ${at.title}: ${at.moves.map(m => `${d(byKey[m.to])} gets ${m.formula}${value(arrays[m.flow])}`).join("; ")}`,
    end: () => `Done: the gradients of ${at.boxes.map(k => byKey[k].label).join(", ")}`,
  }[at.phase]();
}

/** The card of a step: what happens, in words and numbers. */
function tell(at, gradients) {
  const card = $("step");
  card.replaceChildren();
  const back = ["seed", "backward", "end"].includes(at.phase);
  card.classList.toggle("back", back);
  const phase = {start: "Before the start", forward: "Forward pass", seed: "The backward pass begins", backward: "Backward pass", end: "Done"}[at.phase];
  make("div", {class: "phase"}, card, phase);
  const b = at.box && byKey[at.box];
  if (at.phase === "start") {
    make("h2", {}, card, `What ${root} is computed from`);
    make("p", {class: "why"}, card, "Parameters and inputs have their values. Step on, and every result is computed from what stands above it.");
    list(card, at.boxes, key => byKey[key].label, key => arrays[byKey[key].value], false);
  } else if (at.phase === "forward") {
    make("h2", {}, card, at.title);
    for (const key of at.from) row(card, byKey[key].label, arrays[byKey[key].value]);
    row(card, `result ${b.label}`, arrays[b.value]);
  } else if (at.phase === "seed") {
    make("h2", {}, card, `∂${root}/∂${root} = 1`);
    make("p", {class: "why"}, card, `From here on back: how much does ${root} change with each value? Every op turns the gradient g of its result into the gradients of its arguments.`);
  } else if (at.phase === "backward") {
    make("h2", {}, card, at.title);
    if (at.why) make("p", {class: "why"}, card, at.why);
    row(card, at.g === d(b) || at.g === "1" ? d(b) : `${at.g} = ${d(b)}`, arrays[b.grad], "g");
    if (at.local) make("p", {}, card, "local derivative ").append(make("span", {class: "formula"}, null, at.local));
    if (at.slide) make("p", {class: "slide"}, card, at.slide);
    for (const m of at.moves) {
      const to = byKey[m.to], move = make("div", {class: "move"}, card), head = make("h3", {}, move);
      const whole = m.of === 1;
      make("span", {class: "formula g"}, head, `${to.delta && whole && m.formula !== to.delta ? to.delta + " = " : ""}${d(to)} ${whole ? "=" : "+="} ${m.formula || "…"}`);
      heat(move, arrays[m.flow], `contribution to ${d(to)}`, arrays[m.flow].data.length <= 16);
      if (!whole) {
        make("p", {class: "why"}, move, `${to.label} is used ${m.of} times: its contributions add up. ${m.nth} of ${m.of} ${m.nth === m.of ? "are in, the sum is" : "is in so far."}`);
        if (m.nth > 1) heat(move, arrays[m.sum], d(to), arrays[m.sum].data.length <= 16);
      }
    }
  } else {
    make("h2", {}, card, `The gradient of ${root}`);
    list(card, at.boxes, key => d(byKey[key]), key => arrays[byKey[key].grad], true);
  }
}
function row(parent, label, x, mark = "") {
  make("h3", {class: mark}, parent, label);
  heat(parent, x, label, x.data.length <= 16);
}
function list(parent, keys, label, array, gradient) {
  for (const key of keys) row(parent, label(key), array(key), gradient ? "g" : "");
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
  make("h2", {}, card, b.label).append(" ", make("small", {class: "why"}, null, `${b.shape} ${b.dtype}`));
  if (b.g.classList.contains("pending")) make("p", {class: "why"}, card, "not computed yet");
  else heat(card, arrays[b.value], b.label, true, true);
  make("h3", {class: "g"}, card, `${d(b)}${b.delta ? " = " + b.delta : ""}${g && !g.whole ? ` (so far ${g.nth} of ${g.of})` : ""}`);
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
  if (move !== undefined) go(move);
  else if (event.key === " " && event.target.tagName !== "BUTTON") $("play").click();
  else return;
  event.preventDefault();
});
addEventListener("resize", () => { fit(); show(now, false) });
fit();
show(0, false);
