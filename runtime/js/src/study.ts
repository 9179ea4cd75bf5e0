/** What a learner knows and does in a task, step by step, with its state on disk (docs/learner.md). */
import type { Tensor } from "onnxruntime-common";
import type { Step } from "./calls.js";
import type { Engine } from "./engine.js";
import { InputError, StateError } from "./errors.js";
import type { SampleType, StateSpec } from "./manifest.js";
import type { Stored } from "./safetensors.js";
import {
  type Batch,
  type Identity,
  type Learning,
  PENDING,
  type Progress,
  plain,
  type Saved,
  type StateFiles,
  stored,
  without,
} from "./state.js";
import { type Samples, Table, type Tables, together, typeOf } from "./tables.js";
import { type Numbers, numbers, type Ort } from "./tensors.js";
import { Trainer } from "./trainer.js";

/** What the user of a learner chooses for an opening. */
export interface Chosen {
  readonly batch?: number | undefined;
  readonly learningRate?: number | undefined;
}

/** Batches of a task, the largest of which that makes so many steps is taken. */
const BATCHES = [32, 16, 8];
const STEPS = 100;
const SMALLEST = 8;
const PIXEL_MAX = 255;
/** State in the middle of an epoch: the values that its steps hand on. */
const VALUE = "value.";
/** Lengths of state that a file may have otherwise than the learner. */
const FREE = ["samples", "tasks"];

export class Study {
  /** The names of the classes by their place in the head, and the places by task. */
  names: string[] = [];
  tasks: number[][] = [];
  form: { type: SampleType; shape: readonly number[] } | undefined;
  learning: Learning | null = null;
  /** Observed samples that are in no task yet. */
  waiting: Batch | null = null;
  /** How many observed samples tasks have taken. */
  taken = 0;
  seconds = 0;
  /** How far the task was behind its last step. */
  told: Step = { task: 0, epoch: 0, epochs: 0, done: 0, total: 0, loss: Number.NaN, sparsity: Number.NaN };
  unsaved = false;
  readonly trainer: Trainer;
  private readonly tables: Tables = { data: () => undefined, train: () => this.samples, test: () => undefined };
  private samples: Table | undefined;
  private classes: readonly number[] = [];
  /** Whether an epoch has begun that is not over. */
  private within = false;

  constructor(
    private readonly ort: Ort,
    private readonly engine: Engine,
    private readonly files: StateFiles,
    private readonly identity: Identity,
    private readonly chosen: Chosen,
  ) {
    const given = { seed: identity.seed, batch: 0, epochs: 0, learning_rate: 0, augment: 0, class_order_seed: 0 };
    this.trainer = new Trainer(engine, this.tables, { ...given, classes_in_data: engine.manifest.model.classes });
  }

  /** The form that samples must have; undefined before the first ones. */
  get due(): { type: SampleType; shape: readonly number[] } | undefined {
    const x = this.waiting && plain(this.waiting.x);
    return this.form ?? (x ? { type: typeOf(x), shape: x.shape } : undefined);
  }

  /** Bytes of the tensors that a save writes. */
  get bytes(): number {
    return this.saved.reduce((sum, { name }) => sum + (this.engine.held(name).data as Numbers).byteLength, 0);
  }

  private get saved(): readonly StateSpec[] {
    return this.engine.manifest.state.filter((spec) => spec.saved && this.engine.state.has(spec.name));
  }

  /** The places of these names; new ones get the next free places of the head. */
  places(labels: readonly string[]): number[] {
    const { classes, name } = this.engine.manifest.model;
    const names = [...new Set([...this.names, ...labels])];
    if (names.length > classes)
      throw new InputError(
        `the head of ${name} has ${classes} classes, and all are taken; compile the model again with sparcl-compile --classes ${names.length}`,
      );
    this.names = names;
    return labels.map((label) => names.indexOf(label));
  }

  /** Begin a task, `taken` of whose samples were observed ones. */
  async begin(samples: Samples, labels: readonly number[], epochs: number, taken = 0): Promise<void> {
    if (!this.form) await this.start(samples, labels);
    const { learning_rate, few_epochs_rate, few_epochs } = this.engine.manifest.optimizer;
    const batch = this.chosen.batch ?? BATCHES.find((one) => labels.length * epochs >= STEPS * one) ?? SMALLEST;
    const rate = this.chosen.learningRate ?? (epochs <= few_epochs ? few_epochs_rate : learning_rate);
    const file = await this.files.task({ x: stored(samples), labels, names: this.names, first: 0 });
    this.take({ epochs, batch, learning_rate: rate, file }, samples, labels);
    this.taken += taken;
    await this.save();
  }

