/**
 * `node dist/test/cost.js RUNTIME ARTIFACT SAMPLES EPOCHS`: what a learner costs, as JSON, for benchmarks/drivers.py.
 *
 * Milliseconds from the process's (the page's) beginning until a learner is open, of the first step, and of a step in
 * the middle; in Node the processor time of a step; the largest memory of the process (of the page's process).
 */
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Learner } from "../src/learner.js";
import { parsed, type Stored } from "../src/safetensors.js";
import type { Given } from "../src/samples.js";
import { loaded } from "./runtimes.js";

const [runtime = "", artifact = "", file = "", epochs = ""] = process.argv.slice(2);
const { tensors } = parsed(readFileSync(file));
const [x, y] = ["x", "labels"].map((name) => tensors.get(name)) as [Stored, Stored];
const given = { data: x.data as Uint8Array, dims: x.shape };
const labels = Array.from(y.data as BigInt64Array, Number);

interface Cost {
  readonly start: number;
  readonly first: number;
  readonly step: number;
  readonly busy?: number;
}

/** Learn one task, and tell what it cost. */
async function cost(
  learner: Learner,
  samples: Given,
  names: readonly number[],
  epochs: number,
  start: number,
): Promise<Cost> {
  const used = () => globalThis.process?.cpuUsage(); // not in a browser
  const times = [performance.now()];
  let began = used();
  const told = () => {
    if (times.length === 1) began = used();
    times.push(performance.now());
  };
  await learner.learn(samples, names, { epochs, progress: told });
  const [first = 0, ...rest] = times.slice(1).map((time, step) => time - (times[step] ?? 0));
  const whole = began && globalThis.process.cpuUsage(began);
  const busy = whole ? { busy: (whole.user + whole.system) / 1000 / rest.length } : {};
  rest.sort((one, other) => one - other);
  await learner.close();
  return { start, first, step: rest[Math.floor(rest.length / 2)] ?? 0, ...busy };
}

/** The largest memory that a process has had, in MB. */
function peak(pid: string): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

async function inNode(): Promise<Cost & { memory: number }> {
  const [ort, { Learner }, { folder }] = await Promise.all([
    loaded("onnxruntime-node"),
    import("../src/learner.js"),
    import("../src/node.js"),
  ]);
  const state = folder(join(tmpdir(), `sparcl-cost-${process.pid}`));
  const learner = await Learner.open(ort, folder(artifact), { state, threads: 1, batch: 32 });
  const found = await cost(learner, given, labels, Number(epochs), performance.now());
  for (const name of await state.names()) await state.remove(name);
  return { ...found, memory: peak("self") };
}

/** The process of the page: of all renderers below this process the one with the most memory. */
function renderer(): number {
  const lines = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid));
  const own = lines.filter((pid) => {
    const command = readable(`/proc/${pid}/cmdline`);
    return command.includes("--type=renderer") && command.includes("chromium");
  });
  return Math.max(...own.map(peak));
}

function readable(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

async function inChromium(): Promise<Cost & { memory: number }> {
  const { browsing, FOLDERS, serving } = await import("./chromium.js"); // here, since its loading would count in Node
  return serving({ ...FOLDERS, model: dirname(artifact) }, (url) =>
    browsing(async (page) => {
      await page.goto(`${url}/page/empty.html`);
      const found = await page.evaluate(
        async ({ model, data, dims, names, epochs, told }): Promise<Cost> => {
          const paths = ["/ort/ort.wasm.bundle.min.mjs", "/dist/src/index.js", "/dist/src/browser.js"];
          const [ort, index, browser] = await Promise.all(paths.map((path) => import(path)));
          Object.assign(ort.env.wasm, { wasmPaths: "/ort/", numThreads: 1 });
          const state = await browser.database("cost");
          const learner = await index.Learner.open(ort, browser.served(model), { state, threads: 1, batch: 32 });
          const again = new Function(`return (${told})`)() as typeof cost;
          return again(learner, { data: Uint8Array.from(data), dims }, names, epochs, performance.now());
        },
        {
          model: `/model/${basename(artifact)}`,
          data: [...given.data],
          dims: given.dims,
          names: labels,
          epochs: Number(epochs),
          told: cost.toString(),
        },
      );
      return { ...found, memory: renderer() };
    }),
  );
}

console.log(JSON.stringify(await (runtime === "chromium" ? inChromium() : inNode())));
