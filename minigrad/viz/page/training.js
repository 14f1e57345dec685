// the strip of training: the page of each step is that of the step before with some changes

const training = JSON.parse($("strip").textContent), count = training.changes.length, WIDE = 170, HIGH = 42;

/** A value of JSON after a change: another value, in a list, or the changes of its parts. */
function changed(x, change) {
  if (Array.isArray(change)) return structuredClone(change[0]);  // later changes may be inside of it
  for (const [key, inside] of Object.entries(change)) x[key] = changed(x[key], inside);
  return x;
}
/** The numbers of an array, which `text` in training.py has written. */
function numbersIn(x) {
  if (typeof x !== "string") return x.map(numeric);
  const bytes = Uint8Array.from(atob(x.slice(1)), c => c.charCodeAt(0)), view = new DataView(bytes.buffer);
  const [size, read] = x[0] === "f" ? [4, "getFloat32"] : [8, "getFloat64"];
  return Array.from({length: bytes.length / size}, (_, i) => view[read](size * i, true));
}

/** Let the page be that of a step; its boxes stay the objects that they are. */
function take(step) {
  const fresh = JSON.parse($("data").textContent);
  for (const change of training.changes.slice(0, step)) changed(fresh, change);
  arrays.splice(0, arrays.length, ...fresh.arrays.map(x => ({...x, data: numbersIn(x.data)})));
  steps.splice(0, steps.length, ...fresh.steps);
  fresh.boxes.forEach((b, i) => {
    Object.assign(boxes[i], b);
    boxes[i].g.querySelector(".name").textContent = short(b.label);
    if (b.sign) boxes[i].g.querySelector(".sign text").textContent = b.sign;
  });
  for (const c of copies) c.g.querySelector(".name").textContent = byKey[c.of].label;
  fresh.code.forEach(({numbers, lines}, k) => {
    const block = document.querySelectorAll("#code pre")[k];
    while (block.children.length > lines.length) block.lastChild.remove();
    lines.forEach((line, i) => { (block.children[i] || make("span", {"data-n": numbers[i]}, block)).textContent = line || " " });
  });
  for (const key of ["products", "live", "sheet"]) data[key] = fresh[key];
  sort();
  share();
  generation++;
  offer();
  training.at = step;
  prefix = `training=${step}&`;
}

/** Go to a step of the training. */
function train(step) {
  step = Math.max(1, Math.min(count, step));
  if (step === training.at) return;
  take(step);
  question = null;
  for (const asked of Object.keys(answers)) delete answers[asked];  // they were about the numbers of another step
  begin();
  if (nudge && !reason()) pick(nudge.box, nudge.at); else build();
  for (const option of document.querySelectorAll("#leaf option")) option.textContent = `${byKey[option.value].label} ${byKey[option.value].shape}`;
  show(now || steps.length - 1, false, true);
  legend();
  if (loops.length) controls();
  derived();
  $("others").hidden = true;  // the formulas are those for the values of the step
  follow();
  clearTimeout(saying);
  const off = nudge ? "" : `. ${card.lastElementChild.textContent}`;
  $("say").textContent = `training ${$("at").textContent}${off}${question ? `. ${asked(question)}` : ""}`;
}

/** Let the sheet have the formulas and numbers of the step. */
function derived() {
  const items = [...document.querySelectorAll("#sheet li")];
  const same = String(items.map(e => e.dataset.box)) === String(data.sheet.map(line => line[2]));
  for (const list of document.querySelectorAll("#sheet ul")) list.hidden = !same;
  otherSheet.hidden = same;
  if (same) data.sheet.forEach(([i, array], k) => {
    const math = items[k].querySelector("math"), number = items[k].querySelector("[data-array]");
    if (i !== onSheet[k]) {
      math.replaceWith(copied(onSheet[k] = i));
      if (math.id) template.append(math);  // other steps may need it
    }
    if (number) {
      number.dataset.array = array;
      number.textContent = ` = ${shown(arrays[array].data[0], 4)}`;
    }
  });
}

// the strip itself

