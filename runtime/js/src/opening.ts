/** What an opening of a learner is told, and what its calls are. */
import type { InferenceSession } from "onnxruntime-common";
import type { Budget, LearnerOptions } from "./calls.js";
import { InputError, StateError } from "./errors.js";
import type { Identity } from "./state.js";
import type { Ort } from "./tensors.js";

/** How often a task presents its samples. */
export const EPOCHS = 5;
const LOGS_FATAL = 4;
const DEFAULTS = { seed: 0, buffer_size: 200, augment: "auto", normalise: "auto" };

/** Refuse a budget that allows nothing. */
export function checked({ epochs = EPOCHS, steps = 1, seconds = 1 }: Budget): void {
  for (const [name, number] of Object.entries({ epochs, steps }))
    if (!(Number.isInteger(number) && number >= 1)) throw new InputError(`${name} ${number}: give at least 1`);
  if (!(seconds > 0)) throw new InputError(`seconds ${seconds}: give a number above 0`);
}

/** The options of the sessions. */
export function sessions(ort: Ort, { threads }: LearnerOptions): InferenceSession.SessionOptions {
  if (threads !== undefined) ort.env.wasm.numThreads = threads;
  return { logSeverityLevel: LOGS_FATAL, ...(threads === undefined ? {} : { intraOpNumThreads: threads }) };
}

/** The identity of a state: what it says, or what the options say of a new one; refused where they differ. */
export function agreed(
  { seed, buffer, augment, normalise, state }: LearnerOptions,
  artifact: string,
  found?: Identity,
): Identity {
  const given = Object.entries({ seed, buffer_size: buffer, augment, normalise }).filter(
    ([, value]) => value !== undefined,
  );
  const kept: Identity = found ?? { artifact, ...DEFAULTS, ...Object.fromEntries(given) };
  for (const [name, value] of given) {
    const own = kept[name as keyof Identity];
    if (own !== value)
      throw new StateError(
        `${state.name}: belongs to a learner with ${name} ${own}, this one has ${value}; give the same, or another folder as state`,
      );
  }
  return kept;
}
