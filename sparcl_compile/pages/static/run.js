// The page about runs.
const taskMarks = (epochs) => epochs.filter((one, index) => one.task !== epochs[index - 1]?.task).map((one) => [Math.max(one.epochs_done - 1, epochs[0].epochs_done), `task ${one.task}`]);
const atEpochs = (epochs, value) => epochs.map((one) => [one.epochs_done, value(one)]);
const seen = (row, number) => row.slice(0, number + 1).filter((value) => value !== null);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const highest = (values) => Math.max(...DATA.subjects.flatMap(values));

function glance(run) {
  const flops = run.training_flops;
  return [h("div", { class: "tiles" },
    tile(`${run.class_il.toFixed(1)} %`, "class-incremental accuracy"),
    tile(`${run.task_il.toFixed(1)} %`, "task-incremental accuracy"),
    tile(dash(run.forgetting, (value) => value.toFixed(1)), "forgetting, points"),
    tile(percent(run.sparsity), "of the weights are zero"),
    tile(percent(flops.true_sparse / flops.true_dense), "of a dense run's FLOPs"),
    tile(`${run.training_seconds.toFixed(1)} s`, `of training, ${count(run.samples_per_second)} samples/s`)),
  factList(run.facts)];
}
// The colours of accuracies begin at a round number below the lowest, of all runs.
const least = Math.max(0, Math.floor(Math.min(...DATA.subjects.flatMap((run) => run.accuracy_matrix.flatMap((row, after) => seen(row, after)))) / 10 - 1) * 10);
function accuracy(run) {
  const place = h("div");
  const draw = (key) => {
    const matrix = run[key];
    const columns = matrix.map((_, index) => `${index + 1}`);
    const values = matrix.map((row, index) => [...columns.map((_, on) => (on <= index ? row[on] : null)), mean(seen(row, index))]);
    place.replaceChildren(heat({ rows: matrix.map((_, index) => `after task ${index + 1}`), columns: [...columns, "mean"], values, form: (value) => value.toFixed(1), least, most: 100 }));
  };
  draw("accuracy_matrix");
  return [h("div", { class: "controls" }, choice("Accuracy", [["accuracy_matrix", "class-incremental"], ["task_accuracy_matrix", "task-incremental"]], "accuracy_matrix", draw)), place];
}
function byTask(run) {
  const matrix = run.accuracy_matrix;
  const line = (task) => ({ name: `task ${task + 1}`, points: matrix.map((row, after) => [after + 1, row[task]]).slice(task) });
  const all = { name: "mean", colour: "var(--text)", thick: true, points: matrix.map((row, after) => [after + 1, mean(seen(row, after))]) };
  return lines({ series: [...matrix.map((_, task) => line(task)), all], x: "after task", y: "accuracy in %", low: least, high: 100, whole: true });
}
function loss(run) {
  return lines({ series: [{ name: "loss", points: atEpochs(run.epochs, (one) => one.loss) }], x: "epoch", y: "mean loss",
    low: 0, high: highest((one) => one.epochs.map((epoch) => epoch.loss)), marks: taskMarks(run.epochs), whole: true });
}
function layers(run) {
  if (!run.epochs.length || !Object.keys(run.epochs[0].layers).length) return h("p", { class: "soft" }, "No layer has a mask.");
  const names = Object.keys(run.epochs[0].layers), place = h("div");
  const columns = run.epochs.map((one, index) => (one.task !== run.epochs[index - 1]?.task ? `${one.task}` : ""));
  const draw = (part) => {
    const values = names.map((name) => run.epochs.map((one) => one.layers[name][part]));
    const most = part === "sparsity" ? 1 : Math.max(highest((one) => one.epochs.flatMap((epoch) => Object.values(epoch.layers).map((layer) => layer.churn))), 1e-9);
    place.replaceChildren(heat({ rows: names, columns, values, form: percent, most, tight: true, corner: "task" }), scale(most));
  };
  draw("churn");
  return [h("div", { class: "controls" }, choice("Layers", [["churn", "churn"], ["sparsity", "sparsity"]], "churn", draw)), place];
}
function scale(most) {
  const steps = [0, 0.25, 0.5, 0.75, 1].map((share) => h("span", {}, h("i", { class: "dot", style: `background:color-mix(in srgb, var(--ink) ${6 + 82 * share}%, var(--card))` }), percent(share * most)));
  return h("div", { class: "legend" }, steps);
}
function masks(run) {
  if (!run.pictures.length) return h("p", { class: "soft" }, "No layer has a mask.");
  const place = h("div", { class: "masks", tabindex: 0 });
  const name = (index) => (run.tasks[index].task ? `after task ${run.tasks[index].task}` : run.tasks[index].epochs_done ? "from here" : "at first");
  const draw = (layer) => place.replaceChildren(...run.pictures.find((one) => one.layer === layer).images.map((image, index) =>
    h("figure", {}, h("img", { src: `data:image/png;base64,${image}`, alt: `mask of ${layer} ${name(index)}` }), h("figcaption", {}, name(index)))));
  draw(run.pictures[0].layer);
  const select = h("select", { "aria-label": "Layer", onchange: (event) => draw(event.target.value) }, run.pictures.map((one) => h("option", {}, one.layer)));
  return [h("div", { class: "controls" }, select), place];
}
function samples(run) {
  const series = [["seen", "samples_seen"], ["replayed", "samples_replayed"], ["removed", "samples_removed"]]
    .map(([name, key]) => ({ name, points: atEpochs(run.epochs, (one) => one[key]) }));
  return [lines({ series, x: "epoch", y: "samples", low: 0, high: highest((one) => one.epochs.flatMap((epoch) => [epoch.samples_seen, epoch.samples_replayed])), marks: taskMarks(run.epochs), whole: true }),
    h("p", { class: "soft" }, `${count(run.samples_removed)} samples were removed from training, ${count(run.samples_replayed)} came from the buffer.`)];
}
function work(run) {
  const flops = run.training_flops, most = highest((one) => [one.training_flops.true_dense, one.training_flops.paper_dense]);
  return bars([["true count", "true"], ["the paper's convention", "paper"]].map(([name, key]) => ({ name, value: flops[`${key}_sparse`], behind: flops[`${key}_dense`],
    text: `${short(flops[`${key}_sparse`])} of ${short(flops[`${key}_dense`])}` })), most);
}
function memoryOf(run) {
  return bars(run.memory.map((one) => ({ name: one.name, value: one.bytes, text: bytes(one.bytes) })), highest((one) => one.memory.map((part) => part.bytes)));
}

show(
  h("h1", {}, DATA.title), h("p", { class: "lead" }, "What a compiled artifact learned, task after task, and what it kept."),
  section("At a glance", "", glance),
  half("Accuracy", "A row says how well every task so far was answered after one more had been learned, in percent.", accuracy),
  half("Accuracy by task", "A line a task, from where it was learned on, in percent.", byTask),
  half("Loss", "The mean loss of each epoch; where a task begins, its classes are new.", loss),
  half("Samples", "So far: seen are the tasks' own, replayed those from the buffer.", samples),
  section("Layers over the epochs", "Churn is the share of the kept weights that an epoch has exchanged for others; a column is an epoch.", layers),
  section("Masks over time", "A row of a picture is an output channel, filled where weights are kept.", masks),
  half("Training FLOPs", "All of training, replay included; the paler bar is the dense network.", work),
  half("Memory of training", "An estimate, made when the model was compiled.", memoryOf));