const section = make("section", {id: "training", "aria-label": "The steps of training"});
tools.after(section);
const controlsOf = make("div", {class: "row"}, section);
make("label", {for: "train"}, controlsOf, "Training");
tool("◀", "The training step before ([)", () => train(training.at - 1), controlsOf);
const rail = make("input", {id: "train", type: "range", min: 1, max: count, value: 1, "aria-label": "The step of training"}, controlsOf);
tool("▶", "The next training step (])", () => train(training.at + 1), controlsOf);
make("output", {id: "at", for: "train"}, controlsOf);
const curves = make("div", {class: "curves", tabindex: 0, role: "group", "aria-label": "Curves over the steps of training"}, section);
rail.oninput = () => train(Number(rail.value));
section.addEventListener("keydown", event => { if (/^(Arrow|Home|End| )/.test(event.key)) event.stopPropagation() });  // they move the slider
document.addEventListener("keydown", event => {
  if (event.target.matches("input:not([type=range], [type=radio]), select")) return;
  const by = {"[": -1, "]": 1}[event.key];
  if (!by) return;
  event.preventDefault();
  train(training.at + by);
});
const keys = document.querySelector(".keys");
for (const part of [", ", make("kbd", {}, null, "["), " ", make("kbd", {}, null, "]"), " training"]) keys.append(part);
addEventListener("hashchange", () => {
  const step = addressed(), at = addressed("training");
  if (at && at !== training.at) { train(at); go(step) }
});

/** A curve: of the loss, of each element of a small parameter, or of the norm of a larger one. */
function curve({box, steps: points}) {
  const b = byKey[box], several = points[0].length > 1, whole = points[0].length === arrays[b.value].data.length;
  const name = whole ? b.label : `‖${b.label}‖`, known = points.flat().filter(finite);
  const low = Math.min(...known), high = Math.max(...known), log = low > 0 && high > 100 * low;
  const scale = log ? Math.log : v => v, span = scale(high) - scale(low) || 1;
  const across = k => 4 + (WIDE - 8) * k / Math.max(1, count - 1), down = v => 4 + (HIGH - 8) * (1 - (scale(v) - scale(low)) / span);
  const range = known.length ? `${shown(low, 6)} to ${shown(high, 6)}${log ? ", logarithmic" : ""}` : "no finite number";
  const bad = points.findIndex(list => !list.every(finite)), trouble = bad < 0 ? "" : `, not finite at step ${bad + 1}`;
  const figure = make("figure", box === data.rootKey ? {class: "root"} : {}, curves);
  make("figcaption", {}, figure, `${name}: ${range}${trouble}`);
  const plot = make("svg", {role: "img", width: WIDE, height: HIGH, "aria-label": `${several ? `the ${points[0].length} elements of ` : ""}${name} over ${count} steps, ${range}${trouble}`}, figure);
  points[0].forEach((_, i) => {
    let path = "";
    points.forEach((list, k) => { if (finite(list[i])) path += `${k && finite(points[k - 1][i]) ? "L" : "M"}${across(k).toFixed(1)} ${down(list[i]).toFixed(1)}${count === 1 ? "h1" : ""}` });
    make("path", {d: path || "M0 0"}, plot);
  });
  points.forEach((list, k) => { if (!list.every(finite)) make("path", {class: "bad", d: `M${across(k).toFixed(1)} 1v6`}, plot) });
  const cursor = make("line", {y1: 0, y2: HIGH}, plot);
  const to = event => train(1 + Math.round((event.clientX - plot.getBoundingClientRect().left - 4) / (WIDE - 8) * (count - 1)));
  plot.addEventListener("pointerdown", to);
  plot.addEventListener("pointermove", event => { if (event.buttons) to(event) });
  return () => { for (const end of ["x1", "x2"]) cursor.setAttribute(end, across(training.at - 1)) };
}
const onSheet = data.sheet.map(([i]) => i);  // the formulas that are there
const otherSheet = make("p", {class: "zero"}, null, "This step is derived in other lines than the first; its formulas are beside its steps.");
document.querySelector("#sheet h2").after(otherSheet);
for (const c of training.curves) c.steps = c.steps.map(points => points.map(numeric));
const cursors = training.curves.map(curve);

/** Show where in the training the page is. */
function follow() {
  const b = byKey[data.rootKey];
  $("at").textContent = `step ${training.at} of ${count}, ${root} = ${shown(arrays[b.value].data[0], 6)}`;
  rail.value = training.at;
  rail.setAttribute("aria-valuetext", $("at").textContent);
  for (const move of cursors) move();
}

take(Math.max(1, Math.min(count, addressed("training"))));
derived();
follow();
