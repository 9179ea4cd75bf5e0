/** `node dist/test/trace.js KITS NAME TRACE.json [RUNTIME [FAULT]]`: learn a kit and write the trace. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { folder } from "../src/node.js";
import { traced } from "./chromium.js";
import { FAULTS } from "./faults.js";
import { Replay } from "./replay.js";
import { loaded } from "./runtimes.js";

const [kits = "", name = "", to = "", runtime = "onnxruntime-node", fault = ""] = process.argv.slice(2);

async function learnt(): Promise<string> {
  if (runtime === "chromium") return traced(kits, name);
  const told = JSON.parse(await readFile(join(kits, name, "trace.json"), "utf8")).run;
  const replay = await Replay.prepared(await loaded(runtime), folder(join(kits, name)), told, FAULTS[fault]);
  return JSON.stringify(await replay.learn());
}

await writeFile(to, await learnt());
