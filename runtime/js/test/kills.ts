/** Kills an app at random moments until it has ended, and looks at its state after each. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stateOf } from "./support.js";

const APP = fileURLToPath(new URL("app.js", import.meta.url));
/** What may lie in a state: its files, the lock, and what is removed when it is opened again. */
const KNOWN = /^(state|pending|samples-[0-9a-f]{16})\.safetensors$|^\.lock$|^\..+\.new\.[0-9a-f]{8}$/;

/** Run the app, and kill it after so many milliseconds; returns what it printed, and its exit code. */
function run(state: string, milliseconds: number): Promise<{ lines: string[]; code: number | null }> {
  return new Promise((resolve) => {
    const app = spawn(process.execPath, [APP, state], { stdio: ["ignore", "pipe", "inherit"] });
    const timer = setTimeout(() => app.kill("SIGKILL"), milliseconds);
    let text = "";
    app.stdout.on("data", (data) => {
      text += data;
    });
    app.on("close", (code) => {
      clearTimeout(timer);
      resolve({ lines: text.split("\n").filter(Boolean), code });
    });
  });
}

/** How far a state is: tasks, epochs of the one under way, observed samples in tasks. */
async function reached(state: string): Promise<readonly number[]> {
  if (!existsSync(join(state, "state.safetensors"))) return [0, 0, 0];
  const { counters, taken } = (await stateOf(state)).progress;
  return [counters.task, counters.epoch, taken];
}

/** Kill an app so often; throws where something is lost, or left over. */
export async function killed(state: string, kills: number, longest: number): Promise<number> {
  mkdirSync(state, { recursive: true });
  let [made, before] = [0, await reached(state)];
  for (;;) {
    const { lines, code } = await run(state, made < kills ? Math.random() * longest : 120_000);
    if (code !== null && code !== 0) throw new Error(`the app ended with ${code} behind ${lines.at(-1)}`);
    const now = await reached(state);
    if (now[0] === before[0] ? (now[1] ?? 0) < (before[1] ?? 0) : (now[0] ?? 0) < (before[0] ?? 0))
      throw new Error(`${before} was there, and ${now} is`);
    const strange = readdirSync(state).find((name) => !KNOWN.test(name));
    if (strange) throw new Error(`${strange} is left over`);
    before = now;
    if (code === 0) return made;
    made += 1;
  }
}
