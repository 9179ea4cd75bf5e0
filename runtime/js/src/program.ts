/** The program of an artifact: the continual loop as data (docs/interfaces.md). */

/** The name of a value, a constant, or a vector of constants and of values of one element. */
export type Source = string | number | readonly (string | number)[];

export interface Condition {
  readonly value: string;
  readonly at_least?: number | null;
  readonly every?: number | null;
}

export type Block = readonly Operation[];

export interface Operations {
  run: {
    graph: string;
    take?: string;
    feeds?: Readonly<Record<string, Source>>;
    give?: string;
    results?: Readonly<Record<string, string>>;
    into?: "" | "g1" | "g2";
  };
  when: { any: readonly Condition[]; then: Block; otherwise?: Block };
  each: { name: string; last: string; block: Block };
  rows: { table: TableName; at_most: number; give: string; block: Block };
  slice: { vector: string; position: string; count: string; end: string; give: string };
  gather: { rows: string; give: string };
  reset: { state: readonly string[] };
  set: { name: string; to: number | string };
  count: { name: string; add?: number | string; rows?: string };
  due: { events: string; block: Block };
  fail: { message: string; of: string; names?: readonly string[] };
  call: { block: string };
}

export type Verb = keyof Operations;
export type Operation = { [V in Verb]: { readonly do: V } & Readonly<Operations[V]> }[Verb];
export type TableName = "data" | "train" | "test";

export interface Event {
  /** Numerator and denominator of the share of a task at which it is due. */
  readonly at: readonly [number, number];
  readonly tasks: "first" | "later" | "all";
  readonly feeds: Readonly<Record<string, string | readonly number[]>>;
}

export interface Program {
  readonly counters: Readonly<Record<string, number>>;
  readonly vectors: Readonly<Record<string, readonly number[]>>;
  readonly blocks: Readonly<Record<string, Block>>;
  readonly events: Readonly<Record<string, readonly Event[]>>;
  /** The values that the steps of an epoch hand on. */
  readonly kept: readonly string[];
}
