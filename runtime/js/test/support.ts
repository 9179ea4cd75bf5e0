/** Kits, samples and folders that the tests share. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import type { Files } from "../src/artifact.js";
import type { LearnerOptions } from "../src/calls.js";
import { Learner } from "../src/learner.js";
import { folder } from "../src/node.js";
import { opened, parsed } from "../src/safetensors.js";
import type { Given } from "../src/samples.js";
import type { Store } from "../src/store.js";
import { loaded } from "./runtimes.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The kits of tests/conformance for the target `ort`; `make test-js` puts them there. */
export const KITS = process.env.SPARCL_KITS ?? join(ROOT, "../../build/js/kits");
export const ort = await loaded("onnxruntime-node");

export const artifact = (kit = "der"): Files => folder(join(KITS, kit, "artifact"));

/** A folder that is gone when the tests are over. */
export function scratch(): string {
  const made = mkdtempSync(join(tmpdir(), "sparcl-js-"));
  after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

export interface Lot {
  readonly samples: Given;
  readonly labels: string[];
}

const LETTERS = ["a", "b", "c", "d"];

/** The samples of some classes of a kit, at most so many of each; classes are called a, b, c, d. */
export function lot(classes: string, most = 1000, kit = "der", part: "train" | "test" = "train"): Lot {
  const { tensors } = parsed(readFileSync(join(KITS, kit, "samples.safetensors")));
  const [x, y] = [tensors.get(`x_${part}`), tensors.get(`y_${part}`)];
  if (!x || !y) throw new Error("no such samples");
  const labels = Array.from(y.data as BigInt64Array, (label) => LETTERS[Number(label)] ?? "");
  const seen: Record<string, number> = {};
  const rows = labels.flatMap((label, row) => {
    seen[label] = (seen[label] ?? 0) + 1;
    return classes.includes(label) && (seen[label] ?? 0) <= most ? [row] : [];
  });
  const data = new (x.data.constructor as typeof Uint8Array)(rows.length * 64);
  for (const [place, row] of rows.entries())
    data.set((x.data as Uint8Array).subarray(row * 64, row * 64 + 64), place * 64);
  return { samples: { data, dims: [rows.length, 1, 8, 8] }, labels: rows.map((row) => labels[row] ?? "") };
}

/** One sample of a lot, with its label. */
export function one({ samples, labels }: Lot, row: number): [Given, string] {
  const data = (samples.data as Uint8Array).slice(row * 64, row * 64 + 64);
  return [{ data, dims: [1, 8, 8] }, labels[row] ?? ""];
}

export function open(state: string | Store, options: Partial<LearnerOptions> = {}, kit = "der"): Promise<Learner> {
  const store = typeof state === "string" ? folder(state) : state;
  return Learner.open(ort, artifact(kit), { state: store, threads: 1, buffer: 20, ...options });
}

/** The tensors and the progress of a state, without the time. */
export async function stateOf(path: string) {
  const { tensors, texts } = await opened(readFileSync(join(path, "state.safetensors")));
  const { seconds: _, ...progress } = JSON.parse(texts.progress ?? "");
  return { tensors, progress };
}