  /** The first samples decide the form of all. */
  private async start(samples: Samples, labels: readonly number[]): Promise<void> {
    const { normalise } = this.identity;
    this.shaped({ type: typeOf(samples), shape: samples.shape });
    const [C = 1] = samples.shape;
    await this.engine.resetAll();
    if (normalise === "auto" && !this.engine.manifest.model.raw) {
      const data = new Table(this.ort, samples, labels, []);
      this.tables.data = () => data;
      await this.trainer.call("statistics");
      this.tables.data = () => undefined;
    } else {
      const scaled = normalise === "unit" && typeOf(samples) === "uint8";
      const std = new Float32Array(C).fill(scaled ? 1 : 1 / PIXEL_MAX);
      this.engine.state.set("data.mean", this.engine.tensor("float32", new Float32Array(C), [C]));
      this.engine.state.set("data.std", this.engine.tensor("float32", std, [C]));
    }
  }

  private shaped(form: { type: SampleType; shape: readonly number[] }): void {
    this.form = form;
    const [C = 1, H = 1, W = 1] = form.shape;
    Object.assign(this.engine.sizes.dimensions, { C, H, W, buffer: this.identity.buffer_size, tasks: 1 });
    this.engine.sizes.sample = form.type;
  }

  /** Take samples as those of the task under way. */
  private take(learning: Learning, samples: Samples, labels: readonly number[]): void {
    this.learning = learning;
    this.classes = [...new Set(labels)].sort((one, other) => one - other);
    this.samples = new Table(this.ort, samples, labels, this.classes);
    const { epochs, batch, learning_rate } = learning;
    this.trainer.interpreter.set({ epochs, batch, learning_rate, augment: this.augments() });
  }

  private augments(): number {
    const { augment } = this.identity;
    const { layout } = this.engine.manifest.model;
    const photographs = this.form?.type === "uint8" && this.form.shape[0] === 3 && ["NCHW", "NHWC"].includes(layout);
    return Number(augment === "auto" ? photographs : augment !== "none");
  }

  /** Make the task's next step; a task that has none any more, or a full `least` of samples that wait, is seen to first. */
  async step(epochs: number, least: number): Promise<boolean> {
    if (!this.learning && !(await this.next(epochs, least))) return false;
    if (!this.within) await this.trainer.beginEpoch(this.samples?.length ?? 0);
    this.within = true;
    const started = performance.now();
    if (this.trainer.more) await this.trainer.call("step");
    this.seconds += (performance.now() - started) / 1000;
    this.unsaved = true;
    this.tell();
    if (!this.trainer.more) await this.endEpoch();
    return true;
  }

  private tell(): void {
    const value = (name: string) => this.trainer.integer(name);
    const [task, epoch, epochs] = [value("task"), value("epoch"), value("epochs")];
    const [done, total] = [value("done"), value("total")];
    this.told = { task, epoch, epochs, done, total, loss: value("loss"), sparsity: value("now.overall") };
  }

  private async next(epochs: number, least: number): Promise<boolean> {
    const waiting = this.waiting;
    if (!waiting || waiting.labels.length < least) return false;
    const places = this.places(waiting.names);
    this.waiting = null;
    await this.begin(
      plain(waiting.x),
      waiting.labels.map((label) => places[label] as number),
      epochs,
      waiting.labels.length,
    );
    await this.files.remove(PENDING);
    return true;
  }

  private async endEpoch(): Promise<void> {
    const over = await this.trainer.endEpoch();
    this.within = false;
    await (over ? this.endTask() : this.save());
  }

  /** End the task under way as it stands. */
  async endTask(): Promise<void> {
    if (!this.learning) throw new InputError("no task is under way; begin one with learn(samples, labels)");
    // The next task would replay from a buffer that nothing has filled.
    if (!this.trainer.integer("samples_seen"))
      throw new InputError("nothing of the task under way is learned yet; call learn() first");
    const { file } = this.learning;
    await this.trainer.call("close_task");
    this.tasks.push([...this.classes]);
    [this.learning, this.within] = [null, false];
    await this.save();
    await this.files.remove(file);
  }

