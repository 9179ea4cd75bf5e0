/** The parts of an artifact's manifest that a driver reads (sparcl_compile/interface/manifest.schema.json). */
import type { Program } from "./program.js";

/** A length, or the name of one that only a run knows. */
export type Dimension = number | string;
export type SampleType = "uint8" | "float32";

export interface StateSpec {
  readonly name: string;
  readonly role: string;
  readonly dtype: string;
  readonly shape: readonly Dimension[];
  /** `file`, `zeros`, `ones`, `nan` or `copy:NAME`. */
  readonly init: string;
  readonly saved: boolean;
}

export interface InputSpec {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly Dimension[];
}

export interface GraphSpec {
  /** Its path in the artifact; by type of the raw samples where it reads them. */
  readonly file: string | Readonly<Record<string, string>>;
  readonly inputs: readonly InputSpec[];
  readonly outputs: readonly string[];
  readonly results: readonly string[];
  /** By output the state tensor whose next value it is. */
  readonly updates: Readonly<Record<string, string>>;
  /** State whose next value may be written over it while the graph runs. */
  readonly in_place: readonly string[];
  readonly kernels: boolean;
}

export interface WeightSpec {
  readonly weight: string;
  readonly mask: string | null;
  readonly accumulator: string;
  readonly g1: string;
  readonly g2: string;
}

export interface Manifest {
  readonly format: string;
  readonly version: number;
  readonly target: string;
  readonly options: { readonly method: string };
  readonly model: {
    readonly name: string;
    readonly input_shape: readonly (number | null)[];
    readonly layout: string;
    readonly classes: number;
    readonly raw: boolean;
    readonly input_type: string;
    readonly rows: number | null;
  };
  readonly program: Program;
  readonly optimizer: {
    readonly learning_rate: number;
    readonly few_epochs_rate: number;
    readonly few_epochs: number;
  };
  readonly weights: readonly WeightSpec[];
  readonly graphs: Readonly<Record<string, GraphSpec>>;
  readonly state: readonly StateSpec[];
  readonly state_file: string;
  readonly files: Readonly<Record<string, string>>;
}
