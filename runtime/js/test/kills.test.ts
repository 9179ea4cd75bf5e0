/** An app that is killed loses the current epoch at most (`KILLS=50` for more of them). */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { killed } from "./kills.js";
import { scratch, stateOf } from "./support.js";

const KILLS = Number(process.env.KILLS ?? 4);
/** Milliseconds. */
const LONGEST = Number(process.env.LONGEST ?? 1500);

test("an app that is killed and started again ends where one ends that is not", async (context) => {
  const [one, other] = [join(scratch(), "whole"), join(scratch(), "killed")];
  assert.equal(await killed(one, 0, 0), 0);
  for (let made = 0; made < KILLS; rmSync(other, { recursive: true })) {
    made += await killed(other, KILLS - made, LONGEST);
    context.diagnostic(`${made} kills`);
    assert.deepEqual(await stateOf(other), await stateOf(one));
    assert.deepEqual(readdirSync(other), ["state.safetensors"]);
  }
});
