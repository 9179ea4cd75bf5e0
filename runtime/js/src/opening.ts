/** What an opening of a learner is told, and what its calls are. */
import type { InferenceSession } from "onnxruntime-common";
import type { Files } from "./artifact.js";
import type { Budget, Label, LearnerOptions } from "./calls.js";
import { InputError, StateError } from "./errors.js";
import type { Manifest } from "./manifest.js";
import type { Identity, Saved } from "./state.js";
import type { Ort } from "./tensors.js";

/** How often a task presents its samples. */
export const EPOCHS = 5;
const LOGS_FATAL = 4;
const NORMALISE = ["auto", "unit", "raw"];
const DEFAULTS = { seed: 0, buffer_size: 200, augment: "auto", normalise: "auto" };

/** Refuse a budget that allows nothing. */
export function checked({ epochs = EPOCHS, steps = 1, seconds = 1, progress }: Budget): void {
  counted({ epochs, steps });
  if (!(seconds > 0)) throw new InputError(`seconds ${seconds}: give a number above 0`);
  if (progress !== undefined && typeof progress !== "function")
    throw new InputError(`progress ${progress}: give a function that takes a step`);
}

function counted(numbers: Readonly<Record<string, number>>, least = 1): void {
  for (const [name, number] of Object.entries(numbers))
    if (!(Number.isInteger(number) && number >= least))
      throw new InputError(`${name} ${number}: give a whole number from ${least} on`);
}

/** Refuse options that are out of their range, or not for the model. */
export function checkOptions(options: LearnerOptions, manifest: Manifest, model: Files): void {
  const { seed = 0, buffer = 1, batch = 1, threads = 1, learningRate = 1, augment = "auto", state } = options;
  counted({ seed }, 0);
  counted({ buffer, batch, threads });
  if (!(learningRate > 0 && learningRate < Number.POSITIVE_INFINITY))
    throw new InputError(`learningRate ${learningRate}: give a number above 0`);
  if (!["auto", "none"].includes(augment) && !manifest.graphs[augment])
    throw new InputError(`augment ${augment}: is not for samples of this model; give auto or none`);
  if (!NORMALISE.includes(options.normalise ?? "auto"))
    throw new InputError(`normalise ${options.normalise}: give one of ${NORMALISE.join(", ")}`);
  if (!state) throw new InputError("state: there is none; give a folder, or a browser's database");
  if (`${state.name}/`.startsWith(`${model.name}/`))
    throw new InputError(`state ${state.name}: is a compiled artifact or in one; name another place`);
}

/** The names that labels stand for: texts, and numbers as texts. */
export function namesOf(labels: readonly Label[]): string[] {
  return labels.map((label) => {
    if ((typeof label === "string" && label) || Number.isInteger(label)) return String(label);
    throw new InputError(`labels: ${JSON.stringify(label)} is no name; give texts or whole numbers`);
  });
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

/** Refuse a run that has tasks left: its classes and tasks that nothing has learned yet would count as learned. */
export function checkFinished(state: string, { identity: { tasks }, progress }: Saved): void {
  const { task = 0 } = progress.counters;
  if (!Number.isInteger(tasks) || task >= Number(tasks) || progress.learning || progress.taken > 0) return;
  throw new StateError(
    `${state}: is a run that has learned ${task} of its ${tasks} tasks; finish it with sparcl-run --resume, or name another folder as \`state\``,
  );
}
