/** Reads samples as users have them: images with channels first or last, vectors, sequences, volumes. */
import { InputError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import type { Samples } from "./tables.js";
import { product } from "./tensors.js";

/** Numbers with their lengths, as an ort.Tensor has them: `[N, ...]`, or one sample without the N. */
export interface Given {
  readonly data: ArrayLike<number> & { readonly length: number };
  readonly dims: readonly number[];
}

/** Samples in one array, or one by one, images then of any size. */
export type Input = Given | readonly Given[];
type Model = Manifest["model"];
type Order = readonly number[];

const IMAGES: Readonly<Record<string, Order>> = { NCHW: [0, 1, 2], NHWC: [2, 0, 1] };
/** By layout the axes of a sample that are its channels, and all others. */
const AXES: Readonly<Record<string, Order>> = { NCT: [0, 1], NTC: [1, 0], NCDHW: [0, 1, 2, 3], NDHWC: [3, 0, 1, 2] };

/** Samples of a size each: `[C, H, W]` and how many there are. */
export interface Part extends Samples {
  readonly count: number;
}

/** The samples of an input, those of one size together where they come in one array. */
export function parts(model: Model, input: Input): Part[] {
  if (Array.isArray(input)) return input.map((one: Given) => part(model, { data: one.data, dims: [1, ...one.dims] }));
  return [part(model, input as Given)];
}

/** Height and width of the images that a model takes; null where there are no images, or of any size. */
export function imageSize({ layout, input_shape }: Model): [number, number] | null {
  const order = IMAGES[layout];
  const [height, width] = (order ?? []).slice(1).map((axis) => input_shape[axis]);
  return height && width ? [height, width] : null;
}

function part(model: Model, given: Given): Part {
  const { data, dims } = given ?? {};
  if (!Array.isArray(dims) || data?.length === undefined)
    throw new InputError("samples are { data, dims }, numbers with the lengths of their axes, or a list of them");
  const [count = 0, ...lengths] = dims;
  if (product(dims) !== data.length)
    throw new InputError(
      `samples of ${dims.join("x")} have ${product(dims)} elements, these have ${data.length}; give the lengths of the data`,
    );
  const typed = ofType(model, data);
  const { order, shape } = model.layout in IMAGES ? image(model, lengths) : other(model, lengths);
  return { data: moved(typed, count, lengths, order), shape, count };
}

function image({ layout, input_shape }: Model, lengths: readonly number[]): { order: Order; shape: readonly number[] } {
  const channels = input_shape[(IMAGES[layout] as Order)[0] ?? 0];
  const axes = lengths.length === 2 ? [1, ...lengths] : lengths;
  const order = axes[0] === channels ? [0, 1, 2] : [2, 0, 1];
  const shape = order.map((axis) => axes[axis] ?? 0);
  if (axes.length !== 3 || (channels && shape[0] !== channels)) throw misfit(input_shape, lengths);
  return { order: lengths.length === 2 ? [0, 1] : order, shape };
}

/** Vectors [D], sequences and volumes in the model's own axes; they become [D, 1, 1], [C, T, 1] and [C, D * H, W]. */
function other({ layout, input_shape }: Model, lengths: readonly number[]): { order: Order; shape: readonly number[] } {
  const long = (all: readonly (number | null)[]) => all.filter((length) => length !== 1);
  const fits = (own: readonly number[], taken: readonly (number | null)[]) =>
    own.length === taken.length && own.every((length, axis) => length === (taken[axis] ?? length));
  const order = AXES[layout];
  if (!order) {
    if (lengths.length > 3 || !fits([product(lengths)], input_shape)) throw misfit(input_shape, lengths);
    const shape = lengths.length === 2 ? [1, ...lengths] : [...lengths, 1, 1].slice(0, 3);
    return { order: lengths.map((_, axis) => axis), shape };
  }
  if (!fits(lengths, input_shape)) {
    if (!fits(long(lengths) as number[], long(input_shape))) throw misfit(input_shape, lengths);
    const rest = long(lengths) as number[];
    return other(
      { layout, input_shape } as Model,
      input_shape.map((length) => (length === 1 ? 1 : (rest.shift() ?? 1))),
    );
  }
  const [channels = 1, ...rest] = order.map((axis) => lengths[axis] ?? 1);
  const width = rest.length > 1 ? (rest.at(-1) as number) : 1;
  return { order, shape: [channels, product(rest) / width, width] };
}

function misfit(wanted: readonly (number | null)[], lengths: readonly number[]): InputError {
  return new InputError(
    `the model takes ${wanted.map((length) => length ?? "any").join("x")}, these samples are ${lengths.join("x") || "numbers"}; give samples of its axes`,
  );
}

/** The samples with their axes in another order. */
function moved(
  data: Uint8Array | Float32Array,
  count: number,
  lengths: readonly number[],
  order: Order,
): Uint8Array | Float32Array {
  if (order.every((axis, place) => axis === place)) return data;
  const size = product(lengths);
  const step = (axis: number) => product(lengths.slice(axis + 1));
  const places = order.reduce<number[]>(
    (begun, axis) =>
      begun.flatMap((at) => Array.from({ length: lengths[axis] ?? 0 }, (_, number) => at + number * step(axis))),
    [0],
  );
  const made = data.slice();
  for (let row = 0; row < count; row++)
    places.forEach((from, to) => {
      made[row * size + to] = data[row * size + from] as number;
    });
  return made;
}

/** Largest whole number that float32 has with all before it, and the end of bytes. */
const EXACT = 2 ** 24;
const BYTES = 256;

/** The numbers in the type that the model's samples have: bytes, or float32 for all else. */
function ofType({ input_type, rows, name }: Model, data: ArrayLike<number>): Uint8Array | Float32Array {
  const bytes = data instanceof Uint8Array || data instanceof Uint8ClampedArray;
  if (!/^u?int/.test(input_type)) return bytes ? new Uint8Array(data) : Float32Array.from(data);
  const end = input_type === "uint8" ? BYTES : (rows ?? EXACT);
  const low = input_type === "uint8" || rows !== null ? 0 : -EXACT;
  for (const number of Array.from(data))
    if (!Number.isInteger(number) || number < low || number >= end)
      throw new InputError(
        `a sample holds ${number}, and ${name} takes whole numbers from ${low} to ${end - 1}; mend it`,
      );
  return input_type === "uint8" ? Uint8Array.from(data) : Float32Array.from(data);
}
