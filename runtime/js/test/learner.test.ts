/** A learner on the artifact of a kit: four classes, images of 8 x 8. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Step } from "../src/calls.js";
import { folder } from "../src/node.js";
import { type Saved, StateFiles } from "../src/state.js";
import { artifact, lot, one, open, scratch, stateOf } from "./support.js";

const QUICK = { epochs: 2 };

test("it learns one class after the other, answers, and is where it was when it is opened again", async () => {
  const state = scratch();
  const learner = await open(state, { learningRate: 0.2 }); // the artifact's own is for more samples
  for (const classes of ["ab", "cd"]) {
    const { samples, labels } = lot(classes);
    assert.equal((await learner.learn(samples, labels, { epochs: 40 })).reason, "done");
  }
  const asked = lot("abcd", 5, "der", "test");
  const before = await learner.predict(asked.samples);
  const { accuracy, byClass } = await learner.evaluate(asked.samples, asked.labels);
  assert.ok(accuracy > 60, `${accuracy}`);
  const right = before.names.filter((name, row) => name === asked.labels[row]).length;
  assert.equal(accuracy, (100 * right) / 20);
  assert.deepEqual(Object.keys(byClass), ["a", "b", "c", "d"]);
  const report = await learner.report();
  assert.deepEqual([report.tasks, report.classes, report.places], [2, ["a", "b", "c", "d"], 4]);
  assert.ok(report.sparsity > 0.7 && report.trainingFlops.trueSparse < report.trainingFlops.trueDense);
  await learner.close();
  assert.deepEqual(readdirSync(state), ["state.safetensors"]);
  const again = await open(state);
  assert.deepEqual(await again.predict(asked.samples), before);
  assert.deepEqual((await again.report()).accuracyByClass, byClass);
  await again.close();
});

test("probabilities sum to 1, and are of the names or of the task that are asked for", async () => {
  const learner = await open(scratch());
  for (const classes of ["ab", "c"]) await learner.learn(lot(classes).samples, lot(classes).labels, QUICK);
  const { samples } = lot("abc", 2);
  for (const [choice, classes] of [
    [{}, ["a", "b", "c"]],
    [{ classes: ["c", "a"] }, ["a", "c"]],
    [{ task: 0 }, ["a", "b"]],
  ] as const) {
    const answers = await learner.predict(samples, choice);
    assert.deepEqual(answers.classes, classes);
    for (const row of answers.probabilities) assert.ok(Math.abs(row.reduce((sum, one) => sum + one) - 1) < 1e-6);
    assert.ok(answers.names.every((name) => (classes as readonly string[]).includes(name)));
  }
  await learner.close();
});

test("budgets of steps, of time and a cancelling progress end a call, and what is opened again goes on to the same bits", async () => {
  const [whole, pieces] = [scratch(), scratch()];
  const learner = await open(whole);
  for (const classes of ["ab", "cd"]) await learner.learn(lot(classes).samples, lot(classes).labels, QUICK);
  await learner.close();
  let opened = await open(pieces);
  for (const classes of ["ab", "cd"]) {
    let ended = await opened.learn(lot(classes).samples, lot(classes).labels, { ...QUICK, steps: 3 });
    assert.deepEqual([ended.reason, ended.steps], ["steps", 3]);
    for (let turn = 0; ended.reason !== "done"; turn++) {
      await opened.close();
      opened = await open(pieces);
      const budgets = [{ steps: 1 }, { seconds: 1e-9 }, { progress: () => false }, { steps: 4 }];
      ended = await opened.learn(undefined, [], budgets[turn % budgets.length]);
      assert.ok(
        ended.reason === "done" || ended.reason === (["steps", "seconds", "cancelled", "steps"] as const)[turn % 4],
      );
    }
  }
  await opened.close();
  assert.deepEqual(await stateOf(pieces), await stateOf(whole));
});

test("progress tells every step, and predictions come between two of them", async () => {
  const learner = await open(scratch());
  const { samples, labels } = lot("ab");
  const steps: Step[] = [];
  const asked: Promise<unknown>[] = [];
  const ended = await learner.learn(samples, labels, {
    epochs: 2,
    progress: async (step) => {
      steps.push(step);
      asked.push(learner.predict(lot("a", 1).samples));
      if (steps.length === 2) assert.equal((await learner.predict(lot("b", 1).samples)).names.length, 1);
    },
  });
  await Promise.all(asked);
  assert.equal(steps.length, ended.steps);
  assert.deepEqual(
    steps.map(({ epoch, done }) => [epoch, done]),
    [0, 1].flatMap((epoch) => [1, 2, 3, 4, 5, 6].map((done) => [epoch, done])),
  );
  assert.ok(steps.every(({ task, epochs, total, loss }) => task === 0 && epochs === 2 && total === 6 && loss > 0));
  await learner.close();
});

test("observed samples are kept at once, and become a task when there are enough", async () => {
  const state = scratch();
  const { samples, labels } = lot("abc", 3);
  let learner = await open(state, { batch: 4 });
  for (const row of [0, 1, 2]) {
    const ended = await learner.observe(...one({ samples, labels }, row), QUICK);
    assert.deepEqual([ended.reason, ended.steps], ["done", 0]);
  }
  assert.deepEqual(readdirSync(state).sort(), [".lock", "pending.safetensors"]);
  await learner.close();
  learner = await open(state, { batch: 4 });
  const ended = await learner.observe(...one({ samples, labels }, 3), QUICK);
  assert.deepEqual([ended.reason, ended.steps], ["done", 2]);
  await learner.observe(...one({ samples, labels }, 4), { steps: 0 });
  assert.deepEqual([learner.waiting, learner.observed], [1, 5]);
  assert.equal((await learner.learn(undefined, [], QUICK)).steps, 2);
  const report = await learner.report();
  assert.deepEqual([learner.waiting, learner.observed, report.tasks, report.samplesSeen], [0, 5, 2, 10]);
  await learner.close();
  assert.deepEqual(readdirSync(state), ["state.safetensors"]);
});

test("other files in the folder of a state are left alone", async () => {
  const state = scratch();
  const others = ["samples-train.safetensors", "photos.new.20261130", ".photos.new.20261130", "readme.txt"];
  const left = [".state.safetensors.new.0123abcd", "samples-0123456789abcdef.safetensors"];
  mkdirSync(state, { recursive: true });
  for (const name of [...others, ...left]) writeFileSync(join(state, name), name);
  const learner = await open(state);
  await learner.learn(lot("ab").samples, lot("ab").labels, QUICK);
  await learner.close();
  assert.deepEqual(readdirSync(state).sort(), [...others, "state.safetensors"].sort());
});

test("the samples of a state that is set aside stay as long as it does", async () => {
  const state = scratch();
  const learner = await open(state);
  await learner.learn(lot("ab").samples, lot("ab").labels, { ...QUICK, steps: 1 });
  await learner.close();
  const before = readdirSync(state);
  const aside = join(state, "state.previous.safetensors");
  renameSync(join(state, "state.safetensors"), aside);
  await (await open(state)).close();
  assert.deepEqual(readdirSync(state).length, before.length);
  const found = readFileSync(aside);
  writeFileSync(aside, found.subarray(0, 1000)); // it may have named anything
  await (await open(state)).close();
  assert.deepEqual(readdirSync(state).length, before.length);
  rmSync(aside);
  await (await open(state)).close();
  assert.deepEqual(readdirSync(state), []);
});

test("a task is ended as it stands", async () => {
  const learner = await open(scratch());
  await learner.learn(lot("ab").samples, lot("ab").labels, { ...QUICK, steps: 1 });
  await assert.rejects(learner.learn(lot("c").samples, lot("c").labels), /a task is under way/);
  await learner.endTask();
  await assert.rejects(learner.endTask(), /no task is under way/);
  assert.equal((await learner.learn(lot("c").samples, lot("c").labels, QUICK)).reason, "done");
  assert.deepEqual([learner.tasks, learner.underWay], [2, false]);
  await learner.close();
});

test("a loss that is no number ends in a line, and the learner stands where it was saved", async () => {
  const state = scratch();
  const [kit, { samples, labels }] = ["er_channels", lot("ab", 1000, "er_channels")]; // its steps have no limit
  const learner = await open(state, { learningRate: 1e30 }, kit);
  await assert.rejects(learner.learn(samples, labels, QUICK), {
    name: "TrainingError",
    message: /in task 1, epoch 1, step \d+; lower learningRate \(now 1e\+30\)/,
  });
  await learner.close();
  const { tensors } = await stateOf(state);
  for (const [name, { data }] of tensors)
    if (!name.startsWith("accuracy."))
      assert.ok(
        [...data].every((number) => Number.isFinite(Number(number))),
        name,
      );
  const lower = await open(state, { learningRate: 0.01 }, kit);
  assert.equal((await lower.learn()).reason, "done");
  await lower.close();
});

test("float samples, channels that are folded away and images of another size are learnt", async () => {
  const learner = await open(scratch(), {}, "er_channels");
  const { samples, labels } = lot("ab", 1000, "er_channels");
  await learner.learn(samples, labels, QUICK);
  const large = { data: new Float32Array(20 * 10), dims: [1, 20, 10] };
  assert.equal((await learner.predict([large, { data: new Float32Array(64), dims: [8, 8] }])).names.length, 2);
  await learner.close();
});

for (const [what, call, message] of [
  ["more names than places", (l) => l.learn(...five()), /the head of network has 4 classes.*--classes 5/],
  ["another number of labels", (l) => l.learn(lot("ab").samples, ["a"]), /there are 48 samples and 1 labels/],
  ["no samples", (l) => l.learn({ data: new Uint8Array(0), dims: [0, 8, 8] }, []), /there are no samples/],
  ["samples of another type", (l) => l.predict({ data: new Float32Array(64), dims: [1, 8, 8] }), /takes uint8 samples/],
  ["a name that is not known", (l) => l.predict(lot("a", 1).samples, { classes: ["z"] }), /z is no class/],
  ["a label that is not known", (l) => l.evaluate(lot("c", 1).samples, ["c"]), /c is no class that was learnt/],
  ["a budget of no steps", (l) => l.learn(undefined, [], { steps: 0 }), /steps 0: give a whole number from 1 on/],
  [
    "a label that is nothing",
    (l) => l.observe({ data: new Uint8Array(64), dims: [8, 8] }, undefined as never),
    /is no name/,
  ],
  ["an empty label", (l) => l.observe({ data: new Uint8Array(64), dims: [8, 8] }, ""), /labels: "" is no name/],
  ["a label between numbers", (l) => l.learn(lot("a", 1).samples, [1.5]), /labels: 1.5 is no name; give texts or/],
  ["a progress that is none", (l) => l.learn(undefined, [], { progress: 3 as never }), /give a function that takes a/],
  ["samples that are nothing", (l) => l.predict(undefined as never), /samples are \{ data, dims \}/],
  ["a name of a file", (l) => l.predict("photo.png" as never), /samples are \{ data, dims \}/],
  ["a budget of no time", (l) => l.learn(undefined, [], { seconds: 0 }), /seconds 0: give a number above 0/],
  ["a task that is not there", (l) => l.predict(lot("a", 1).samples, { task: 3 }), /there is no task 3/],
] as readonly [string, (learner: Awaited<ReturnType<typeof open>>) => Promise<unknown>, RegExp][]) {
  test(`${what} are refused, and nothing has changed`, async () => {
    const state = scratch();
    const learner = await open(state);
    await learner.learn(lot("ab").samples, lot("ab").labels, { epochs: 1 });
    const before = await stateOf(state);
    await assert.rejects(call(learner), { name: "InputError", message });
    await learner.close();
    assert.deepEqual(await stateOf(state), before);
  });
}

function five(): Parameters<Awaited<ReturnType<typeof open>>["learn"]> {
  return [lot("abcd", 1).samples, ["c", "d", "e", "a"]];
}

for (const [options, message] of [
  [{ seed: -1 }, /seed -1: give a whole number from 0 on/],
  [{ seed: "4" as never }, /seed 4: give a whole number/],
  [{ buffer: 0 }, /buffer 0: give a whole number from 1 on/],
  [{ batch: 1.5 }, /batch 1.5: give a whole number/],
  [{ threads: 0 }, /threads 0: give a whole number/],
  [{ learningRate: 0 }, /learningRate 0: give a number above 0/],
  [{ augment: "jitter_shift_scale" }, /augment jitter_shift_scale: is not for samples of this model/],
  [{ normalise: "white" as never }, /normalise white: give one of auto, unit, raw/],
] as const)
  test(`an option is refused: ${message}`, async () => {
    const state = join(scratch(), "state");
    await assert.rejects(open(state, options), { name: "InputError", message });
    assert.equal(existsSync(state), false);
  });

test("a state in an artifact is refused", async () => {
  const { name } = artifact();
  await assert.rejects(open(join(name, "state")), { name: "InputError", message: /is a compiled artifact or in one/ });
  assert.equal(existsSync(join(name, "state")), false);
});

test("a learner that has learnt nothing says so", async () => {
  const learner = await open(scratch());
  await assert.rejects(learner.predict(lot("a", 1).samples), /has learnt nothing yet/);
  await assert.rejects(learner.report(), /has learnt nothing yet/);
  await learner.close();
});

test("two calls that learn are refused, the first one goes on", async () => {
  const learner = await open(scratch());
  const first = learner.learn(lot("ab").samples, lot("ab").labels, QUICK);
  await assert.rejects(
    learner.observe(...one(lot("a"), 0)).then(() => learner.observe(...one(lot("a"), 0))),
    /is learning/,
  );
  assert.equal((await first).reason, "done");
  await learner.close();
});

test("a progress function that learns is refused and changes nothing, in a task's last step too", async () => {
  const learner = await open(scratch());
  const { samples, labels } = lot("ab");
  const refused: Promise<unknown>[] = [];
  const progress = async ({ epoch, done, total }: Step) => {
    if (epoch === 1 && done === total) assert.equal(learner.underWay, false);
    refused.push(assert.rejects(learner.learn(lot("cd").samples, lot("cd").labels, QUICK), /is learning/));
    refused.push(assert.rejects(learner.learn(), /is learning/));
    refused.push(assert.rejects(learner.observe(...one(lot("c"), 0)), /is learning/));
  };
  assert.deepEqual((await learner.learn(samples, labels, { ...QUICK, progress })).steps, 12);
  await Promise.all(refused);
  assert.deepEqual([refused.length, learner.tasks, learner.observed, learner.classes], [36, 1, 0, ["a", "b"]]);
  assert.equal((await learner.learn(lot("cd").samples, lot("cd").labels, QUICK)).reason, "done");
  await learner.close();
});

for (const [options, message] of [
  [{ seed: 1 }, /belongs to a learner with seed 0, this one has 1/],
  [{ buffer: 21 }, /with buffer_size 20, this one has 21/],
  [{ normalise: "unit" }, /with normalise auto, this one has unit/],
] as const) {
  test(`a state is refused with another ${Object.keys(options)[0]}`, async () => {
    const state = scratch();
    const learner = await open(state);
    await learner.learn(lot("ab").samples, lot("ab").labels, { epochs: 1 });
    await learner.close();
    await assert.rejects(open(state, options), { name: "StateError", message });
  });
}

test("the state of another artifact, and a damaged one, are refused", async () => {
  const state = scratch();
  const learner = await open(state);
  await learner.learn(lot("ab").samples, lot("ab").labels, { epochs: 1 });
  await learner.close();
  await assert.rejects(open(state, {}, "er_channels"), /is a state of another artifact than/);
  const store = folder(state);
  const bytes = new Uint8Array((await store.read("state.safetensors")) ?? []);
  await store.write("state.safetensors", bytes.fill(7, 2000, 2001));
  await assert.rejects(open(state), { name: "StateError", message: /state.safetensors: is damaged \(.+\); remove it/ });
  assert.deepEqual(readdirSync(state), ["state.safetensors"]);
});

test("a run that has tasks left is refused, and goes on as a learner's once it is finished", async () => {
  const state = scratch();
  const learner = await open(state);
  await learner.learn(lot("ab").samples, lot("ab").labels, { epochs: 1 });
  await learner.close();
  await asRun(state, 2);
  await assert.rejects(open(state), {
    name: "StateError",
    message: `${folder(state).name}: is a run that has learned 1 of its 2 tasks; finish it with sparcl-run --resume, or name another folder as \`state\``,
  });
  await asRun(state, 1);
  const finished = await open(state);
  assert.equal((await finished.learn(lot("cd").samples, lot("cd").labels, { ...QUICK, steps: 1 })).reason, "steps");
  await finished.close();
  await asRun(state, 2); // with a task under way it is a learner's, whatever it began as
  const again = await open(state);
  assert.deepEqual([again.tasks, again.underWay], [1, true]);
  await again.close();
});

/** Let a state be that of a run of so many tasks. */
async function asRun(state: string, tasks: number): Promise<void> {
  const files = new StateFiles(folder(state));
  const found = (await files.load()) as Saved;
  await files.save({ ...found, identity: { ...found.identity, tasks } });
}

test("samples of a task that is under way and are gone are said to be", async () => {
  const state = scratch();
  const learner = await open(state);
  await learner.learn(lot("ab").samples, lot("ab").labels, { ...QUICK, steps: 1 });
  await learner.close();
  const [file] = readdirSync(state).filter((name) => name.startsWith("samples-"));
  await folder(state).remove(file ?? "");
  await assert.rejects(open(state), /samples-[0-9a-f]{16}.safetensors: is missing from the state/);
});

test("behind its close a learner takes no calls: the state may be another's", async () => {
  const state = scratch();
  const closed = await open(state);
  await closed.close();
  await closed.close();
  const learner = await open(state);
  const { samples, labels } = lot("ab", 2);
  for (const call of [
    () => closed.learn(samples, labels),
    () => closed.learn(),
    () => closed.observe(...one(lot("a", 1), 0), { steps: 0 }),
    () => closed.predict(samples),
    () => closed.save(),
  ])
    await assert.rejects(call, {
      name: "InputError",
      message: /this learner is closed; open it again with Learner.open/,
    });
  assert.deepEqual(readdirSync(state), [".lock"]);
  await learner.close();
});
