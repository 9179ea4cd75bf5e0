import assert from "node:assert/strict";
import { test } from "node:test";
import { opened, parsed, type Stored, sealed } from "../src/safetensors.js";

const TENSORS = new Map<string, Stored>([
  ["u", { dtype: "uint8", shape: [3], data: Uint8Array.of(1, 2, 255) }],
  ["w", { dtype: "float32", shape: [2, 2], data: Float32Array.of(0.1, -1, Number.NaN, 4) }],
  ["n", { dtype: "int64", shape: [], data: BigInt64Array.of(-(2n ** 62n)) }],
  ["none", { dtype: "float64", shape: [0, 3], data: new Float64Array() }],
]);
const TEXTS = { version: "3", progress: '{"sha256":"no","name":"é"}' };

test("what is written is read again, with the checksum", async () => {
  const { tensors, texts } = await opened(await sealed({ tensors: TENSORS, texts: TEXTS }));
  assert.deepEqual(tensors, TENSORS);
  assert.deepEqual({ ...texts, sha256: "" }, { ...TEXTS, sha256: "" });
  assert.match(texts.sha256 ?? "", /^[0-9a-f]{64}$/);
});

test("the header is padded to a multiple of 8, and lies before tensors without gaps", async () => {
  const bytes = await sealed({ tensors: TENSORS, texts: TEXTS });
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  assert.equal(length % 8, 0);
  assert.equal(bytes.length, 8 + length + 3 + 16 + 8);
  assert.match(new TextDecoder().decode(bytes.subarray(8)), /^\{"__metadata__":\{.*?"sha256":"[0-9a-f]{64}"\}/);
});

test("bytes that begin anywhere in a memory are read", async () => {
  const bytes = await sealed({ tensors: TENSORS, texts: TEXTS });
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  assert.deepEqual(parsed(shifted.subarray(3)).tensors, TENSORS);
});

test("a file is refused wherever a byte of it is another one", async () => {
  const bytes = await sealed({ tensors: TENSORS, texts: TEXTS });
  for (let place = 0; place < bytes.length; place += 3) {
    const damaged = bytes.slice();
    damaged[place] = (damaged[place] ?? 0) ^ 1;
    await assert.rejects(opened(damaged), `byte ${place}`);
  }
});

test("a file is refused wherever it ends too early", async () => {
  const bytes = await sealed({ tensors: TENSORS, texts: TEXTS });
  for (let length = 0; length < bytes.length; length += 7) await assert.rejects(opened(bytes.subarray(0, length)));
});
