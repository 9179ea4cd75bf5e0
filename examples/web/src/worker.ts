/** Learns beside the page, so that this can go on drawing. */
import { database, served } from "../../../runtime/js/src/browser.js";
import { Learner } from "../../../runtime/js/src/learner.js";
import type { Manifest } from "../../../runtime/js/src/manifest.js";
import type { Numbers, Ort } from "../../../runtime/js/src/tensors.js";
import { Album, type Page } from "./album.js";
import type { Answer, Mask, Mode, Order, Pictures } from "./messages.js";

const ROOT = new URL("../../../../", import.meta.url).href.replace(/\/$/, "");
const ORT = `${ROOT}/ort/`;
const EPOCHS = 6;
const BATCH = 8;
/** Steps between two looks at the accuracy. */
const LOOK = 5;

const say = (answer: Answer) => postMessage(answer);
const samples = ({ data, count }: Pictures) => ({ data, dims: [count, 3, 32, 32] });

let ort: Ort;
let album: Album;
let mode: Mode = "taught";
let stopped = false;
const learners = new Map<Mode, Learner>();

async function begun(): Promise<void> {
  ort = await import(`${ORT}ort.wasm.bundle.min.mjs`);
  ort.env.wasm.wasmPaths = ORT;
  ort.env.wasm.numThreads = 1;
  album = await Album.open(await database("album"));
  await status();
}

async function learner(): Promise<Learner> {
  const open = learners.get(mode);
  if (open) return open;
  const options = { normalise: "unit", augment: "none", batch: BATCH } as const;
  const made = await Learner.open(ort, served(`${ROOT}/${mode}.sparcl`), { state: await database(mode), ...options });
  learners.set(mode, made);
  return made;
}

/** Learn every class of the album that this learner has not learnt yet, one after the other. */
async function study(): Promise<void> {
  stopped = false;
  const one = await learner();
  await course(one, one.classes.at(-1) ?? "");
  for (const { name, train } of album.pages.slice(one.classes.length)) {
    if (stopped) break;
    await course(one, name, train);
  }
  await album.save();
  await status();
}

/** Learn a class, or go on with the one that is under way. */
async function course(one: Learner, name: string, train?: Pictures): Promise<void> {
  const points = album.points[mode];
  const before = points.at(-1)?.step ?? 0;
  let begins = train !== undefined;
  let made = 0;
  const look = async () => {
    points.push({ step: before + made, byClass: await accuracies(one), begins });
    say({ say: "points", points });
    begins = false;
  };
  const progress = async (step: { epoch: number; epochs: number; done: number; total: number; loss: number }) => {
    made += 1;
    say({ say: "progress", name, share: (step.epoch + step.done / step.total) / step.epochs, loss: step.loss });
    if (made % LOOK === 1) await look();
    return !stopped;
  };
  const budget = { epochs: EPOCHS, progress };
  if (train) await one.learn(samples(train), new Array<string>(train.count).fill(name), budget);
  else await one.learn(undefined, [], budget);
  if (made) await look();
}

async function accuracies(one: Learner): Promise<Readonly<Record<string, number>>> {
  const pages = album.pages.filter(({ name }) => one.classes.includes(name));
  const count = pages.reduce((sum, { test }) => sum + test.count, 0);
  const data = new Uint8Array(pages.reduce((sum, { test }) => sum + test.data.length, 0));
  let place = 0;
  for (const { test } of pages) {
    data.set(test.data, place);
    place += test.data.length;
  }
  const labels = pages.flatMap(({ name, test }) => new Array<string>(test.count).fill(name));
  return (await one.evaluate(samples({ data, count }), labels)).byClass;
}

async function status(): Promise<void> {
  const one = await learner();
  const manifest: Manifest = await (await fetch(`${ROOT}/${mode}.sparcl/manifest.json`)).json();
  const masks = manifest.weights.flatMap(({ weight, mask }): Mask[] => {
    const tensor = mask ? one.tensor(mask) : null;
    return tensor ? [{ name: weight, shape: tensor.dims, kept: Uint8Array.from(tensor.data as Numbers, Number) }] : [];
  });
  const known = { mode, points: album.points[mode], masks };
  const report = await one.report().catch(() => null);
  const { trueSparse: sparse = 0, trueDense: dense = 0 } = report?.trainingFlops ?? {};
  const sparsity = report?.sparsity ?? 0;
  say({ say: "status", ...known, classes: one.classes, sparsity, flops: { sparse, dense } });
}

async function taught({ name, train, test }: Page): Promise<void> {
  const place = album.pages.findIndex((page) => page.name === name);
  if (place >= 0) throw new Error(`${name} was learnt already; give another name, or start over`);
  album.pages.push({ name, train, test });
  await album.save();
  await study();
}

async function forgotten(): Promise<void> {
  for (const one of learners.values()) await one.close();
  learners.clear();
  for (const name of ["taught", "plain", "album"]) {
    const store = await database(name);
    for (const file of await store.names()) await store.remove(file);
  }
  album = await Album.open(await database("album"));
  await status();
}

async function guess(picture: Pictures): Promise<void> {
  const one = await learner();
  if (one.classes.length < 2) return;
  const { names, probabilities } = await one.predict(samples(picture));
  say({ say: "guess", name: names[0] ?? "", probability: Math.max(...(probabilities[0] ?? [0])) });
}

/** Orders that change what is known wait for each other; a guess comes between two steps. */
let last: Promise<unknown> = begun();
function inTurn(call: () => Promise<void>): void {
  last = last
    .then(call)
    .catch((error: Error) => say({ say: "failed", message: error.message }))
    .then(() => say({ say: "idle" }));
}

self.onmessage = ({ data }: MessageEvent<Order>) => {
  if (data.do === "stop") stopped = true;
  else if (data.do === "guess")
    void guess(data.picture).catch((error: Error) => say({ say: "failed", message: error.message }));
  else if (data.do === "learn") inTurn(() => taught(data));
  else if (data.do === "forget") inTurn(forgotten);
  else {
    stopped = true;
    inTurn(async () => {
      mode = data.mode;
      await study();
    });
  }
};
inTurn(async () => study());
