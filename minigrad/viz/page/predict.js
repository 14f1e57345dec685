// predictions: before a step back the page asks about the gradient that is about to flow

let predicting = false;
let question = null;  // the one that is open: its step, and when it is shown its form
const answers = {};  // of the steps that were asked: what is said of the answer, and whether it was right at once

/** The step up to which gradients are shown. */
const known = () => question ? now - 1 : now;
/** Is the gradient of a value one that the reader may still be asked for? */
const isSecret = (b, gradients = arrived(known())) => predicting && b.grad !== null && !(gradients[b.key] || {}).whole;

/** Has the question before a step an answer for the values now? Its formulas are for one case, and NaN has no sign. */
const isAnswerable = ({ask, box, moves}) => !otherCase(box) && (ask.kind !== "sign" || !arrays[moves[ask.move].flow].data.some(Number.isNaN));

/** The question before a step; it keeps its form where it is open already. */
function questionAt(step) {
  const at = steps[step], it = at.ask;
  if (!predicting || !it || !isAnswerable(at)) return null;
  if (question && question.step === step) return question;
  if (step in answers) return null;
  const m = at.moves[it.move], {shape, data: x} = arrays[m.flow];
  const which = it.kind !== "sign" || x.length === 1 ? "" : it.at === null ? "every element of " : `element ${index(shape, it.at)} of `;
  return {...it, step, m, tries: 0, says: `What is the ${it.kind} of ${which}${m.of > 1 ? "the contribution to " : ""}`};
}
const asked = q => `${q.says}${d(byKey[q.m.to])}?`;

const SIGNS = [["positive", 1], ["negative", -1], ["zero", 0], ["not the same for all", NaN]];
/** The sign of an element, or of all; NaN where these differ. */
function signOf({m, at}) {
  const x = arrays[m.flow].data, signs = new Set(Array.from(at === null ? x : [x[at]], Math.sign));
  return signs.size === 1 ? [...signs][0] : NaN;
}

/** The card of a question. */
function ask(card, at) {
  const q = question, form = q.form = make("form", {class: "ask"}, card), to = byKey[q.m.to];
  formula(at.title, form, "h2");
  row(form, at.g, arrays[byKey[at.box].grad], "g", d(byKey[at.box]));
  const set = make("fieldset", {}, form), choices = q.choices || SIGNS.slice(0, q.at === null && arrays[q.m.flow].data.length > 1 ? 4 : 3);
  formula(to.derivative, make("legend", {}, set, q.says)).after("?");
  choices.forEach(([choice], i) => {
    const label = make("label", {}, set), says = q.kind === "formula" ? text(choice) : choice;
    make("input", {type: "radio", name: "answer", value: i, "aria-label": says}, label);
    make("kbd", {"aria-hidden": "true"}, label, i + 1);
    if (q.kind === "formula") formula(choice, label); else label.append(choice);
  });
  const verdict = make("p", {class: "verdict"}, set);
  make("button", {"aria-label": "Answer", class: "main"}, set, "Answer");
  make("button", {"aria-label": "Reveal", type: "button"}, set, "Reveal").onclick = () => close("Revealed.");
  form.onsubmit = event => {
    event.preventDefault();
    const input = form.querySelector(":checked");
    if (input) judge(q, Number(input.value)); else tellOf("Choose an answer first.");
  };
  form.addEventListener("keydown", event => { if (event.key.startsWith("Arrow") && event.target.matches("input")) event.stopPropagation() });
  if (!document.activeElement.matches("[type=range]")) form.elements.answer[0].focus({preventScroll: true});  // a slider that is moved keeps it
  set.scrollIntoView({block: "nearest"});
  function tellOf(text) {
    $("say").textContent = verdict.textContent = text;
    set.scrollIntoView({block: "nearest"});
  }
  function judge(q, i) {
    const said = diagnosis(q, i, choices);
    if (said === null) close(q.tries ? "Right, at the second try." : "Right.", !q.tries);
    else if (q.tries++) close(`No${said && `: ${said}`}.`);
    else tellOf(`Not yet${said && `: ${said}`}. One more try, or reveal it.`);
  }
}
/** What is wrong with an answer, as mg.compare says it; null where it is right. The sign is that of the values now. */
function diagnosis(q, i, choices) {
  if (q.kind !== "sign") return i === q.right ? null : choices[i][1] && choices[i][1] + (moved ? ", with the recorded values" : "");
  const truth = signOf(q), answer = SIGNS[i][1];
  if (answer === truth || answer !== answer && truth !== truth) return null;
  return !truth ? "" : answer === 0 ? q.zero : answer === -truth ? data.flipped : "";
}
function close(said, first = false) {
  answers[now] = {said, first};
  show(now, true, false);
  document.querySelector(".verdict").scrollIntoView({block: "nearest"});
  $("next").focus();
}

const score = () => { const all = Object.values(answers); return `${all.filter(a => a.first).length} of ${all.length} at the first try` };
/** At the end: the score, and the steps that were missed. */
function total(card) {
  if (!predicting) return;
  make("h3", {}, card, "Your predictions");
  make("p", {}, card, Object.keys(answers).length ? `${score()}.` : !asks() ? "There is nothing to ask about these values." : "None was asked: step on with Next, and each step back begins with a question.");
  const list = make("ul", {}, card);
  for (const [step, {first}] of Object.entries(answers)) if (!first) make("a", {href: `#step=${step}`}, make("li", {}, list), `${placeOf(step)}, through ${text(steps[step].title)}`).onclick = event => { event.preventDefault(); go(Number(step)) };
}

/** Step on, with a question where there is one; an open one is left, and counts as not asked. */
function forward() { play(false); show(question ? now : now + 1, true, !question) }

/** Are there questions? Of the steps of a training, some may have none. */
const asks = () => steps.some(s => s.ask);
const offer = () => { $("predict").disabled = !predicting && !asks() };
offer();
$("predict").onclick = () => {
  predicting = !predicting;
  offer();
  for (const step of Object.keys(answers)) delete answers[step];
  $("predict").setAttribute("aria-pressed", predicting);
  document.body.classList.toggle("predicting", predicting);
  show(now, false, false);
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const input = question && question.form.elements.answer[event.key - 1];
  if (event.key.toLowerCase() === "p") $("predict").click();
  else if (input) { input.checked = true; input.focus() }
  else if (question && event.key === "Enter" && event.target === document.body) question.form.requestSubmit();
});
/** Hide what has not arrived yet from the sheet. */
function veil(gradients) {
  for (const line of document.querySelectorAll("#gradients [data-box]")) line.hidden = isSecret(byKey[line.dataset.box], gradients);
  $("score").textContent = !predicting ? "" : Object.keys(answers).length ? score() : asks() ? "asks before each step back" : "nothing to ask here";
}
