/** The verbs of a program, one by one, over an engine that runs no graph. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tensor } from "onnxruntime-common";
import type { Engine } from "../src/engine.js";
import { Interpreter, type Value } from "../src/interpreter.js";
import type { InputSpec } from "../src/manifest.js";
import type { Block, Program } from "../src/program.js";
import { Table, type Tables } from "../src/tables.js";
import { type Numbers, numbers, type Ort } from "../src/tensors.js";

const ORT = { Tensor } as unknown as Ort;
const input = (name: string, dtype = "int64", shape: InputSpec["shape"] = []): InputSpec => ({ name, dtype, shape });

/** An interpreter of the block `it`, what its graph was fed with, and what was reset. */
function made(it: Block, more: Partial<Program> = {}, inputs: readonly InputSpec[] = []) {
  const runs: Record<string, unknown>[] = [];
  const resets: string[] = [];
  const weight = { accumulator: "a", g1: "a.g1", g2: "a.g2" };
  const engine = {
    manifest: { weights: [weight] },
    type: (name: string) => name,
    tensor: (dtype: string, data: Numbers, dims: readonly number[]) =>
      new Tensor(dtype as "int64", data as BigInt64Array, dims),
    graph: () => ({ inputs }),
    reset: (names: readonly string[]) => void resets.push(...names),
    run: async (_: string, fed: Record<string, Tensor>, instead: object) => {
      const plain = Object.entries(fed).map(([name, one]) => [
        name,
        { type: one.type, dims: one.dims, data: numbers(one) },
      ]);
      runs.push({ ...Object.fromEntries(plain), ...(instead && { instead }) });
      return { out: new Tensor("int64", BigInt64Array.of(7n), [1]) };
    },
  };
  const samples = { data: Uint8Array.from({ length: 5 }, (_, n) => n * 10), shape: [1, 1, 1] };
  const table = new Table(ORT, samples, [0, 1, 0, 1, 0], [0, 1]);
  const tables: Tables = {
    data: () => table,
    train: (task) => (task === 0 ? table : undefined),
    test: () => undefined,
  };
  const program = {
    counters: { task: 0, epoch: 0 },
    vectors: {},
    events: {},
    kept: [],
    ...more,
    blocks: { it, ...more.blocks },
  };
  return { runs, resets, interpreter: new Interpreter(engine as unknown as Engine, program, tables) };
}

async function after(it: Block, values: Record<string, Value> = {}, more: Partial<Program> = {}) {
  const { interpreter } = made(it, more);
  interpreter.set(values);
  await interpreter.call("it");
  return interpreter;
}

const add = (name: string): Block => [{ do: "count", name }];

test("set takes a constant or what another value is now", async () => {
  const found = await after([
    { do: "set", name: "a", to: 3 },
    { do: "set", name: "b", to: "a" },
    { do: "set", name: "a", to: 5 },
  ]);
  assert.deepEqual([found.integer("a"), found.integer("b")], [5, 3]);
});

test("count adds one, a constant, a value or the rows of one", async () => {
  const rows = new Tensor("float32", new Float32Array(6), [3, 2]);
  const ops: Block = [
    { do: "count", name: "a" },
    { do: "count", name: "a", add: 10 },
    { do: "count", name: "a", add: "b" },
    { do: "count", name: "a", rows: "r" },
  ];
  assert.equal((await after(ops, { a: 0, b: 100, r: rows })).integer("a"), 114);
});

for (const [condition, value, holds] of [
  [{ at_least: 2 }, 1, false],
  [{ at_least: 2 }, 2, true],
  [{ at_least: 0 }, 0, true],
  [{ every: 3 }, 4, false],
  [{ every: 3 }, 6, true],
  [{}, 0, false],
  [{}, -1, true],
  [{ at_least: null, every: null }, 2, true],
] as const) {
  test(`when ${JSON.stringify(condition)} of ${value} is ${holds}`, async () => {
    const op: Block = [
      { do: "when", any: [{ value: "no" }, { value: "v", ...condition }], then: add("yes"), otherwise: add("other") },
    ];
    const found = await after(op, { no: 0, v: value, yes: 0, other: 0 });
    assert.deepEqual([found.integer("yes"), found.integer("other")], holds ? [1, 0] : [0, 1]);
  });
}

test("a result of a graph is an integer, true being 1", async () => {
  const op: Block = [{ do: "when", any: [{ value: "v" }], then: add("yes") }];
  assert.equal((await after(op, { v: new Tensor("bool", [true], [1]), yes: 0 })).integer("yes"), 1);
});

test("each counts from 0 to its last, included", async () => {
  const op: Block = [{ do: "each", name: "i", last: "n", block: [{ do: "count", name: "sum", add: "i" }] }];
  assert.equal((await after(op, { n: 4, sum: 0 })).integer("sum"), 10);
});

test("slice takes no more than count and none from the end on, and moves the position", async () => {
  const op: Block = [{ do: "slice", vector: "order", position: "at", count: "batch", end: "length", give: "ids" }];
  const found = await after(op, { order: [5, 6, 7, 8, 9], at: 2, batch: 4, length: 4 });
  assert.deepEqual([found.vector("ids"), found.integer("at")], [[7, 8], 4]);
  assert.equal((found.value("ids") as Tensor).type, "int64");
});

