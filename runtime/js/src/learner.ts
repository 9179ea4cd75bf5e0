/** An artifact that goes on learning where it is used (docs/learner.md). */
import type { Tensor } from "onnxruntime-common";
import { Artifact, type Files } from "./artifact.js";
import type { Answers, Budget, Choice, Evaluation, Label, Learned, LearnerOptions, Report } from "./calls.js";
import { Engine } from "./engine.js";
import { InputError, StateError } from "./errors.js";
import { agreed, checked, checkFinished, checkOptions, EPOCHS, namesOf, sessions } from "./opening.js";
import { accuracies, reported } from "./report.js";
import { type Input, imageSize, type Part, parts } from "./samples.js";
import { StateFiles } from "./state.js";
import { Study } from "./study.js";
import { rowsOf, type Samples, Table, together, typeOf } from "./tables.js";
import type { Ort } from "./tensors.js";

const ROWS = 256;
/** Observed samples that make a task where the batch is not given. */
const ROUND = 8;

export class Learner {
  private last: Promise<unknown> = Promise.resolve();
  private studying = false;
  private closed = false;

  private constructor(
    private readonly ort: Ort,
    private readonly engine: Engine,
    private readonly study: Study,
    private readonly options: LearnerOptions,
    private readonly release: () => Promise<void>,
  ) {}

  /**
   * Take up a state where it is, or start one.
   *
   * @param ort the module of ONNX Runtime: onnxruntime-node, -web or -react-native
   * @param model where the artifact's files are
   */
  static async open(ort: Ort, model: Files, options: LearnerOptions): Promise<Learner> {
    const artifact = await Artifact.open(model);
    artifact.checkForApps();
    checkOptions(options, artifact.manifest, model);
    const release = await options.state.hold();
    try {
      const files = new StateFiles(options.state);
      const found = await files.load();
      if (found && found.identity.artifact !== artifact.identity)
        throw new StateError(
          `${options.state.name}: is a state of another artifact than ${model.name}; give its own, or another folder as state`,
        );
      if (found) checkFinished(options.state.name, found);
      const engine = new Engine(ort, artifact, { sample: "float32", dimensions: {} }, sessions(ort, options));
      const study = new Study(ort, engine, files, agreed(options, artifact.identity, found?.identity), options);
      await study.load();
      return new Learner(ort, engine, study, options, release);
    } catch (error) {
      await release();
      throw error;
    }
  }

  /** Learn one task; without samples go on with what is under way, then with what waits. */
  async learn(samples?: Input, labels: readonly Label[] = [], budget: Budget = {}): Promise<Learned> {
    checked(budget);
    if (samples === undefined) return this.turn(() => this.go(budget, 1));
    const names = namesOf(labels);
    const begun = async () => {
      if (this.study.learning)
        throw new InputError("a task is under way; finish it with learn(), or end it as it stands with endTask()");
      const found = await this.read(samples, labels.length);
      await this.study.begin(found, this.study.places(names), budget.epochs ?? EPOCHS);
    };
    return this.turn(() => this.exclusive(begun).then(() => this.go(budget, 1)));
  }

  /** Keep one sample, which is safe then, and go on learning within the budget; 0 steps only keep it. */
  async observe(sample: Exclude<Input, readonly unknown[]>, label: Label, budget: Budget = {}): Promise<Learned> {
    if (budget.steps !== 0) checked(budget);
    const [name = ""] = namesOf([label]);
    const kept = () => this.exclusive(async () => this.study.keep(await this.read([sample], 1), name));
    if (budget.steps === 0) return kept().then(() => ({ reason: "done", steps: 0, loss: null }));
    return this.turn(() => kept().then(() => this.go(budget, this.options.batch ?? ROUND, false)));
  }

  /** End the task under way as it stands; its other samples are dropped. */
  endTask(): Promise<void> {
    return this.exclusive(() => this.study.endTask());
  }

  /** The likeliest class of each sample, and the probabilities. */
  predict(samples: Input, choice: Choice = {}): Promise<Answers> {
    return this.exclusive(async () => {
      const places = this.chosen(choice);
      const classes = places.map((place) => this.study.names[place] as string);
      const [names, probabilities]: [string[], Float32Array[]] = [[], []];
      for await (const values of this.ask(await this.read(samples), places, "predict")) {
        const flat = (values.value("probability") as Tensor).data as Float32Array;
        for (const [row, best] of values.vector("best").entries()) {
          names.push(this.study.names[best] as string);
          probabilities.push(flat.slice(row * places.length, (row + 1) * places.length));
        }
      }
      return { names, probabilities, classes };
    });
  }

  /** The accuracy over these samples, and by class. */
  evaluate(samples: Input, labels: readonly Label[], choice: Choice = {}): Promise<Evaluation> {
    return this.exclusive(async () => {
      const found = await this.read(samples, labels.length);
      const asked = namesOf(labels).map((name) => this.place(name));
      this.study.unsaved = true;
      await this.study.trainer.call("begin_score");
      for await (const _ of this.ask(found, this.chosen(choice), "score", asked));
      await this.study.trainer.call("report");
      return { ...accuracies(this.study), samples: asked.length };
    });
  }

  /** What is known of the learner: accuracy of the last evaluation, sparsities, FLOPs, counts. */
  report(): Promise<Report> {
    return this.exclusive(async () => {
      this.known();
      await this.study.trainer.call("report");
      return reported(this.study, this.engine.manifest.model.classes);
    });
  }

  /** The names of the classes, by place of the head. */
  get classes(): readonly string[] {
    return [...this.study.names];
  }

  /** How many tasks are learnt. */
  get tasks(): number {
    return this.study.tasks.length;
  }

