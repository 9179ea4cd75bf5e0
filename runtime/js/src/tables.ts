/** The samples of a run as the tables that a program names. */
import type { Tensor } from "onnxruntime-common";
import { InputError } from "./errors.js";
import type { SampleType } from "./manifest.js";
import { type Ort, product, zeros } from "./tensors.js";

/** Raw samples, uint8 or float32, one behind the other. */
export interface Samples {
  readonly data: Uint8Array | Float32Array;
  /** Channels, height and width. */
  readonly shape: readonly number[];
}

/** The columns of some rows. */
export type Rows = { readonly raw: Tensor; readonly labels: Tensor; readonly classes: Tensor };

export class Table {
  constructor(
    private readonly ort: Ort,
    private readonly samples: Samples,
    private readonly labels: readonly number[],
    /** The labels that occur. */
    private readonly classes: readonly number[],
  ) {}

  get length(): number {
    return this.labels.length;
  }

  /** Some rows; the classes stay. */
  gather(rows: readonly number[]): Rows {
    const { data, shape } = this.samples;
    const type = typeOf(this.samples);
    const size = product(shape);
    const raw = zeros(type, rows.length * size) as Uint8Array;
    rows.forEach((row, place) => {
      raw.set((data as Uint8Array).subarray(row * size, (row + 1) * size), place * size);
    });
    const integers = (numbers: readonly number[]) =>
      new this.ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [numbers.length]);
    return {
      raw: new this.ort.Tensor(type, raw, [rows.length, ...shape]),
      labels: integers(rows.map((row) => this.labels[row] ?? 0)),
      classes: integers(this.classes),
    };
  }

  /** All rows in order, `most` at a time. */
  *chunks(most: number): Generator<Rows> {
    const rows = this.labels.map((_, row) => row);
    for (let start = 0; start < rows.length; start += most) yield this.gather(rows.slice(start, start + most));
  }
}

/** The tables `data`, `train` and `test`; the two latter by task. */
export interface Tables {
  data: () => Table | undefined;
  train: (task: number) => Table | undefined;
  test: (task: number) => Table | undefined;
}

/** The type of raw samples. */
export function typeOf({ data }: Samples): SampleType {
  return data instanceof Uint8Array ? "uint8" : "float32";
}

/** How many samples there are. */
export function rowsOf({ data, shape }: Samples): number {
  return data.length / Math.max(1, product(shape));
}

/** Samples of one shape and type, one behind the other. */
export function together(all: readonly Samples[]): Samples {
  const [first] = all;
  if (!first) throw new InputError("there are no samples; give at least one");
  if (all.some((one) => one.shape.join() !== first.shape.join() || typeOf(one) !== typeOf(first)))
    throw new InputError("the samples differ in shape or type; give them all alike");
  const data = zeros(
    typeOf(first),
    all.reduce((length, one) => length + one.data.length, 0),
  ) as Uint8Array;
  let place = 0;
  for (const one of all) {
    data.set(one.data, place);
    place += one.data.length;
  }
  return { data, shape: first.shape };
}
