// Replays a tape (tests/parity/tape.py) with ONNX Runtime for JavaScript:
//
//   node replay.mjs PACKAGE.js FOLDER RESULTS STEPS
//
// PACKAGE.js is the file of onnxruntime-node, or of onnxruntime-web, which computes in WebAssembly. FOLDER has tape.tsv and tape.bin;
// results.tsv and results.bin go into the folder RESULTS. It ends after so many steps, and with STEPS 0 only at the tape's end.
import { readFileSync, writeFileSync } from "node:fs";
import { join as path } from "node:path";
import { pathToFileURL } from "node:url";

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

const [runtime, folder, results, steps] = process.argv.slice(2);
const loaded = await import(pathToFileURL(runtime).href);
const ort = loaded.default ?? loaded;
ort.env.wasm.numThreads = 1;
const options = { intraOpNumThreads: 1, executionProviders: [ort.env.versions.web ? "wasm" : "cpu"] };
const bytes = readFileSync(path(folder, "tape.bin"));
const sessions = new Map();
const values = new Map();
const lines = [];
const chunks = [];
let call;
let written = 0;
let done = 0;

function value(name, dtype, shape, offset, length) {
  // A copy: a typed array must lie at a multiple of its elements' size.
  const raw = new Uint8Array(bytes.subarray(Number(offset), Number(offset) + Number(length)));
  const dimensions = shape ? shape.split(",").map(Number) : [];
  values.set(name, new ort.Tensor(dtype, new ARRAYS[dtype](raw.buffer), dimensions));
}

function join(name, ...parts) {
  const { type } = values.get(parts[0]);
  const numbers = ARRAYS[type].from(parts.map((part) => values.get(part).data[0]));
  values.set(name, new ort.Tensor(type, numbers, [parts.length]));
}

async function open(name, file) {
  // The browser's package reads no files.
  sessions.set(name, await ort.InferenceSession.create(readFileSync(file), options));
}

async function run() {
  const feeds = Object.fromEntries(call.inputs.map(([name, from]) => [name, values.get(from)]));
  const found = await sessions.get(call.graph).run(feeds, call.outputs.map(([name]) => name));
  for (const [name, to] of call.outputs) values.set(to, found[name]);
}

function write(name) {
  const { type, dims, data } = values.get(name);
  lines.push(["value", name, type, dims.join(","), written, data.byteLength].join("\t"));
  chunks.push(Buffer.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)));
  written += data.byteLength;
}

const instructions = {
  graph: open,
  value,
  join,
  run: (graph) => (call = { graph, inputs: [], outputs: [] }),
  in: (name, from) => call.inputs.push([name, from]),
  out: (name, to) => call.outputs.push([name, to]),
  end: run,
  write,
  mark: () => (done += 1),
};

for (const line of readFileSync(path(folder, "tape.tsv"), "utf8").trimEnd().split("\n")) {
  const [what, ...parts] = line.split("\t");
  await instructions[what](...parts);
  if (what === "mark" && done === Number(steps)) break;
}
writeFileSync(path(results, "results.tsv"), lines.map((line) => `${line}\n`).join(""));
writeFileSync(path(results, "results.bin"), Buffer.concat(chunks));
console.log(ort.env.versions.node ?? ort.env.versions.web);
