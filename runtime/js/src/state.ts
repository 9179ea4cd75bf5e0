/** A learner's state in its files (docs/learner.md): what is written when, and what is refused. */
import { StateError } from "./errors.js";
import { type Content, opened, type Stored, sealed } from "./safetensors.js";
import type { Store } from "./store.js";
import { rowsOf, type Samples, typeOf } from "./tables.js";
import { product } from "./tensors.js";
import type { Position } from "./trainer.js";

export const STATE = "state.safetensors";
export const PENDING = "pending.safetensors";
/** What a run has set aside that began over a state. */
export const PREVIOUS = "state.previous.safetensors";
const VERSION = "3";
const TASK = /^samples-[0-9a-f]{16}\.safetensors$/;
const LEFT = /^\.(state|pending|samples-([0-9a-f]{16}|HASH))\.safetensors\.new\.[a-z0-9_]{8}$/;
/** Digits of a checksum in a file's name. */
const DIGITS = 16;

/** Raw samples with the places of their names in `names`. */
export interface Batch {
  readonly x: Stored;
  readonly labels: readonly number[];
  readonly names: readonly string[];
  /** The number of the first, of all that were ever observed. */
  readonly first: number;
}

export interface Progress extends Position {
  readonly seconds: number;
  readonly learning_rates: readonly { readonly after_epochs: number; readonly learning_rate: number }[];
  readonly samples: {
    readonly type: "uint8" | "float32";
    readonly shape: readonly number[];
    readonly normalise: { readonly scale: number; readonly mean: readonly number[]; readonly std: readonly number[] };
    readonly classes: readonly string[];
    readonly classes_by_task: readonly (readonly number[])[];
  };
  readonly learning: Learning | null;
  readonly taken: number;
}

/** The task under way. */
export interface Learning {
  readonly epochs: number;
  readonly batch: number;
  readonly learning_rate: number;
  readonly file: string;
}

export interface Identity {
  readonly artifact: string;
  readonly seed: number;
  readonly buffer_size: number;
  readonly augment: string;
  readonly normalise: string;
  /** How many tasks a run has that began the state. */
  readonly tasks?: number;
}

export interface Saved {
  readonly tensors: ReadonlyMap<string, Stored>;
  readonly progress: Progress;
  readonly identity: Identity;
}

export class StateFiles {
  constructor(private readonly store: Store) {}

  async save({ tensors, progress, identity }: Saved): Promise<void> {
    const texts = { version: VERSION, progress: JSON.stringify(progress), identity: JSON.stringify(identity) };
    await this.store.write(STATE, await sealed({ tensors, texts }));
  }

  /** The last save, or null where there is none. */
  load(name = STATE): Promise<Saved | null> {
    return this.read(name, ({ tensors, texts }) => ({
      tensors,
      progress: JSON.parse(texts.progress ?? ""),
      identity: JSON.parse(texts.identity ?? ""),
    }));
  }

  /** Remove what a kill has left, and samples that neither this save nor the one that is set aside names. */
  async tidy(saved: Saved | null): Promise<void> {
    const names = await this.store.names();
    const tasks = names.filter((name) => TASK.test(name) && name !== saved?.progress.learning?.file);
    const orphans = tasks.length ? await this.orphans(tasks) : [];
    for (const name of [...names.filter((one) => LEFT.test(one)), ...orphans]) await this.store.remove(name);
  }

  /** The files that the state set aside does not name; none where it cannot be read, which may name anything. */
  private async orphans(names: readonly string[]): Promise<readonly string[]> {
    try {
      const aside = await this.load(PREVIOUS);
      return names.filter((name) => name !== aside?.progress.learning?.file);
    } catch (error) {
      if (error instanceof StateError) return [];
      throw error;
    }
  }

  /** Write the samples of a task; returns the file's name. */
  async task(batch: Batch): Promise<string> {
    const bytes = await sealed(content(batch));
    const sum = (await opened(bytes)).texts.sha256 ?? "";
    const name = `samples-${sum.slice(0, DIGITS)}.safetensors`;
    await this.store.write(name, bytes);
    return name;
  }

  batch(name: string): Promise<Batch | null> {
    return this.read(name, ({ tensors, texts }) => ({
      x: tensors.get("x") as Stored,
      labels: Array.from((tensors.get("labels") as Stored).data, Number),
      names: JSON.parse(texts.names ?? ""),
      first: Number(texts.first),
    }));
  }

  async pending(batch: Batch): Promise<void> {
    await (batch.labels.length ? this.store.write(PENDING, await sealed(content(batch))) : this.remove(PENDING));
  }

  remove(name: string): Promise<void> {
    return this.store.remove(name);
  }

  private async read<Kind>(name: string, kind: (content: Content) => Kind): Promise<Kind | null> {
    const bytes = await this.store.read(name);
    if (!bytes) return null;
    const where = `${this.store.name}/${name}`;
    try {
      const found = await opened(bytes);
      if (found.texts.version === VERSION) return kind(found);
      throw new StateError(
        `${where}: has state version ${found.texts.version}, this program reads version ${VERSION}; use it with the program that wrote it, or give another folder as state`,
      );
    } catch (error) {
      if (error instanceof StateError) throw error;
      throw new StateError(
        `${where}: is damaged (${(error as Error).message}); remove it, or give another folder as state`,
      );
    }
  }
}

function content({ x, labels, names, first }: Batch): Content {
  const integers = { dtype: "int64", shape: [labels.length], data: BigInt64Array.from(labels, BigInt) };
  const texts = { version: VERSION, names: JSON.stringify(names), first: String(first) };
  return {
    tensors: new Map<string, Stored>([
      ["x", x],
      ["labels", integers],
    ]),
    texts,
  };
}

/** Raw samples as a file has them, and back. */
export function stored(samples: Samples): Stored {
  return { dtype: typeOf(samples), shape: [rowsOf(samples), ...samples.shape], data: samples.data };
}

export function plain({ data, shape }: Stored): Samples {
  return { data: data as Samples["data"], shape: shape.slice(1) };
}

/** Waiting samples without the first ones, which a task has taken. */
export function without({ x, labels, names, first }: Batch, gone: number): Batch {
  const { data, shape } = plain(x);
  const rest = { data: data.slice(gone * product(shape)) as Samples["data"], shape };
  return { x: stored(rest), labels: labels.slice(gone), names, first: first + gone };
}
