/** What the page and its worker say to each other. */

/** `taught`: sparse, with a replay buffer; `plain`: dense fine-tuning. */
export type Mode = "taught" | "plain";

/** Pictures of 3 x 32 x 32 bytes, one behind the other. */
export interface Pictures {
  readonly data: Uint8Array;
  readonly count: number;
}

export type Order =
  | { readonly do: "learn"; readonly name: string; readonly train: Pictures; readonly test: Pictures }
  | { readonly do: "guess"; readonly picture: Pictures }
  | { readonly do: "mode"; readonly mode: Mode }
  | { readonly do: "stop" }
  | { readonly do: "forget" };

/** Accuracies in percent by class at a step; `begins`: whether a class was new then. */
export interface Point {
  readonly step: number;
  readonly byClass: Readonly<Record<string, number>>;
  readonly begins: boolean;
}

/** A layer's mask: 1 where a weight is kept. */
export interface Mask {
  readonly name: string;
  readonly shape: readonly number[];
  readonly kept: Uint8Array;
}

export interface Status {
  readonly mode: Mode;
  /** Names by place of the head. */
  readonly classes: readonly string[];
  readonly points: readonly Point[];
  readonly sparsity: number;
  readonly flops: { readonly sparse: number; readonly dense: number };
  readonly masks: readonly Mask[];
}

export type Answer =
  | ({ readonly say: "status" } & Status)
  | { readonly say: "progress"; readonly name: string; readonly share: number; readonly loss: number }
  | { readonly say: "points"; readonly points: readonly Point[] }
  | { readonly say: "idle" }
  | { readonly say: "guess"; readonly name: string; readonly probability: number }
  | { readonly say: "failed"; readonly message: string };
