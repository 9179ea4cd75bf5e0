/** Drivers with one fault each, which a kit must refuse. */
import type { Engine } from "../src/engine.js";
import type { Block } from "../src/program.js";
import type { Trainer } from "../src/trainer.js";

export type Fault = (trainer: Trainer, engine: Engine) => void;

/** The second event of a task never runs. */
const skippedEvent: Fault = ({ interpreter }) => {
  const due = interpreter.verbs.due;
  interpreter.verbs.due = async (op) => {
    if (interpreter.fired[op.events] === 1) interpreter.fired[op.events] = 2;
    await due(op);
  };
};

/** Events come a step late. */
const lateEvents: Fault = ({ interpreter }) => {
  const due = interpreter.verbs.due;
  interpreter.verbs.due = async (op) => {
    const done = interpreter.integer("done");
    interpreter.set({ done: done - 1 });
    await due(op);
    interpreter.set({ done });
  };
};

/** The samples of an epoch come in the order of the data. */
const wrongOrder: Fault = ({ interpreter }) => {
  const run = interpreter.verbs.run;
  interpreter.verbs.run = async (op) => {
    await run(op);
    if (op.graph === "order") interpreter.set({ order: interpreter.vector("order").map((_, place) => place) });
  };
};

/** The parameters move before the gradients are there: operations of a block come in a wrong order. */
const movedFirst: Fault = (_, engine) => {
  const blocks = engine.manifest.program.blocks as Record<string, Block>;
  const [rate, ...rest] = blocks.move ?? [];
  const optimizer = rest.filter((op) => op.do === "run" && op.graph === "optimizer");
  if (rate) blocks.move = [rate, ...optimizer, ...rest.filter((op) => !optimizer.includes(op))];
};

/** A batch's own values go before the feeds. */
const batchesBeforeFeeds: Fault = ({ interpreter }) => {
  const run = interpreter.verbs.run;
  interpreter.verbs.run = (op) => {
    const kept = Object.entries(op.feeds ?? {}).filter(([name]) => !interpreter.values.has(`${op.take ?? ""}.${name}`));
    return run({ ...op, feeds: Object.fromEntries(kept) });
  };
};

/** The optimizer's steps are not counted. */
const alwaysTheFirstStep: Fault = ({ interpreter }) => {
  const count = interpreter.verbs.count;
  interpreter.verbs.count = (op) => (op.name === "count" ? undefined : count(op));
};

/** The second gradient lands where the first one is. */
const intoOne: Fault = ({ interpreter }) => {
  const run = interpreter.verbs.run;
  interpreter.verbs.run = (op) => run({ ...op, into: op.into ? "g1" : "" });
};

/** The next running statistics are not taken over. */
const noRunningStatistics: Fault = (_, engine) => {
  const run = engine.run.bind(engine);
  engine.run = async (...call) => {
    const held = engine.names("running_stat").map((name) => [name, engine.held(name)] as const);
    const found = await run(...call);
    for (const [name, tensor] of held) engine.state.set(name, tensor);
    return found;
  };
};

export const FAULTS: Readonly<Record<string, Fault>> = {
  skippedEvent,
  lateEvents,
  wrongOrder,
  movedFirst,
  batchesBeforeFeeds,
  alwaysTheFirstStep,
  intoOne,
  noRunningStatistics,
};
