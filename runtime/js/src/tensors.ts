/** Tensors by the names that a manifest has for their types. */
import type { Env, InferenceSessionFactory, Tensor, TensorConstructor } from "onnxruntime-common";

/** A module of ONNX Runtime: onnxruntime-node, -web or -react-native. */
export interface Ort {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
  readonly env: Env;
}

export type Numbers = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

export type DType = keyof typeof ARRAYS;

/** Zeros in memory of their own. */
export function zeros(dtype: string, length: number): Numbers {
  return new ARRAYS[dtype as DType](length);
}

/** Numbers as elements of a type. */
export function elements(dtype: string, numbers: readonly number[]): Numbers {
  const made = zeros(dtype, numbers.length);
  numbers.forEach((number, place) => {
    made[place] = made instanceof BigInt64Array ? BigInt(number) : number;
  });
  return made;
}

/** The elements that little-endian bytes stand for, in memory of their own, which is aligned. */
export function fromBytes(dtype: string, bytes: Uint8Array): Numbers {
  return new ARRAYS[dtype as DType](new Uint8Array(bytes).buffer);
}

/** The bytes of a tensor's elements, a view. */
export function toBytes(tensor: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensor.data as Numbers;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The elements of a tensor as numbers. */
export function numbers(tensor: Tensor): number[] {
  return Array.from(tensor.data as Numbers, Number);
}

export function product(lengths: readonly number[]): number {
  return lengths.reduce((one, other) => one * other, 1);
}
