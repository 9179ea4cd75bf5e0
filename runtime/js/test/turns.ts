/**
 * `node dist/test/turns.js ARTIFACT STATE SAMPLES ORDERS RATE`: a turn of a run that other languages have turns of as well.
 *
 * SAMPLES has `x` and `labels`, ORDERS is a JSON list of calls: `["learn", FROM, TO, BUDGET]` with rows of the samples,
 * `["learn", null, null, BUDGET]`, `["observe", ROW, null, BUDGET]`, `["evaluate", FROM, TO]`. It prints what they gave;
 * of those that learn as well task, epoch, number and loss of each step, as `made`.
 */
import { readFile } from "node:fs/promises";
import type { Budget, Learned } from "../src/calls.js";
import { Learner } from "../src/learner.js";
import { folder } from "../src/node.js";
import { parsed, type Stored } from "../src/safetensors.js";
import { loaded } from "./runtimes.js";

const [artifact = "", state = "", file = "", orders = "[]", rate = ""] = process.argv.slice(2);
const { tensors } = parsed(await readFile(file));
const [x, y] = ["x", "labels"].map((name) => tensors.get(name)) as [Stored, Stored];
const size = x.data.length / y.data.length;

const samples = (from: number, to: number) => ({
  data: (x.data as Uint8Array).slice(from * size, to * size),
  dims: [to - from, ...x.shape.slice(1)],
});
const labels = (from: number, to: number) => Array.from(y.data as BigInt64Array, Number).slice(from, to);

const learner = await Learner.open(await loaded("onnxruntime-node"), folder(artifact), {
  state: folder(state),
  learningRate: Number(rate),
  threads: 1,
});
async function learnt(call: (budget: Budget) => Promise<Learned>, budget: Budget) {
  const made: (readonly number[])[] = [];
  const ended = await call({
    ...budget,
    progress: ({ task, epoch, done, loss }) => void made.push([task, epoch, done, loss]),
  });
  return { ...ended, made };
}
const calls = {
  learn: (from: number | null, to: number, budget: Budget) =>
    learnt(
      (told) =>
        from === null ? learner.learn(undefined, [], told) : learner.learn(samples(from, to), labels(from, to), told),
      budget,
    ),
  observe: (row: number, _: null, budget: Budget) => {
    const { data, dims } = samples(row, row + 1);
    return learnt(
      (told) => learner.observe({ data, dims: dims.slice(1) }, labels(row, row + 1)[0] ?? "", told),
      budget,
    );
  },
  evaluate: (from: number, to: number) => learner.evaluate(samples(from, to), labels(from, to)),
};
const found: unknown[] = [];
for (const [call, ...given] of JSON.parse(orders))
  found.push(await (calls[call as keyof typeof calls] as (...all: readonly unknown[]) => Promise<unknown>)(...given));
await learner.close();
console.log(JSON.stringify(found));
