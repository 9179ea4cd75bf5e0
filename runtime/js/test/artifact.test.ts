/** Artifacts that are read, and those that are refused with a mend. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Artifact, type Files } from "../src/artifact.js";
import { artifact } from "./support.js";

/** The files of a kit's artifact, one of which is another one. */
function with_(path: string, change: (bytes: Uint8Array) => Uint8Array | null): Files {
  const whole = artifact();
  return {
    name: "model.sparcl",
    read: async (name) => {
      const bytes = await whole.read(name);
      return bytes && name === path ? change(bytes) : bytes;
    },
  };
}

function manifest(change: (manifest: Record<string, never>) => object): Files {
  return with_("manifest.json", (bytes) =>
    new TextEncoder().encode(JSON.stringify(change(JSON.parse(new TextDecoder().decode(bytes))))),
  );
}

test("an artifact is read, and its identity is the checksum of the manifest", async () => {
  const { manifest, identity } = await Artifact.open(artifact());
  assert.equal(manifest.target, "ort");
  assert.match(identity, /^[0-9a-f]{64}$/);
});

test("a compressed one is refused with the mend", async () => {
  const files = manifest((whole) => ({ ...whole, graphs: { train: { kernels: true } } }));
  await assert.rejects(Artifact.open(files), {
    name: "ArtifactError",
    message: /needs the kernel library, which ONNX Runtime for JavaScript cannot load; compile .* without --compress/,
  });
});

for (const [what, files, message] of [
  ["no artifact", with_("manifest.json", () => null), /is not a compiled artifact \(no manifest.json\)/],
  ["no JSON", with_("manifest.json", (bytes) => bytes.subarray(9)), /manifest.json: is damaged/],
  ["another format", manifest((whole) => ({ ...whole, format: "x" })), /is not a sparcl-artifact manifest/],
  ["another version", manifest((whole) => ({ ...whole, version: 99 })), /has artifact version 99, this program reads/],
  ["the training build's operators", manifest((whole) => ({ ...whole, target: "ort-training" })), /with --target ort/],
] as const) {
  test(`${what} is refused`, async () => {
    await assert.rejects(Artifact.open(files), { name: "ArtifactError", message });
  });
}

test("a file that is damaged, missing, or for other samples is refused when it is read", async () => {
  const files = with_("order/order.onnx", (bytes) => Uint8Array.from(bytes).fill(1, 30, 31));
  const open = await Artifact.open(files);
  await assert.rejects(open.content(open.path("order", "uint8")), /order.onnx: is damaged \(its checksum differs/);
  await assert.rejects(open.content("../../secret"), /is missing from the artifact/);
  assert.throws(
    () => open.path("crop_flip", "float32"),
    /no graph crop_flip for float32 samples; give samples of uint8/,
  );
});
