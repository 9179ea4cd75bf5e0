import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { computed, sha256 } from "../src/sha256.js";

const bytes = (length: number) => Uint8Array.from({ length }, (_, place) => (place * 37 + length) % 256);
const wanted = (one: Uint8Array) => createHash("sha256").update(one).digest("hex");
const hex = (one: Uint8Array) => Buffer.from(one).toString("hex");

test("the platform's checksum and the computed one are SHA-256 for every length around a block", async () => {
  for (let length = 0; length < 200; length++) {
    assert.equal(await sha256(bytes(length)), wanted(bytes(length)));
    assert.equal(hex(computed(bytes(length))), wanted(bytes(length)));
  }
});

test("a view into a larger memory gives the checksum of the view", () => {
  const view = bytes(1000).subarray(13, 700);
  assert.equal(hex(computed(view)), wanted(view));
});