  /** Keep an observed sample. */
  async keep(samples: Samples, label: string): Promise<void> {
    this.places([label]);
    const { x, labels, names, first } = this.waiting ?? { x: null, labels: [], names: [], first: this.taken };
    const known = [...new Set([...names, label])];
    const whole = x ? together([plain(x), samples]) : samples;
    const kept = { x: stored(whole), labels: [...labels, known.indexOf(label)], names: known, first };
    await this.files.pending(kept);
    this.waiting = kept;
  }

  /** Write the state as it is. */
  async save(): Promise<void> {
    if (!this.form) return;
    const kept = this.within ? this.engine.manifest.program.kept : [];
    const tensors = new Map<string, Stored>([
      ...this.saved.map(({ name }): [string, Stored] => [name, ofTensor(this.engine.held(name))]),
      ...kept.map((name): [string, Stored] => [VALUE + name, ofTensor(this.trainer.interpreter.tensor(name))]),
    ]);
    await this.files.save({ tensors, progress: this.progress(this.form), identity: this.identity });
    this.unsaved = false;
  }

  private progress({ type, shape }: { type: SampleType; shape: readonly number[] }): Progress {
    const raw =
      this.identity.normalise === "raw" || (this.identity.normalise === "auto" && this.engine.manifest.model.raw);
    const scale = type === "uint8" && !raw ? PIXEL_MAX : 1;
    const [mean = [], std = []] = ["data.mean", "data.std"].map((name) =>
      numbers(this.engine.held(name)).map((number) => (number * PIXEL_MAX) / scale),
    );
    return {
      ...this.trainer.position,
      seconds: this.seconds,
      learning_rates: [{ after_epochs: 0, learning_rate: this.trainer.integer("learning_rate") }],
      samples: { type, shape, normalise: { scale, mean, std }, classes: this.names, classes_by_task: this.tasks },
      learning: this.learning,
      taken: this.taken,
    };
  }

  /** Stand where the last save was. */
  async load(): Promise<void> {
    const saved = await this.files.load();
    await this.files.tidy(saved);
    [this.names, this.tasks, this.learning, this.form, this.within, this.taken] = [[], [], null, undefined, false, 0];
    if (saved) await this.restore(saved);
    this.unsaved = false;
    const waiting = await this.files.batch(PENDING);
    const gone = waiting ? Math.max(0, this.taken - waiting.first) : 0;
    this.waiting = waiting && gone < waiting.labels.length ? without(waiting, gone) : null;
    this.places(this.waiting?.names ?? []);
  }

  private async restore({ tensors, progress }: Saved): Promise<void> {
    const { samples, learning, seconds, taken } = progress;
    this.shaped(samples);
    await this.engine.resetAll();
    const due = this.engine.manifest.state.filter(
      (spec) => spec.saved && (tensors.has(spec.name) || !spec.shape.includes("samples")),
    );
    for (const { name } of due) this.engine.restore(name, part(tensors, name), FREE);
    this.within = [...tensors.keys()].some((name) => name.startsWith(VALUE));
    for (const name of this.within ? this.engine.manifest.program.kept : []) {
      const { dtype, shape, data } = part(tensors, VALUE + name);
      this.trainer.interpreter.values.set(name, this.engine.tensor(dtype, data, shape));
    }
    this.trainer.restore(progress);
    [this.names, this.tasks] = [[...samples.classes], samples.classes_by_task.map((task) => [...task])];
    [this.seconds, this.taken] = [seconds, taken];
    if (!learning) return;
    const task = await this.files.batch(learning.file);
    if (!task) throw new StateError(`${learning.file}: is missing from the state; give another folder as state`);
    const learning_rate = this.chosen.learningRate ?? learning.learning_rate;
    this.take({ ...learning, learning_rate }, plain(task.x), task.labels);
  }
}

function part(tensors: ReadonlyMap<string, Stored>, name: string): Stored {
  const found = tensors.get(name);
  if (!found) throw new StateError(`the state is damaged (${name} is missing); give another folder as state`);
  return found;
}

function ofTensor({ type, dims, data }: Tensor): Stored {
  return { dtype: type, shape: dims, data: data as Numbers };
}
