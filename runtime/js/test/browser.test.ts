/** A learner in Chromium: its state in IndexedDB, and the lock of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import type { Evaluation, Learned } from "../src/calls.js";
import { Learner } from "../src/learner.js";
import type { Store } from "../src/store.js";
import { browsing, FOLDERS, serving, unready } from "./chromium.js";
import { artifact, KITS, lot, one, ort } from "./support.js";

const skip = unready || false;

/** A page with the driver and ONNX Runtime as `sparcl`. */
async function prepared(page: Page, url: string): Promise<void> {
  await page.goto(`${url}/page/empty.html`);
  await page.evaluate(async () => {
    const paths = ["/ort/ort.wasm.bundle.min.mjs", "/dist/src/index.js", "/dist/src/browser.js"];
    const [ort, index, browser] = await Promise.all(paths.map((path) => import(path)));
    Object.assign(ort.env.wasm, { wasmPaths: "/ort/", numThreads: 1 });
    Object.assign(window, {
      sparcl: {
        database: browser.database,
        open: async (state: string) =>
          index.Learner.open(ort, browser.served("/kits/der/artifact"), {
            state: await browser.database(state),
            buffer: 20,
          }),
      },
    });
  });
}

interface Window {
  sparcl: { database(name: string): Promise<Store>; open(name: string): Promise<Learner> };
  learner: Learner;
}

/** Wait until nobody holds the lock of a state: that of a closed page is given back a moment after it is gone. */
const freed = (page: Page, state: string): Promise<void> =>
  page.evaluate(async (name) => {
    await navigator.locks.request(`sparcl:${name}`, { signal: AbortSignal.timeout(300_000) }, () => {});
  }, state);

const on = (use: (page: Page, url: string) => Promise<void>) => () =>
  serving({ ...FOLDERS, kits: KITS }, (url) => browsing((page) => prepared(page, url).then(() => use(page, url))));

test(
  "files of a database are written, replaced, listed and removed",
  { skip },
  on(async (page) => {
    const found = await page.evaluate(async () => {
      const store = await (window as unknown as Window).sparcl.database("files");
      const none = await store.read("a");
      await store.write("a", Uint8Array.of(1));
      await store.write("a", Uint8Array.of(2, 3));
      const names = await store.names();
      const bytes = [...((await store.read("a")) ?? [])];
      await store.remove("a");
      return { none, names, bytes, after: await store.names() };
    });
    assert.deepEqual(found, { none: null, names: ["a"], bytes: [2, 3], after: [] });
  }),
);

test(
  "the lock of a state names the page that holds it, and goes with the page",
  { skip },
  on(async (page, url) => {
    await page.evaluate(async () => {
      const { sparcl } = window as unknown as Window;
      Object.assign(window, { learner: await sparcl.open("mine") });
    });
    const other = await page.context().newPage();
    await prepared(other, url);
    const opened = () =>
      other.evaluate(() => (window as unknown as Window).sparcl.open("mine").then(() => "open", String));
    assert.match(
      await opened(),
      /^StateError: mine: is in use by \/page\/empty.html \(process \w+ on 127.0.0.1:\d+, since /,
    );
    await page.close();
    await freed(other, "mine");
    assert.equal(await opened(), "open");
  }),
);

test(
  "what is begun in a tab that is closed in the middle goes on in another, and ends as in Node",
  { skip },
  on(async (page, url) => {
    const learnt = lot("ab");
    const given = { data: [...(learnt.samples.data as Uint8Array)], dims: learnt.samples.dims, labels: learnt.labels };
    const began = await page.evaluate(async ({ data, dims, labels }) => {
      const learner = await (window as unknown as Window).sparcl.open("run");
      let steps = 0;
      const progress = () => {
        steps += 1;
        return steps === 9 ? new Promise(() => {}) : true;
      };
      void learner.learn({ data: Uint8Array.from(data), dims }, labels, { epochs: 2, progress });
      while (steps < 9) await new Promise((resolve) => setTimeout(resolve, 10));
      return steps;
    }, given);
    assert.equal(began, 9);
    const context = page.context();
    await page.close();
    const other = await context.newPage();
    await prepared(other, url);
    await freed(other, "run");
    const asked = lot("ab", 10, "der", "test");
    const [ended, found] = await other.evaluate(
      async ({ data, dims, labels }): Promise<[Learned, Evaluation]> => {
        const learner = await (window as unknown as Window).sparcl.open("run");
        const ended = await learner.learn();
        const found = await learner.evaluate({ data: Uint8Array.from(data), dims }, labels);
        await learner.close();
        return [ended, found];
      },
      { data: [...(asked.samples.data as Uint8Array)], dims: asked.samples.dims, labels: asked.labels },
    );
    assert.deepEqual([ended.reason, ended.steps], ["done", 6]);
    const files = new Map<string, Uint8Array>();
    const memory: Store = {
      name: "memory",
      read: async (name) => files.get(name) ?? null,
      write: async (name, bytes) => void files.set(name, bytes),
      remove: async (name) => void files.delete(name),
      names: async () => [...files.keys()],
      hold: async () => async () => {},
    };
    const learner = await Learner.open(ort, artifact(), { state: memory, threads: 1, buffer: 20 });
    const whole = await learner.learn(learnt.samples, learnt.labels, { epochs: 2 });
    assert.ok(Math.abs((whole.loss ?? 0) - (ended.loss ?? 9)) < 1e-4);
    assert.deepEqual(await learner.evaluate(asked.samples, asked.labels), found);
    assert.equal((await learner.predict([one(asked, 0)[0]])).names.length, 1);
  }),
);
