/** What the calls of a learner take and give (docs/learner.md). */
import type { Store } from "./store.js";

export interface LearnerOptions {
  /** Where the state lies. */
  readonly state: Store;
  /** These four belong to the state: given again they must be the same. */
  readonly seed?: number;
  readonly buffer?: number;
  readonly augment?: "auto" | "none" | "crop_flip" | "jitter_shift_scale";
  readonly normalise?: "auto" | "unit" | "raw";
  readonly batch?: number;
  readonly learningRate?: number;
  /** Of ONNX Runtime, all cores if not given; a page's first session decides for all of it. */
  readonly threads?: number;
}

/** How far a task is, behind each step. */
export interface Step {
  readonly task: number;
  readonly epoch: number;
  readonly epochs: number;
  readonly done: number;
  readonly total: number;
  readonly loss: number;
  readonly sparsity: number;
}

export interface Budget {
  /** How often a task presents its samples; 5 if not given. */
  readonly epochs?: number;
  readonly steps?: number;
  readonly seconds?: number;
  /** Called behind each step; ends the call by returning false. */
  readonly progress?: (step: Step) => unknown;
}

/** Why a call ended, how many steps it made, and the last loss. */
export interface Ended {
  readonly why: "done" | "steps" | "seconds" | "cancelled";
  readonly steps: number;
  readonly loss: number | null;
}

export interface Choice {
  /** Names to choose among; by default all that the learner knows. */
  readonly classes?: readonly string[];
  /** A task whose classes are meant, from 0. */
  readonly task?: number;
}

export interface Answers {
  /** The likeliest class of each sample. */
  readonly names: readonly string[];
  /** A row for each sample, in the order of `classes`. */
  readonly probabilities: readonly Float32Array[];
  readonly classes: readonly string[];
}

/** Accuracies in percent; NaN where nothing was counted. */
export interface Accuracy {
  readonly accuracy: number;
  readonly byClass: Readonly<Record<string, number>>;
}

export interface Report extends Accuracy {
  readonly classes: readonly string[];
  readonly classesByTask: readonly (readonly string[])[];
  /** Shares of zeros: among masked weights, their gradients, and all parameters. */
  readonly sparsity: Readonly<Record<string, number>>;
  readonly flops: Readonly<Record<string, number>>;
  readonly counts: Readonly<Record<string, number>>;
  /** Observed samples that are in no task yet. */
  readonly waiting: number;
  readonly seconds: number;
  /** Memory of the state. */
  readonly bytes: number;
}

export type Label = string | number;
