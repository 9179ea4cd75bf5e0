/**
 * `node dist/test/calls.js ARTIFACT STATE SAMPLES TURN.json [FAULT]`: a turn of a learner's conformance kit.
 *
 * It opens a learner, makes the calls, and prints what each gave, a line of JSON for each (tests/conformance/README.md).
 */
import { readFile } from "node:fs/promises";
import type { Budget, Choice, Learned } from "../src/calls.js";
import type { Engine } from "../src/engine.js";
import { SparclError } from "../src/errors.js";
import { Learner } from "../src/learner.js";
import { folder } from "../src/node.js";
import { parsed, type Stored } from "../src/safetensors.js";
import type { Study } from "../src/study.js";
import { FAULTS } from "./faults.js";
import { loaded } from "./runtimes.js";

interface Call extends Budget, Choice {
  readonly do: "learn" | "observe" | "predict" | "evaluate" | "report" | "end_task" | "save";
  readonly of?: string;
  readonly rows?: readonly number[];
  readonly labels?: readonly string[];
  readonly cancel?: number;
}

const [artifact = "", state = "", file = "", told = "", fault = ""] = process.argv.slice(2);
const turn = JSON.parse(await readFile(told, "utf8"));
const { tensors } = parsed(await readFile(file));
const say = (value: unknown) => console.log(JSON.stringify(value));
const REFUSED = { refused: true };

function samples({ of = "x", rows = [] }: Call) {
  const { data, shape } = tensors.get(of) as Stored;
  const size = data.length / (shape[0] ?? 1);
  const made = new Uint8Array(rows.length * size);
  for (const [place, row] of rows.entries())
    made.set((data as Uint8Array).subarray(row * size, (row + 1) * size), place * size);
  return { data: made, dims: [rows.length, ...shape.slice(1)] };
}

async function learnt(call: Call, act: (budget: Budget) => Promise<Learned>) {
  const made: (readonly number[])[] = [];
  const { epochs, steps, seconds } = call;
  const given = Object.fromEntries(
    Object.entries({ epochs, steps, seconds }).filter(([, value]) => value !== undefined),
  );
  const ended = await act({
    ...given,
    progress: ({ task, epoch, epochs: all, done, total, loss, sparsity }) =>
      made.push([task, epoch, all, done, total, loss, sparsity]) !== call.cancel,
  });
  return { ...ended, made };
}

/** A name of JavaScript as Python has it. */
const snake = (value: object): object =>
  Object.fromEntries(
    Object.entries(value).map(([name, one]) => [
      name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      name === "trainingFlops" ? snake(one) : one,
    ]),
  );

function choice({ classes, task }: Call): Choice {
  return { ...(classes && { classes }), ...(task === undefined ? {} : { task }) };
}

const DO: Readonly<Record<Call["do"], (learner: Learner, call: Call) => Promise<object>>> = {
  learn: (learner, call) =>
    learnt(call, (budget) => learner.learn(call.rows && samples(call), call.labels ?? [], budget)),
  observe: (learner, call) => {
    const { data, dims } = samples(call);
    return learnt(call, (budget) => learner.observe({ data, dims: dims.slice(1) }, call.labels?.[0] ?? "", budget));
  },
  predict: async (learner, call) => {
    const { names, classes, probabilities } = await learner.predict(samples(call), choice(call));
    return { names, classes, probabilities: probabilities.map((row) => [...row]) };
  },
  evaluate: async (learner, call) => snake(await learner.evaluate(samples(call), call.labels ?? [], choice(call))),
  report: async (learner) => {
    const { seconds: _, stateBytes: __, ...report } = await learner.report();
    return snake(report);
  },
  end_task: (learner) => learner.endTask().then(() => ({})),
  save: (learner) => learner.save().then(() => ({})),
};

function standing({ classes, tasks, underWay, waiting, observed }: Learner) {
  return { classes, tasks, under_way: underWay, waiting, observed };
}

/** What is given, or that it is refused; an error of another kind is one of the driver. */
async function orRefused<Kind>(act: () => Promise<Kind>): Promise<Kind | typeof REFUSED> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof SparclError) return REFUSED;
    throw error;
  }
}

const { seed, buffer, batch, learning_rate: learningRate } = turn.open;
const own = { ...(seed !== undefined && { seed }), ...(buffer !== undefined && { buffer }) };
const ort = await loaded("onnxruntime-node");
const options = { state: folder(state), threads: 1, batch, learningRate, ...own };
const learner = await orRefused(() => Learner.open(ort, folder(artifact), options));
if (learner instanceof Learner) {
  const { study, engine } = learner as unknown as { study: Study; engine: Engine }; // no part of its interface
  FAULTS[fault]?.(study.trainer, engine);
  say(standing(learner));
  for (const call of turn.calls)
    say({ ...(await orRefused(() => DO[call.do as Call["do"]](learner, call))), standing: standing(learner) });
  if (turn.close) await learner.close();
  else process.exit(0); // as a kill
} else say(learner);