test("gather takes rows of the task with their labels", async () => {
  const found = await after([{ do: "gather", rows: "ids", give: "current" }], { ids: [3, 0] });
  assert.deepEqual(
    ["raw", "labels", "classes"].map((name) => found.vector(`current.${name}`)),
    [
      [30, 0],
      [1, 0],
      [0, 1],
    ],
  );
});

test("rows takes a table in chunks, the last one with what is left", async () => {
  const op: Block = [
    {
      do: "rows",
      table: "data",
      at_most: 2,
      give: "seen",
      block: [
        { do: "count", name: "n", rows: "seen.raw" },
        { do: "count", name: "runs" },
      ],
    },
  ];
  const found = await after(op, { n: 0, runs: 0 });
  assert.deepEqual([found.integer("n"), found.integer("runs"), found.vector("seen.raw")], [5, 3, [40]]);
});

test("call runs a block, and one that is not there ends in a line", async () => {
  assert.equal(
    (await after([{ do: "call", block: "other" }], { a: 0 }, { blocks: { other: add("a") } })).integer("a"),
    1,
  );
  await assert.rejects(after([{ do: "call", block: "lost" }]), /the program has no block lost/);
});

test("reset names state", async () => {
  const { interpreter, resets } = made([{ do: "reset", state: ["a", "b"] }]);
  await interpreter.call("it");
  assert.deepEqual(resets, ["a", "b"]);
});

test("fail says a value, or the name of its number", async () => {
  await assert.rejects(after([{ do: "fail", message: "{} is bad", of: "v" }], { v: 2 }), {
    name: "TrainingError",
    message: "2 is bad",
  });
  await assert.rejects(
    after([{ do: "fail", message: "{} is bad", of: "v", names: ["x", "y", "z"] }], { v: 1 }),
    /^TrainingError: y is bad$/,
  );
});

test("run feeds from feeds, then from the batch, else leaves the input to the state", async () => {
  const inputs = [
    input("x"),
    input("y"),
    input("kept"),
    input("key"),
    input("flag", "bool", [1]),
    input("share", "float32"),
  ];
  const feeds = { x: "other", key: ["seed", 3, 0], flag: 1, share: 0.5, unknown: 4 } as const;
  const { interpreter, runs } = made(
    [{ do: "run", graph: "g", take: "now", feeds, give: "got", results: {}, into: "g2" }],
    {},
    inputs,
  );
  interpreter.set({ other: 1, "now.x": 2, "now.y": 3, seed: 9 });
  await interpreter.call("it");
  const scalar = (type: string, data: number) => ({ type, dims: [], data: [data] });
  assert.deepEqual(runs, [
    {
      x: scalar("int64", 1),
      y: scalar("int64", 3),
      key: { type: "int64", dims: [3], data: [9, 3, 0] },
      flag: { type: "bool", dims: [1], data: [1] },
      share: scalar("float32", 0.5),
      instead: { a: "a.g2" },
    },
  ]);
  assert.equal(interpreter.integer("got.out"), 7);
});

test("results keep their names without give, and get other ones where they are told", async () => {
  assert.equal((await after([{ do: "run", graph: "g" }])).integer("out"), 7);
  assert.equal((await after([{ do: "run", graph: "g", give: "got", results: { out: "mine" } }])).integer("mine"), 7);
});

const event = (numerator: number, tasks: "first" | "later" | "all", to: number) => ({
  at: [numerator, 10] as [number, number],
  tasks,
  feeds: { to: [to] },
});
const EVENTS = {
  events: { kind: [event(0, "later", 1), event(2, "all", 2), event(3, "first", 3), event(4, "all", 4)] },
};
const DUE: Block = [{ do: "due", events: "kind", block: [{ do: "count", name: "sum", add: "event.to" }] }];
const VALUES = { epoch: 0, epochs: 2, done: 0, total: 10, sum: 0 };

test("due runs the events of this task whose time has come, each once", async () => {
  const { interpreter } = made(DUE, EVENTS);
  const sums = [];
  interpreter.set(VALUES);
  for (const done of [3, 4, 6, 6, 9]) {
    interpreter.set({ done });
    await interpreter.call("it");
    sums.push(interpreter.integer("sum"));
  }
  assert.deepEqual(sums, [0, 2, 5, 5, 9]);
  interpreter.forget();
  await interpreter.call("it");
  assert.equal(interpreter.integer("sum"), 18);
});

test("a later task has other events", async () => {
  const { interpreter } = made(DUE, EVENTS);
  interpreter.set({ ...VALUES, task: 2, done: 9 });
  await interpreter.call("it");
  assert.equal(interpreter.integer("sum"), 7);
});

test("a value that nothing gives, and a table without samples, end in a line", async () => {
  await assert.rejects(after([{ do: "set", name: "a", to: "lost" }]), /nothing gives 'lost'/);
  await assert.rejects(
    after([{ do: "gather", rows: "ids", give: "g" }], { ids: [0], task: 1 }),
    /no samples for the table train/,
  );
});
