// The page about artifacts.
const largest = (values) => Math.max(...DATA.subjects.flatMap(values));
const total = (counts) => Object.values(counts).reduce((sum, value) => sum + value, 0);

function glance(one) {
  const training = one.flops.find((part) => part.name === "training");
  return [h("div", { class: "tiles" },
    tile(short(one.trained), `of ${short(one.parameters)} parameters train`),
    tile(percent(one.kept / one.size), "of the weights are kept"),
    tile(training.dense ? percent(training.sparse / training.dense) : "-", "of the dense training FLOPs"),
    tile(`${short(2 * training.sparse)}`, "FLOPs a sample of training"),
    tile(bytes(one.memory.reduce((sum, part) => sum + part.bytes, 0)), "of memory to train (estimate)"),
    tile(count(one.passes.at(-1).nodes), "nodes in the training graph")),
  factList(one.facts), one.notes.map((text) => h("p", { class: "soft" }, `note: ${text}`))];
}

function changes(counts, sign, kind) {
  const parts = Object.entries(counts).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  if (!parts.length) return null;
  const text = parts.slice(0, 4).map(([op, number]) => `${sign}${number} ${op}`).join(" ");
  const all = parts.map(([op, number]) => `${sign}${number} ${op}`).join(", ");
  return h("span", { class: kind, title: all }, text, parts.length > 4 ? " ..." : "", " ");
}
// A name that may break behind each underscore.
const foldable = (name) => name.split("_").flatMap((part, at) => (at ? ["_", h("wbr"), part] : [part]));
function pipeline(one, index) {
  const head = h("tr", {}, ["pass", "nodes", "changed", "MFLOPs/sample", "ms"].map((text, at) => h("th", { class: at === 2 || at === 0 ? "" : at > 2 ? "number extra" : "number" }, text)));
  let phase = null;
  const rows = one.passes.flatMap((pass, step) => {
    const made = [];
    if (pass.phase !== phase) made.push(h("tr", { class: "phase" }, h("td", { colspan: 5 }, (phase = pass.phase) || "preparing")));
    const changed = [changes(pass.added, "+", "add"), changes(pass.removed, "-", "remove")].filter(Boolean);
    const row = h("tr", { class: `pick${pass.modified ? "" : " idle"}`, tabindex: 0, "data-step": step, onclick: () => pick(index, step),
      onkeydown: (event) => event.key === "Enter" && pick(index, step) },
    h("td", {}, h("i", { class: "dot", style: `background:${passColour(step)}` }), foldable(pass.name)), h("td", { class: "number" }, count(pass.nodes)),
    h("td", { class: "wraps" }, changed.length ? changed : pass.modified ? "order, values, types or notes" : "nothing"),
    h("td", { class: "number extra" }, dash(pass.macs, (macs) => ((2 * macs) / 1e6).toFixed(2))), h("td", { class: "number extra" }, pass.ms.toFixed(0)));
    made.push(row);
    return made;
  });
  return h("div", { class: "scroll" }, h("table", { id: `pipeline-${index}` }, h("thead", {}, head), h("tbody", {}, rows)));
}
const viewers = [];
function pick(index, step) {
  viewers[index].choose(step);
  viewers[index].element.scrollIntoView({ behavior: "smooth", block: "nearest" });
}
function markPipeline(index, step) {
  document.querySelectorAll(`#pipeline-${index} tr.pick`).forEach((row) => row.classList.toggle("chosen", Number(row.dataset.step) === step));
}
function pictures(one, index) {
  viewers[index] = viewer(one, (step) => markPipeline(index, step));
  return viewers[index].element;
}
function weights(one) {
  return bars(one.weights.map((weight) => ({ name: weight.name, value: weight.kept, behind: weight.size, text: `${percent(weight.kept / weight.size)} of ${short(weight.size)}` })),
    largest((other) => other.weights.map((weight) => weight.size)));
}
function flops(one) {
  return bars(one.flops.map((part) => ({ name: part.name, value: 2 * part.sparse, behind: 2 * part.dense, text: `${short(2 * part.sparse)} of ${short(2 * part.dense)}` })),
    largest((other) => other.flops.map((part) => 2 * part.dense)));
}
function memoryOf(one) {
  return bars(one.memory.map((part) => ({ name: part.name, value: part.bytes, text: bytes(part.bytes) })), largest((other) => other.memory.map((part) => part.bytes)));
}

show(
  h("h1", {}, DATA.title), h("p", { class: "lead" }, "What the compiler made of a model: its passes, the graph after each, and what training costs."),
  section("At a glance", "", glance),
  section("Pipeline", "Each pass with the operators that it added and removed. Choose one to see its graph.", pipeline),
  section("Graph", "Drag to move, scroll or pinch to zoom, choose a node to read it.", pictures),
  section("Weights", "What each layer keeps, of all that it has.", weights),
  half("Training FLOPs of a sample", "Conv, Gemm and MatMul; the paler bar is the dense network.", flops),
  half("Memory of training", "An estimate.", memoryOf));
viewers.forEach((one) => one.begin());
