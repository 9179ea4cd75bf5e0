/** Training by a program: tasks, epochs and steps (docs/interfaces.md, "The program"). */
import type { Engine } from "./engine.js";
import { TrainingError } from "./errors.js";
import { Interpreter } from "./interpreter.js";
import type { Tables } from "./tables.js";

/** What a driver gives to a program. */
export interface Options {
  readonly seed: number;
  readonly batch: number;
  readonly epochs: number;
  readonly learning_rate: number;
  /** 1: training samples are changed at random. */
  readonly augment: number;
  readonly class_order_seed: number;
  readonly classes_in_data: number;
}

/** The part of a state that is no tensor. */
export interface Position {
  readonly counters: Readonly<Record<string, number>>;
  readonly fired: Readonly<Record<string, number>>;
}

export class Trainer {
  readonly interpreter: Interpreter;

  constructor(
    private readonly engine: Engine,
    tables: Tables,
    options: Options,
  ) {
    this.interpreter = new Interpreter(engine, engine.manifest.program, tables);
    this.interpreter.set({ ...options });
  }

  integer(name: string): number {
    return this.interpreter.integer(name);
  }

  /** Begin an epoch, and with the first one its task, which has so many samples. */
  async beginEpoch(samples: number): Promise<void> {
    if (this.integer("epoch") === 0) {
      this.engine.sizes.dimensions.samples = samples;
      this.interpreter.forget();
      await this.call("begin_task");
    }
    await this.call("begin_epoch");
  }

  /** Whether this epoch has another step. */
  get more(): boolean {
    return this.integer("done") < this.integer("total");
  }

  /** End an epoch; returns whether it was the task's last one. */
  async endEpoch(): Promise<boolean> {
    await this.call("end_epoch");
    return this.integer("epoch") >= this.integer("epochs");
  }

  /** Run a block; a TrainingError names the step and a mend. */
  async call(block: string): Promise<void> {
    try {
      await this.interpreter.call(block);
    } catch (error) {
      if (!(error instanceof TrainingError)) throw error;
      const [task, epoch, step] = ["task", "epoch", "task_step"].map((name) => this.integer(name) + 1);
      const rate = this.integer("learning_rate");
      throw new TrainingError(
        `${error.message} in task ${task}, epoch ${epoch}, step ${step}; lower learningRate (now ${rate})`,
      );
    }
  }

  get position(): Position {
    const names = Object.keys(this.engine.manifest.program.counters);
    return {
      counters: Object.fromEntries(names.map((name) => [name, this.integer(name)])),
      fired: { ...this.interpreter.fired },
    };
  }

  restore({ counters, fired }: Position): void {
    this.interpreter.set(counters);
    this.interpreter.fired = { ...fired };
  }
}
