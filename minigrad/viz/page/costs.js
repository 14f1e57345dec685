// costs: a lens on the boxes, and a table; of each op [operations forward, backward, bytes kept, seconds forward, backward]

const {costs} = data, costly = boxes.filter(b => b.key in costs);
const MEASURES = {
  operations: {of: c => [c[0], c[1]], written: v => shown(v, 3), why: "Floating point operations of NumPy's calls, by their shapes: 2 m n k for a product of matrices, 1 for each element of another function's result or of a reduction's argument, 0 for moves. Sums of several contributions to one gradient are left out."},
  bytes: {of: c => [c[2], 0], written: v => v < 1e4 ? `${v} B` : v < 1e7 ? `${shown(v / 1e3, 3)} kB` : `${shown(v / 1e6, 3)} MB`, why: "What the pullbacks keep alive for the backward pass, each buffer once, at the first op that keeps it. Parameters and inputs are alive anyway, and do not count."},
  time: {of: c => [c[3], c[4]], written: v => v < 1e-3 ? `${shown(v * 1e6, 3)} µs` : `${shown(v * 1e3, 3)} ms`, why: "Measured on the machine that wrote this page: the median of several runs of the op without its recording, and of its pullbacks. Ops of your own are not run again."},
};
let lens = "";  // the measure that is shown
const ledger = $("costs"), costOf = (c, of) => of(c).includes(null) ? null : of(c)[0] + of(c)[1];

/** A colour from that of the panel on, on which all text can be read. */
function tint(share) {
  const [from, to] = dark.matches ? [[27, 33, 38], [36, 64, 98]] : [[255, 255, 255], [200, 225, 250]];
  return `rgb(${from.map((c, i) => Math.round(c + (to[i] - c) * share)).join(",")})`;
}

/** Show the boxes by what they cost, or as they are. */
function look(measure) {
  lens = measure;
  ledger.hidden = !lens;
  $("lens").setAttribute("aria-pressed", Boolean(lens));
  svg.classList.toggle("costly", Boolean(lens));
  const {of, written, why} = MEASURES[lens] || {}, most = lens && Math.max(...costly.map(b => costOf(costs[b.key], of)));
  for (const b of boxes) {
    const v = lens && b.key in costs ? costOf(costs[b.key], of) : null;
    b.g.querySelector(".body").style.fill = v && most ? tint(v / most) : "";
    b.g.querySelector(".shape").textContent = !lens || !b.sign ? b.shape : v === null ? "unknown" : written(v);
  }
  if (!lens) { $("say").textContent = "Costs are hidden"; return }
  ledger.replaceChildren();
  make("div", {class: "phase"}, ledger, "Costs");
  const which = make("select", {id: "measure", "aria-label": "What to show of the costs"}, ledger), backward = lens !== "bytes";
  for (const [value, name] of [["operations", "operations"], ["bytes", "bytes kept for the backward pass"], ["time", "time"]]) make("option", {value}, which, name);
  which.value = lens;
  which.onchange = () => { look(which.value); $("measure").focus() };
  which.addEventListener("keydown", event => event.stopPropagation());
  make("p", {class: "why"}, ledger, why);
  const sorted = [...costly].sort((a, b) => costOf(costs[b.key], of) - costOf(costs[a.key], of)), sums = [0, 0];
  const wide = make("div", {class: "wide"}, ledger), table = make("table", {}, wide), head = make("tr", {}, make("thead", {}, table));
  for (const name of ["value", ...(backward ? ["forward", "backward"] : ["kept"])]) make("th", {scope: "col"}, head, name);
  const body = make("tbody", {}, table);
  for (const b of sorted) {
    const line = make("tr", {}, body), parts = of(costs[b.key]).slice(0, backward ? 2 : 1);
    make("button", {"aria-label": `To the step of ${b.label}`}, make("td", {}, line), `${b.label} (${b.sign})`).onclick = () => go(stepOf(b.key, false));
    parts.forEach((v, i) => { sums[i] += v; make("td", {}, line, v === null ? "unknown" : written(v)) });
  }
  const unknown = sorted.some(b => costOf(costs[b.key], of) === null), end = make("tr", {}, make("tfoot", {}, table));
  make("td", {}, end, unknown ? "all that is known" : "all");
  const said = sums.slice(0, backward ? 2 : 1).map(v => { make("td", {}, end, written(v)); return written(v) });
  const first = sorted.find(b => costOf(costs[b.key], of) !== null);
  $("say").textContent = `Costs, ${which.selectedOptions[0].textContent}: ${backward ? `${said[0]} forward and ${said[1]} backward` : said[0]}${first ? `; most for ${first.label}, ${written(costOf(costs[first.key], of))}` : ""}`;
}
const switching = tool("Costs", "Show what each op costs (c)", () => look(lens ? "" : "operations"));
switching.id = "lens";
switching.setAttribute("aria-pressed", false);
search.before(switching);
dark.addEventListener("change", () => { if (lens) look(lens) });
document.addEventListener("keydown", event => {
  if (event.key !== "c" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=range], [type=radio]), select")) return;
  event.preventDefault();
  $("lens").click();
});
