// Graphs as pictures that can be moved and zoomed. dagre lays them out in a worker, so that the page stays alive.
const [NAME, OP, INPUTS, OUTPUTS, ATTRIBUTES, ORIGIN] = [0, 1, 2, 3, 4, 5];
const FEW = 90; // nodes that are shown at once; of more, those that a pass changed, with their neighbours
const passColour = (step) => (step < 0 ? "hsl(215 12% 86%)" : `hsl(${(step * 47 + 20) % 360} 62% ${step % 2 ? 72 : 80}%)`);

const layOut = (() => {
  const code = `${document.getElementById("layout").textContent}
onmessage = (event) => {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ nodesep: 18, ranksep: 34, edgesep: 8, marginx: 20, marginy: 20, ranker: event.data.nodes.length > 400 ? "longest-path" : "network-simplex" });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const [id, width, height] of event.data.nodes) graph.setNode(id, { width, height });
  for (const [from, to] of event.data.edges) graph.setEdge(from, to);
  try {
    dagre.layout(graph);
    const nodes = graph.nodes().map((id) => { const { x, y } = graph.node(id); return [id, x, y]; });
    const edges = graph.edges().map((edge) => graph.edge(edge).points.map(({ x, y }) => [x, y]));
    postMessage({ ticket: event.data.ticket, nodes, edges, width: graph.graph().width, height: graph.graph().height });
  } catch (error) { postMessage({ ticket: event.data.ticket, fault: String(error) }); }
};`;
  let worker = null, last = 0;
  const waiting = new Map();
  return (nodes, edges) => new Promise((done) => {
    if (!worker) {
      worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
      worker.onmessage = ({ data }) => { waiting.get(data.ticket)(data); waiting.delete(data.ticket); };
    }
    waiting.set((last += 1), done);
    worker.postMessage({ ticket: last, nodes, edges });
  });
})();

