/** A driver is small: what another language has to write of it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const DRIVER = ["engine", "interpreter", "tables", "tensors", "trainer"];
const MOST = 500;

/** Lines that are neither blank nor comments nor imports. */
function code(source: string): number {
  const plain = source.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^import [\s\S]*?;$/gm, "");
  return plain.split("\n").filter((line) => line.trim() && !line.trim().startsWith("//")).length;
}

test("the driver has fewer lines than its budget", () => {
  const lines = DRIVER.map((name) => code(readFileSync(new URL(`../../src/${name}.ts`, import.meta.url), "utf8")));
  const sum = lines.reduce((one, other) => one + other);
  assert.ok(sum < MOST, `${sum}`);
  assert.ok(sum > 300, "it is not counted rightly");
});
