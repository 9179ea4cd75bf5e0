/** This driver as one that is to be accepted by tests/conformance: it learns the samples of a kit and traces what it does. */
import type { Tensor } from "onnxruntime-common";
import { Artifact, type Files } from "../src/artifact.js";
import { Engine } from "../src/engine.js";
import { parsed } from "../src/safetensors.js";
import { sha256 } from "../src/sha256.js";
import { type Samples, Table, type Tables } from "../src/tables.js";
import { type Numbers, numbers, type Ort, toBytes } from "../src/tensors.js";
import { Trainer } from "../src/trainer.js";

/** The graphs behind which something is written down, and their results that are. */
const RESULTS: Readonly<Record<string, readonly string[]>> = {
  order: ["order", "length", "steps"],
  replay_batch: ["slot"],
  write_buffer: ["slot"],
  check_loss: ["loss", "mean"],
  update_masks: [],
  update_gradient_masks: [],
  remove_samples: ["new_order", "new_position", "length", "steps", "removed_now", "removed_total"],
  check_state: ["broken"],
  record: ["class_mean", "task_mean"],
};
/** State, by name or all of a role, whose checksum is written down behind a graph. */
const DIGESTS: Readonly<Record<string, readonly string[]>> = {
  write_buffer: ["buffer.x", "buffer.labels"],
  update_masks: ["mask", "gradient_mask", "channel"],
  update_gradient_masks: ["gradient_mask"],
  remove_samples: ["sample_keep"],
};
const ENDED = ["mask", "gradient_mask", "channel", "buffer.x", "buffer.labels", "buffer.seen", "sample_keep"];
const COUNTERS = ["step", "mask_updates", "samples_seen", "samples_replayed", "samples_measured", "samples_removed"];
const MATRICES = ["accuracy.class", "accuracy.task"];
const OF_THE_DATA = ["data.mean", "data.std"];
const ENDING = {
  summary: [
    "class_il",
    "task_il",
    "forgetting",
    "backward_transfer",
    "learning_accuracy",
    "task_forgetting",
    "task_backward_transfer",
    "task_learning_accuracy",
  ],
  flops: ["paper_dense", "paper_sparse", "true_dense", "true_sparse"],
  sparsity: ["overall", "gradient_overall", "all_parameters"],
};

/** The part `run` of a trace. */
export interface Told {
  readonly seed: number;
  readonly tasks: number;
  readonly epochs: number;
  readonly batch: number;
  readonly buffer: number;
  readonly learning_rate: number;
  readonly augment: number;
  readonly class_order_seed: number | null;
}

interface Dataset {
  readonly train: Samples;
  readonly trainLabels: readonly number[];
  readonly test: Samples;
  readonly testLabels: readonly number[];
}

/** The samples of a kit. */
function dataset(bytes: Uint8Array): Dataset {
  const { tensors } = parsed(bytes);
  const one = (name: string) => {
    const found = tensors.get(name);
    if (!found) throw new Error(`no ${name}`);
    return found;
  };
  const samples = (name: string): Samples => ({ data: one(name).data as Uint8Array, shape: one(name).shape.slice(1) });
  const labels = (name: string) => Array.from(one(name).data, Number);
  return {
    train: samples("x_train"),
    trainLabels: labels("y_train"),
    test: samples("x_test"),
    testLabels: labels("y_test"),
  };
}

/** The rows of some classes, in their order. */
function chosen({ data, shape }: Samples, labels: readonly number[], classes: readonly number[]): [Samples, number[]] {
  const size = shape.reduce((one, other) => one * other, 1);
  const rows = labels.map((_, row) => row).filter((row) => classes.includes(labels[row] as number));
  const made = new (data.constructor as typeof Uint8Array)(rows.length * size);
  for (const [place, row] of rows.entries()) made.set(data.subarray(row * size, (row + 1) * size), place * size);
  return [{ data: made, shape }, rows.map((row) => labels[row] as number)];
}

/** Classes dealt out to tasks, the earlier ones one more. */
function dealt(order: readonly number[], tasks: number): number[][] {
  const size = Math.floor(order.length / tasks);
  const extra = order.length % tasks;
  let start = 0;
  return Array.from({ length: tasks }, (_, task) => {
    const end = start + size + (task < extra ? 1 : 0);
    const found = order.slice(start, end);
    start = end;
    return found;
  });
}

/** A run of a kit that has not begun. */
export class Replay {
  readonly calls: object[] = [];

  private constructor(
    private readonly told: Told,
    readonly engine: Engine,
    readonly trainer: Trainer,
    private readonly tasks: readonly number[][],
    private readonly samples: readonly number[],
  ) {}