function viewer(one, told) {
  const { nodes, steps, types } = one.graph;
  const stateNames = new Set(one.state);
  const view = { step: defaultStep(one), when: "after", extent: "changed", chosen: null };
  const svg = s("svg", { role: "img", "aria-label": "The graph" });
  const message = h("div", { class: "message" });
  const details = h("div", { class: "details soft" }, "No node is chosen.");
  const legend = h("div", { class: "legend" });
  const select = h("select", { "aria-label": "Pass", onchange: (event) => choose(Number(event.target.value)) },
    one.passes.map((pass, step) => h("option", { value: step }, `${step + 1}. ${pass.name}${pass.modified ? "" : " (nothing)"}`)));
  const camera = pan(svg);
  const stage = h("div", { class: "stage" }, svg, message, h("div", { class: "zoom" },
    [["+", () => camera.zoom(1.35), "Zoom in"], ["−", () => camera.zoom(1 / 1.35), "Zoom out"], ["⤢", () => camera.fit(), "Show all"]]
      .map(([text, act, label]) => h("button", { type: "button", "aria-label": label, title: label, onclick: act }, text))));
  const element = h("div", {}, h("div", { class: "controls" }, select,
    choice("When", [["before", "before"], ["after", "after"]], "after", (value) => { view.when = value; draw(); }),
    choice("Extent", [["changed", "what changed"], ["all", "whole graph"]], "changed", (value) => { view.extent = value; draw(); })), stage, legend, details);

  function choose(step) { view.step = step; select.value = step; told(step); draw(); }

  async function draw() {
    const at = view.when === "after" ? view.step : view.step - 1;
    if (at < 0) { svg.replaceChildren(); legend.replaceChildren(); message.textContent = "The model's own file is what stood before the first pass."; return; }
    const other = view.when === "after" ? view.step - 1 : view.step;
    const names = new Set(other < 0 ? steps[at].nodes.map((id) => nodes[id][NAME]) : steps[other].nodes.map((id) => nodes[id][NAME]));
    const forms = new Set(other < 0 ? steps[at].nodes : steps[other].nodes);
    const changed = (id) => !names.has(nodes[id][NAME]) ? (view.when === "after" ? "new" : "gone") : forms.has(id) ? "" : "other";
    const graph = linked(steps[at]);
    const shown = extent(graph, steps[at].nodes, changed);
    message.textContent = shown.size ? `Laying out ${count(shown.size)} nodes ...` : "This pass changed no node. Choose the whole graph to see it.";
    svg.replaceChildren(); legend.replaceChildren();
    if (!shown.size) return;
    const boxes = [...shown].map((key) => box(key));
    const kept = graph.edges.filter(([from, to]) => shown.has(from) && shown.has(to));
    const wanted = `${view.step} ${view.when} ${view.extent}`;
    draw.last = wanted;
    const laid = await layOut(boxes.map((item) => [item.key, item.width, item.height]), kept);
    if (draw.last !== wanted) return;
    message.textContent = laid.fault ? `This graph cannot be laid out (${laid.fault}).` : "";
    if (!laid.fault) paint(laid, new Map(boxes.map((item) => [item.key, item])), changed);
  }

  // The nodes and the fed inputs of a graph with the arrows between them; state tensors are told in a node's details.
  function linked({ nodes: numbers, inputs }) {
    const maker = new Map(inputs.filter((name) => !stateNames.has(name)).map((name) => [name, `in:${name}`]));
    for (const id of numbers) for (const name of nodes[id][OUTPUTS]) if (name) maker.set(name, String(id));
    const edges = new Map();
    for (const id of numbers) for (const name of nodes[id][INPUTS]) if (maker.has(name)) edges.set(`${maker.get(name)} ${id}`, [maker.get(name), String(id)]);
    return { edges: [...edges.values()], keys: [...new Set([...numbers.map(String), ...[...edges.values()].map(([from]) => from)])] };
  }
  function extent(graph, numbers, changed) {
    if (view.extent === "all") return new Set(graph.keys);
    const core = new Set(numbers.filter((id) => changed(id)).map(String));
    if (!core.size) return core;
    if (numbers.length <= FEW) return new Set(graph.keys);
    const found = new Set(core);
    for (const [from, to] of graph.edges) { if (core.has(from)) found.add(to); if (core.has(to)) found.add(from); }
    return found;
  }
  function box(key) {
    const outer = key.startsWith("in:"), node = outer ? null : nodes[Number(key)];
    const op = outer ? key.slice(3) : node[OP], name = outer ? "" : cut(node[NAME]);
    return { key, node, op: cut(op), name, width: Math.max(64, 7.4 * Math.max(cut(op).length, 0.88 * name.length) + 18), height: outer ? 24 : 38 };
  }
  function cut(text) { return text.length > 28 ? `${text.slice(0, 12)}...${text.slice(-13)}` : text; }

  function paint(laid, boxes, changed) {
    const arrows = laid.edges.map((points) => s("path", { class: "edge", d: curve(points), "marker-end": "url(#arrow)" }));
    const drawn = laid.nodes.map(([key, x, y]) => node(boxes.get(key), x, y, changed));
    const arrow = s("defs", {}, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" }, s("path", { d: "M0 0L8 4L0 8z", fill: "var(--soft)" })));
    svg.replaceChildren(arrow, s("g", {}, arrows, drawn));
    camera.show(laid.width, laid.height);
    const origins = [...new Set(laid.nodes.map(([key]) => boxes.get(key).node?.[ORIGIN]).filter((step) => step !== undefined))].sort((a, b) => a - b);
    legend.replaceChildren(...origins.map((step) => h("span", {}, h("i", { class: "dot", style: `background:${passColour(step)}` }), step < 0 ? "the model's own" : one.passes[step].name)),
      h("span", { class: view.when === "after" ? "add" : "remove" }, view.when === "after" ? "outlined: inserted by this pass" : "dashed: gone after this pass"));
  }
  function node(item, x, y, changed) {
    const kind = item.node ? changed(Number(item.key)) : "outer";
    const group = s("g", { class: `node ${kind}`, transform: `translate(${x - item.width / 2} ${y - item.height / 2})` },
      s("rect", { width: item.width, height: item.height, rx: item.node ? 6 : 12, fill: item.node ? passColour(item.node[ORIGIN]) : null }),
      s("text", { class: "op", x: item.width / 2, y: 16, "text-anchor": "middle" }, item.op),
      item.name ? s("text", { x: item.width / 2, y: 30, "text-anchor": "middle", style: "font-size:10.5px" }, item.name) : null);
    group.addEventListener("click", () => read(item, group));
    return group;
  }
  function read(item, group) {
    svg.querySelectorAll(".chosen").forEach((old) => old.classList.remove("chosen"));
    group.classList.add("chosen");
    const value = (name) => h("code", {}, `${name}${types[name] ? ` ${types[name]}` : stateNames.has(name) ? " (state)" : ""}`);
    const list = (names) => names.filter(Boolean).flatMap((name, index) => (index ? [", ", value(name)] : [value(name)]));
    if (!item.node) { details.replaceChildren("Input ", value(item.key.slice(3))); return; }
    const [name, op, inputs, outputs, attributes, origin] = item.node;
    const given = Object.entries(attributes).map(([key, text]) => `${key} = ${text}`).join(", ");
    details.replaceChildren(h("b", {}, op), ` ${name}, ${origin < 0 ? "the model's own" : `made by ${one.passes[origin].name}`}`, h("br"), "reads ", list(inputs), h("br"), "gives ", list(outputs), given ? [h("br"), given] : []);
  }
  return { element, choose, begin: () => choose(view.step) };
}
// The pass that one would look at first: the one that puts masks in, else the last that changed something.
function defaultStep(one) {
  const masks = one.passes.findIndex((pass) => pass.name === "insert_weight_masks" && pass.modified);
  return masks >= 0 ? masks : one.passes.findLastIndex((pass) => pass.modified);
}
function curve(points) {
  const [first, ...rest] = points;
  let path = `M${first[0]} ${first[1]}`;
  for (let index = 0; index < rest.length - 1; index += 1) {
    const [x, y] = rest[index], [nextX, nextY] = rest[index + 1];
    path += `Q${x} ${y} ${(x + nextX) / 2} ${(y + nextY) / 2}`;
  }
  const [x, y] = rest.at(-1);
  return `${path}L${x} ${y}`;
}
// Moving and zooming of an SVG by its viewBox: mouse, wheel, fingers.
function pan(svg) {
  let box = [0, 0, 100, 100], whole = [100, 100];
  const fingers = new Map();
  const put = () => svg.setAttribute("viewBox", box.join(" "));
  const scale = () => Math.max(box[2] / svg.clientWidth, box[3] / svg.clientHeight) || 1;
  function zoom(factor, x = svg.clientWidth / 2, y = svg.clientHeight / 2) {
    const size = scale(), next = Math.min(Math.max(size / factor, 0.15), Math.max(whole[0], whole[1]) / 60 + 6);
    const atX = box[0] + box[2] / 2 + (x - svg.clientWidth / 2) * size, atY = box[1] + box[3] / 2 + (y - svg.clientHeight / 2) * size;
    const width = svg.clientWidth * next, height = svg.clientHeight * next;
    box = [atX - x * next, atY - y * next, width, height];
    put();
  }
  function fit() { box = [0, 0, ...whole]; put(); }
  function show(width, height) {
    whole = [width, height];
    fit();
    if (scale() < 0.7) zoom(scale() / 0.85); // a few nodes do not become giants
  }
  svg.addEventListener("wheel", (event) => { event.preventDefault(); const at = svg.getBoundingClientRect(); zoom(Math.exp(-event.deltaY / 400), event.clientX - at.left, event.clientY - at.top); }, { passive: false });
  svg.addEventListener("pointerdown", (event) => fingers.set(event.pointerId, [event.clientX, event.clientY]));
  addEventListener("pointerup", (event) => fingers.delete(event.pointerId));
  addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
  addEventListener("pointermove", (event) => {
    const old = fingers.get(event.pointerId);
    if (!old) return;
    const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const now = [event.clientX, event.clientY];
    if (others.length) {
      const [x, y] = others[0], at = svg.getBoundingClientRect();
      zoom(Math.hypot(now[0] - x, now[1] - y) / Math.max(1, Math.hypot(old[0] - x, old[1] - y)), (now[0] + x) / 2 - at.left, (now[1] + y) / 2 - at.top);
    } else {
      const size = scale();
      box = [box[0] - (now[0] - old[0]) * size, box[1] - (now[1] - old[1]) * size, box[2], box[3]];
      put();
    }
    fingers.set(event.pointerId, now);
  });
  return { zoom, fit, show };
}
