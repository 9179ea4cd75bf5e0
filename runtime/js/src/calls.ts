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

/** Why a call ended (anything but `done` leaves a task under way), how many steps it made, and the last loss. */
export interface Learned {
  readonly reason: "done" | "steps" | "seconds" | "cancelled";
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

/** Accuracies in percent, by class where there were samples of it. */
export interface Evaluation {
  readonly accuracy: number;
  readonly byClass: Readonly<Record<string, number>>;
  readonly samples: number;
}

export interface Report {
  /** The names by place of the head, and how many places that has. */
  readonly classes: readonly string[];
  readonly places: number;
  readonly tasks: number;
  /** Of the last evaluation; null before the first. */
  readonly accuracy: number | null;
  readonly accuracyByClass: Readonly<Record<string, number>>;
  /** Shares of zeros: among masked weights, their gradients, and all parameters. */
  readonly sparsity: number;
  readonly gradientSparsity: number;
  readonly allParameters: number;
  /** Of all training so far, by the paper's convention and true, dense and as it was (docs/flops.md). */
  readonly trainingFlops: Flops;
  readonly steps: number;
  readonly samplesSeen: number;
  readonly samplesReplayed: number;
  readonly samplesRemoved: number;
  /** Spent in steps. */
  readonly seconds: number;
  /** Of the tensors that a save writes. */
  readonly stateBytes: number;
}

export interface Flops {
  readonly paperDense: number;
  readonly paperSparse: number;
  readonly trueDense: number;
  readonly trueSparse: number;
}

export type Label = string | number;
