/** `node dist/test/trace.js KITS NAME TRACE.json [PACKAGE]`: learn a kit and write the trace. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { folder } from "../src/node.js";
import { Replay } from "./replay.js";
import { loaded } from "./runtimes.js";

const [kits = "", name = "", to = "", runtime = "onnxruntime-node"] = process.argv.slice(2);
const told = JSON.parse(await readFile(join(kits, name, "trace.json"), "utf8")).run;
const replay = await Replay.prepared(await loaded(runtime), folder(join(kits, name)), told);
await writeFile(to, JSON.stringify(await replay.learn()));
