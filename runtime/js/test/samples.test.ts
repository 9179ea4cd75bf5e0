import assert from "node:assert/strict";
import { test } from "node:test";
import type { Manifest } from "../src/manifest.js";
import { imageSize, parts } from "../src/samples.js";

type Model = Manifest["model"];
const model = (layout: string, input_shape: readonly (number | null)[], more: Partial<Model> = {}): Model => ({
  name: "m",
  layout,
  input_shape,
  classes: 2,
  raw: false,
  input_type: "float32",
  rows: null,
  ...more,
});
const count = (dims: readonly number[]) => dims.reduce((one, other) => one * other, 1);
const given = (...dims: number[]) => ({ data: Uint8Array.from({ length: count(dims) }, (_, n) => n), dims });

for (const [layout, shape, dims, wanted, first] of [
  ["NCHW", [3, 2, 2], [1, 3, 2, 2], [3, 2, 2], [0, 1, 2]],
  ["NCHW", [3, 2, 2], [1, 2, 2, 3], [3, 2, 2], [0, 3, 6]],
  ["NHWC", [2, 2, 3], [1, 2, 2, 3], [3, 2, 2], [0, 3, 6]],
  ["NCHW", [1, 4, 4], [2, 2, 3], [1, 2, 3], [0, 1, 2]],
  ["NCHW", [1, null, null], [2, 5, 3, 1], [1, 5, 3], [0, 1, 2]],
  ["flat", [4], [2, 4], [4, 1, 1], [0, 1, 2]],
  ["flat", [12], [2, 4, 3], [1, 4, 3], [0, 1, 2]],
  ["flat", [12], [2, 3, 2, 2], [3, 2, 2], [0, 1, 2]],
  ["NCT", [1, 7], [2, 7], [1, 7, 1], [0, 1, 2]],
  ["NTC", [7, 1], [2, 7], [1, 7, 1], [0, 1, 2]],
  ["NCT", [2, 3], [1, 2, 3], [2, 3, 1], [0, 1, 2]],
  ["NTC", [3, 2], [1, 3, 2], [2, 3, 1], [0, 2, 4]],
  ["NCDHW", [1, 2, 2, 3], [1, 1, 2, 2, 3], [1, 4, 3], [0, 1, 2]],
  ["NDHWC", [2, 2, 3, 2], [1, 2, 2, 3, 2], [2, 4, 3], [0, 2, 4]],
] as const) {
  test(`${dims.join("x")} become ${wanted.join("x")} for ${layout} ${shape.join("x")}`, () => {
    const [part] = parts(model(layout, shape), given(...dims));
    assert.deepEqual(part?.shape, wanted);
    assert.deepEqual(Array.from(part?.data ?? []).slice(0, 3), first);
    assert.equal(part?.count, dims[0]);
  });
}

for (const [layout, shape, dims, message] of [
  ["NCHW", [3, 2, 2], [1, 1, 2, 2], /the model takes 3x2x2, these samples are 1x2x2/],
  ["NCHW", [3, 2, 2], [1, 12], /these samples are 12/],
  ["flat", [4], [2, 5], /the model takes 4, these samples are 5/],
  ["NTC", [3, 2], [1, 2, 3], /the model takes 3x2, these samples are 2x3/],
] as const) {
  test(`${dims.join("x")} are refused for ${layout} ${shape.join("x")}`, () => {
    assert.throws(() => parts(model(layout, shape), given(...dims)), message);
  });
}

test("lengths that are not those of the data are refused", () => {
  assert.throws(
    () => parts(model("flat", [4]), { data: new Uint8Array(7), dims: [2, 4] }),
    /have 8 elements, these have 7/,
  );
});

test("numbers of other types become float32, clamped bytes stay bytes", () => {
  const [floats] = parts(model("flat", [2]), { data: [0.5, 1], dims: [1, 2] });
  const [bytes] = parts(model("flat", [2]), { data: Uint8ClampedArray.of(1, 2), dims: [1, 2] });
  assert.ok(floats?.data instanceof Float32Array);
  assert.ok(bytes?.data instanceof Uint8Array);
});

test("tokens become float32, bytes stay bytes, and what is neither is refused", () => {
  const tokens = model("flat", [3], { input_type: "int64", raw: true, rows: 9 });
  const [part] = parts(tokens, { data: Uint8Array.of(0, 8, 3), dims: [1, 3] });
  assert.ok(part?.data instanceof Float32Array);
  for (const number of [9, -1, 0.5])
    assert.throws(() => parts(tokens, { data: [0, number, 3], dims: [1, 3] }), /whole numbers from 0 to 8/);
  const bytes = model("flat", [2], { input_type: "uint8", raw: true });
  assert.ok(parts(bytes, { data: [0, 255], dims: [1, 2] })[0]?.data instanceof Uint8Array);
  assert.throws(() => parts(bytes, { data: [0, 256], dims: [1, 2] }), /whole numbers from 0 to 255/);
});

test("images are resized to what the model takes, where it says it", () => {
  assert.deepEqual(imageSize(model("NHWC", [5, 6, 3])), [5, 6]);
  assert.equal(imageSize(model("NCHW", [3, null, 6])), null);
  assert.equal(imageSize(model("flat", [4])), null);
});
