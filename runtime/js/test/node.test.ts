/** Folders as states: files that are whole, and the lock. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { folder } from "../src/node.js";
import { scratch } from "./support.js";

test("files are written, replaced, listed and removed", async () => {
  const path = scratch();
  const store = folder(path);
  assert.equal(await store.read("a"), null);
  await store.write("a", Uint8Array.of(1, 2));
  await store.write("a", Uint8Array.of(3));
  assert.deepEqual(new Uint8Array((await store.read("a")) ?? []), Uint8Array.of(3));
  assert.deepEqual(await store.names(), ["a"]);
  await store.remove("a");
  await store.remove("a");
  assert.deepEqual(readdirSync(path), []);
});

test("a file that cannot be written leaves the one before and no other", async () => {
  const path = scratch();
  mkdirSync(join(path, "a"));
  await assert.rejects(folder(path).write("a", Uint8Array.of(1)), { name: "StateError", message: /cannot be written/ });
  assert.deepEqual(readdirSync(path), ["a"]);
});

test("the lock's line names process, host, time and program, and goes with the lock", async () => {
  const path = join(scratch(), "made");
  const release = await folder(path).hold();
  const line = readFileSync(join(path, ".lock"), "utf8");
  assert.match(line, new RegExp(`^${process.pid} ${hostname()} \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d node .+\\n$`));
  await assert.rejects(folder(path).hold(), {
    name: "StateError",
    message: new RegExp(`is in use by node .+ \\(process ${process.pid} on .+\\); wait for its end`),
  });
  assert.deepEqual(readdirSync(path), [".lock"]);
  await release();
  assert.deepEqual(readdirSync(path), []);
});

test("the lock of a process that has ended, or of none, is taken over", async () => {
  const path = scratch();
  const ended = spawn(process.execPath, ["-e", ""]);
  await new Promise((resolve) => ended.on("exit", resolve));
  for (const line of [`${ended.pid} ${hostname()} 2026-01-01T00:00:00 java App\n`, "no line", ""]) {
    writeFileSync(join(path, ".lock"), line);
    await (await folder(path).hold())();
  }
});

test("of processes that find the lock of one that has ended, one holds it", async () => {
  const path = scratch();
  const node = fileURLToPath(new URL("../src/node.js", import.meta.url));
  const program = `const { folder } = await import(${JSON.stringify(node)});
    console.log(await folder(${JSON.stringify(path)}).hold().then(() => "held", () => "refused"));
    setTimeout(() => process.exit(), 60_000); process.stdin.on("end", () => process.exit()).resume();`;
  writeFileSync(join(path, ".lock"), `2147483647 ${hostname()} 2026-01-01T00:00:00 java App\n`);
  const all = Array.from({ length: 3 }, () => spawn(process.execPath, ["--input-type=module", "-e", program]));
  const said = await Promise.all(all.map(async ({ stdout }) => String((await once(stdout, "data"))[0]).trim()));
  for (const one of all) one.stdin.end();
  await Promise.all(all.map((one) => once(one, "exit")));
  assert.deepEqual(said.sort(), ["held", "refused", "refused"]);
});

test("the lock of another host is kept", async () => {
  const path = scratch();
  writeFileSync(join(path, ".lock"), "1 phone 2026-01-01T00:00:00 java App\n");
  await assert.rejects(folder(path).hold(), /is in use by java App \(process 1 on phone, since 2026-01-01T00:00:00\)/);
});