  /** Whether a task is begun and not finished, which learn() goes on with. */
  get underWay(): boolean {
    return this.study.learning !== null;
  }

  /** How many observed samples wait for their task. */
  get waiting(): number {
    return this.study.waiting?.labels.length ?? 0;
  }

  /** How many samples were ever observed. */
  get observed(): number {
    return this.study.taken + this.waiting;
  }

  /** A state tensor as it is now, such as a layer's mask, by the manifest's name; null where there is none yet. */
  tensor(name: string): Tensor | null {
    return this.engine.state.get(name) ?? null;
  }

  /** Write the state as it is, also in the middle of an epoch. */
  save(): Promise<void> {
    return this.exclusive(() => this.study.save());
  }

  /** Save what is not saved, and give the lock back. */
  async close(): Promise<void> {
    if (this.closed) return;
    try {
      await this.exclusive(async () => {
        this.closed = true;
        if (this.study.unsaved) await this.study.save();
        await this.engine.release();
      });
    } finally {
      await this.release();
    }
  }

  /** Run calls one after the other; while a task is learnt they come between two steps. */
  private exclusive<Kind>(call: () => Promise<Kind>): Promise<Kind> {
    const made = this.last.then(() => {
      if (!this.closed) return call();
      throw new InputError(`${this.options.state.name}: this learner is closed; open it again with Learner.open()`);
    });
    this.last = made.catch(() => {});
    return made;
  }

  /** Run the call that learns; while it runs no other may, or it would take the task from under it. */
  private async turn(call: () => Promise<Learned>): Promise<Learned> {
    if (this.studying) throw new InputError("the learner is learning; await the call before, or observe with steps: 0");
    this.studying = true;
    try {
      return await call();
    } finally {
      this.studying = false;
    }
  }

  /** Learn within a budget; samples that wait become a task where there are `least` of them. */
  private async go(budget: Budget, least: number, saves = true): Promise<Learned> {
    const { epochs = EPOCHS, steps = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY, progress } = budget;
    const until = performance.now() + seconds * 1000;
    let [made, loss, reason]: [number, number | null, Learned["reason"]] = [0, null, "done"];
    while (reason === "done" && (await this.exclusive(() => this.step(epochs, least)))) {
      const step = this.study.told;
      loss = step.loss;
      if (++made >= steps) reason = "steps";
      else if (performance.now() >= until) reason = "seconds";
      if ((await progress?.(step)) === false) reason = "cancelled";
    }
    if (saves && this.study.unsaved) await this.save();
    return { reason: this.underWay || this.waiting >= least ? reason : "done", steps: made, loss };
  }

  /** Make a step; where it fails the learner stands where its last save was. */
  private async step(epochs: number, least: number): Promise<boolean> {
    try {
      return await this.study.step(epochs, least);
    } catch (error) {
      await this.study.load();
      throw error;
    }
  }

  /** Samples as the graphs take them: images resized where they have another size. */
  private async read(input: Input, labels?: number): Promise<Samples> {
    const { model } = this.engine.manifest;
    const size = imageSize(model);
    const found: Samples[] = [];
    for (const part of parts(model, input))
      found.push(size && part.shape.slice(1).join() !== size.join() ? await this.resized(part) : part);
    const whole = together(found);
    const rows = rowsOf(whole);
    if (rows === 0) throw new InputError("there are no samples; give at least one");
    if (labels !== undefined && rows !== labels)
      throw new InputError(`there are ${rows} samples and ${labels} labels; give a label for each`);
    const form = this.study.due;
    if (form && (form.type !== typeOf(whole) || form.shape.join() !== whole.shape.join()))
      throw new InputError(
        `the learner takes ${form.type} samples of ${form.shape.join("x")}, these are ${typeOf(whole)} of ${whole.shape.join("x")}; give them as the first ones were`,
      );
    return whole;
  }

  private async resized(part: Part): Promise<Samples> {
    const { trainer, form } = this.study;
    if (!form) this.engine.sizes.sample = typeOf(part);
    trainer.interpreter.set({
      "given.x": new this.ort.Tensor(typeOf(part), part.data as never, [part.count, ...part.shape]),
    });
    await trainer.call("resize");
    const { data, dims } = trainer.interpreter.tensor("resized");
    return { data: data as Samples["data"], shape: dims.slice(1) };
  }

  /** Give samples to a block, some at a time. */
  private async *ask(samples: Samples, places: readonly number[], block: string, labels?: readonly number[]) {
    const { trainer } = this.study;
    const table = new Table(this.ort, samples, labels ?? new Array<number>(rowsOf(samples)).fill(0), places);
    for (const { raw, labels: asked, classes } of table.chunks(ROWS)) {
      trainer.interpreter.set({ "asked.raw": raw, "asked.labels": asked, "asked.classes": classes });
      await trainer.call(block);
      yield trainer.interpreter;
    }
  }

  private chosen({ classes, task }: Choice): number[] {
    this.known();
    if (task === undefined)
      return [...new Set((classes ?? this.study.names).map((name) => this.place(name)))].sort(
        (one, other) => one - other,
      );
    const found = this.study.tasks[task];
    if (!found) throw new InputError(`there is no task ${task}; give a number below ${this.study.tasks.length}`);
    return found;
  }

  private place(name: string): number {
    const found = this.study.names.indexOf(name);
    if (found < 0)
      throw new InputError(
        `${name} is no class that was learnt; give one of ${this.study.names.join(", ") || "those that will be"}`,
      );
    return found;
  }

  private known(): void {
    if (!this.study.form) throw new InputError("the learner has learnt nothing yet; call learn(samples, labels) first");
  }
}
