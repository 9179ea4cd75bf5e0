/** The folder of React Native over a file system that is made up, which refuses what a phone's may, and is killed. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fromBase64, toBase64 } from "../src/base64.js";
import { Learner } from "../src/learner.js";
import { type FileSystem, folder } from "../src/react-native.js";
import { KITS, lot, one, open, ort, scratch, stateOf } from "./support.js";

const PLACE = "/app/state";

/** Files by path in memory; `left` is how many changes are made before the app is killed. */
class Phone implements FileSystem {
  readonly files = new Map<string, string>();
  readonly folders = new Set<string>();
  changes = 0;

  constructor(private readonly left = Number.POSITIVE_INFINITY) {}

  private change(): void {
    if (this.changes >= this.left) throw new Error("killed");
    this.changes += 1;
  }
  async exists(path: string) {
    return this.files.has(path) || this.folders.has(path);
  }
  async readFile(path: string) {
    const found = this.files.get(path);
    if (found === undefined) throw new Error("no such file");
    return found;
  }
  async writeFile(path: string, content: string) {
    this.change();
    this.files.set(path, content);
  }
  async moveFile(from: string, to: string) {
    if (this.files.has(to)) throw new Error("a file of this name exists"); // as on iOS
    const content = await this.readFile(from);
    this.change();
    this.files.delete(from);
    this.files.set(to, content);
  }
  async unlink(path: string) {
    await this.readFile(path);
    this.change();
    this.files.delete(path);
  }
  async mkdir(path: string) {
    this.change();
    this.folders.add(path);
  }
  async readdir(path: string) {
    return [...this.files.keys()]
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1));
  }
  /** A phone with the same files, on which the app is started again. */
  again(left?: number): Phone {
    const made = new Phone(left);
    for (const [name, content] of this.files) made.files.set(name, content);
    for (const name of this.folders) made.folders.add(name);
    return made;
  }
}

test("base64 is that of others, there and back", () => {
  for (const length of [0, 1, 2, 3, 4, 255, 256, 1000]) {
    const bytes = Uint8Array.from({ length }, (_, place) => (place * 151 + length) & 255);
    assert.equal(toBase64(bytes), Buffer.from(bytes).toString("base64"));
    assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
  }
  assert.deepEqual(fromBase64("AQID\nBA==\n"), Uint8Array.of(1, 2, 3, 4));
  assert.throws(() => fromBase64("A*=="), /no letter of base64/);
});

test("files are written, replaced, listed and removed", async () => {
  const store = folder(new Phone(), PLACE);
  const release = await store.hold();
  assert.equal(await store.read("a"), null);
  await store.write("a", Uint8Array.of(1, 2));
  await store.write("a", Uint8Array.of(3));
  assert.deepEqual(await store.read("a"), Uint8Array.of(3));
  assert.equal((await store.read("a"))?.byteOffset, 0); // React Native's ONNX Runtime reads the whole buffer
  assert.deepEqual(await store.names(), ["a"]);
  await store.remove("a");
  await store.remove("a");
  assert.deepEqual(await store.names(), []);
  await release();
});

test("a kill at any change leaves the file of before or the new one, whole, and nothing else", async () => {
  const first = new Phone();
  await (await folder(first, PLACE).hold())();
  await folder(first, PLACE).write("a", Uint8Array.of(1));
  const seen = new Set<number>();
  for (let left = 0; left < 5; left++) {
    const phone = first.again(left);
    const made = await folder(phone, PLACE)
      .write("a", Uint8Array.of(2))
      .then(
        () => true,
        () => false,
      );
    const store = folder(phone.again(), PLACE);
    await (await store.hold())();
    const [found = 0] = (await store.read("a")) ?? [];
    assert.ok(found === 2 || (found === 1 && !made), `${left}: ${found}`);
    assert.deepEqual(await store.names(), ["a"]);
    seen.add(found);
  }
  assert.deepEqual(seen, new Set([1, 2]));
});

test("a disk that refuses leaves the file of before, and says so", async () => {
  const phone = new Phone();
  const store = folder(phone, PLACE);
  const release = await store.hold();
  await store.write("a", Uint8Array.of(1));
  phone.writeFile = async () => {
    throw new Error("ENOSPC: no space left on device");
  };
  await assert.rejects(store.write("a", Uint8Array.of(2)), {
    name: "StateError",
    message: "/app/state/a: cannot be written (ENOSPC: no space left on device); free space, nothing was changed there",
  });
  assert.deepEqual(await store.read("a"), Uint8Array.of(1));
  await release();
});

test("two learners on one folder are refused", async () => {
  const phone = new Phone();
  const release = await folder(phone, PLACE).hold();
  await assert.rejects(folder(phone, PLACE).hold(), { name: "StateError", message: /is in use by another learner of/ });
  await release();
  await (await folder(phone, PLACE).hold())();
});

/** A phone with the artifact of a kit among its files. */
function withArtifact(): Phone {
  const phone = new Phone();
  const root = join(KITS, "der", "artifact");
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" }))
    if (/\.\w+$/.test(name)) phone.files.set(`/app/model/${name}`, readFileSync(join(root, name)).toString("base64"));
  return phone;
}

test("a learner that is killed there again and again ends as one in Node, whose state is the same", async () => {
  const whole = scratch();
  const learner = await open(whole, { batch: 8 });
  for (const classes of ["ab", "cd"])
    await learner.learn(lot(classes, 8).samples, lot(classes, 8).labels, { epochs: 2 });
  await learner.observe(...one(lot("abcd", 1), 0), { steps: 0 });
  await learner.close();
  let phone = withArtifact();
  for (let left = 3; ; left += 1) {
    const app = phone.again(left);
    if (await lived(app)) {
      phone = app;
      break;
    }
    phone = app.again();
  }
  const state = scratch();
  for (const name of await folder(phone, PLACE).names())
    writeFileSync(join(state, name), Buffer.from(await phone.readFile(`${PLACE}/${name}`), "base64"));
  assert.deepEqual(readdirSync(state).sort(), ["pending.safetensors", "state.safetensors"]);
  assert.deepEqual(await stateOf(state), await stateOf(whole));
});

/** The app, from wherever it stands; returns whether it came to its end. */
async function lived(phone: Phone): Promise<boolean> {
  const { at: _, ...model } = folder(phone, "/app/model"); // this ONNX Runtime opens no files of that phone
  const state = folder(phone, PLACE);
  try {
    const learner = await Learner.open(ort, model, { state, threads: 1, buffer: 20, batch: 8 });
    try {
      if (learner.underWay) await learner.learn(undefined, [], { epochs: 2 });
      for (const classes of ["ab", "cd"].slice(learner.tasks))
        await learner.learn(lot(classes, 8).samples, lot(classes, 8).labels, { epochs: 2 });
      if (!learner.observed) await learner.observe(...one(lot("abcd", 1), 0), { steps: 0 });
    } finally {
      await learner.close();
    }
    return true;
  } catch (error) {
    if (/killed/.test(String(error))) return false;
    throw error;
  }
}