  static async prepared(
    ort: Ort,
    kit: Files,
    told: Told,
    alter: (trainer: Trainer, engine: Engine) => void = () => {},
  ): Promise<Replay> {
    const artifact = await Artifact.open({
      name: `${kit.name}/artifact`,
      read: (path) => kit.read(`artifact/${path}`),
    });
    const data = dataset((await kit.read("samples.safetensors")) as Uint8Array);
    const [C, H, W] = data.train.shape as [number, number, number];
    const dimensions = { C, H, W, tasks: told.tasks, buffer: told.buffer };
    const sample = data.train.data instanceof Uint8Array ? "uint8" : "float32";
    const engine = new Engine(ort, artifact, { sample, dimensions }, { intraOpNumThreads: 1 });
    await engine.resetAll();
    const [train, test]: [Table[], Table[]] = [[], []];
    const data_ = { data: () => new Table(ort, data.train, data.trainLabels, classes) };
    const tables: Tables = { ...data_, train: (task) => train[task], test: (task) => test[task] };
    const { seed, batch, epochs, learning_rate, augment, class_order_seed } = told;
    const classes = Array.from({ length: Math.max(...data.trainLabels) + 1 }, (_, label) => label);
    const trainer = new Trainer(engine, tables, {
      seed,
      batch,
      epochs,
      learning_rate,
      augment,
      class_order_seed: class_order_seed ?? 0,
      classes_in_data: classes.length,
    });
    alter(trainer, engine);
    if (class_order_seed !== null) await trainer.call("class_order");
    const tasks = dealt(class_order_seed === null ? classes : trainer.interpreter.vector("order"), told.tasks);
    for (const task of tasks) {
      train.push(new Table(ort, ...chosen(data.train, data.trainLabels, task), task));
      test.push(new Table(ort, ...chosen(data.test, data.testLabels, task), task));
    }
    await trainer.call("statistics");
    return new Replay(
      told,
      engine,
      trainer,
      tasks,
      train.map((table) => table.length),
    );
  }

  /** Learn all tasks; returns the trace. */
  async learn(): Promise<object> {
    const pending: Promise<void>[] = [];
    this.trainer.interpreter.watch = (graph, results) => void pending.push(...this.watched(graph, results));
    const begin = { classes_by_task: this.tasks, ...this.states(OF_THE_DATA) };
    for (const samples of this.samples) await this.task(samples);
    await this.trainer.call("end_run");
    await Promise.all(pending);
    const results = Object.entries(ENDING).flatMap(([graph, names]) =>
      names
        .map((name) => [name, plain(this.trainer.interpreter.value(`result.${name}`) as Tensor)])
        .filter(() => graph),
    );
    const end = {
      ...Object.fromEntries(COUNTERS.map((name) => [name, this.trainer.integer(name)])),
      ...this.states(MATRICES),
      ...Object.fromEntries(results),
      ...(await this.digests(ENDED)),
    };
    return { run: this.told, begin, calls: this.calls, end };
  }

  private async task(samples: number): Promise<void> {
    do {
      await this.trainer.beginEpoch(samples);
      while (this.trainer.more) await this.trainer.call("step");
    } while (!(await this.trainer.endEpoch()));
    await this.trainer.call("end_task");
  }

  private *watched(graph: string, results: Readonly<Record<string, Tensor>>): Generator<Promise<void>> {
    const kept = RESULTS[graph];
    if (!kept) return;
    const call: Record<string, unknown> = {
      graph,
      at: ["task", "epoch", "task_step"].map((name) => this.trainer.integer(name)),
    };
    for (const name of kept) call[name] = plain(results[name] as Tensor);
    this.calls.push(call);
    yield this.digests(DIGESTS[graph] ?? []).then((found) => void Object.assign(call, found));
  }

  private states(names: readonly string[]): Record<string, unknown> {
    return Object.fromEntries(names.map((name) => [name, plain(this.engine.held(name))]));
  }

  private async digests(names: readonly string[]): Promise<Record<string, string>> {
    const found: [string, Promise<string>][] = [];
    for (const name of names) {
      const tensors = this.engine.state.has(name) ? [name] : this.engine.names(name);
      if (tensors.length) found.push([name, sha256(joined(tensors.map((one) => toBytes(this.engine.held(one)))))]);
    }
    return Object.fromEntries(await Promise.all(found.map(async ([name, digest]) => [name, await digest])));
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const made = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let place = 0;
  for (const part of parts) {
    made.set(part, place);
    place += part.length;
  }
  return made;
}

/** A number, or lists of numbers, as JSON has them; NaN, which it lacks, is null. */
function plain(tensor: Tensor): unknown {
  const flat = numbers(tensor).map((number) => (Number.isNaN(number) ? null : number));
  const boolean = tensor.type === "bool" ? flat.map(Boolean) : flat;
  const fraction = (tensor.data as Numbers) instanceof Float32Array || (tensor.data as Numbers) instanceof Float64Array;
  return nested(fraction ? flat : boolean, tensor.dims);
}

function nested(flat: readonly unknown[], dims: readonly number[]): unknown {
  const [length, ...rest] = dims;
  if (length === undefined) return flat[0];
  const size = rest.reduce((one, other) => one * other, 1);
  return Array.from({ length }, (_, place) => nested(flat.slice(place * size, (place + 1) * size), rest));
}
