/** Lets an artifact of sparcl-compile learn where it is used (docs/learner.md). */
export type { Files } from "./artifact.js";
export type * from "./calls.js";
export { ArtifactError, InputError, SparclError, StateError, TrainingError } from "./errors.js";
export { Learner } from "./learner.js";
export type { Given, Input } from "./samples.js";
export type { Store } from "./store.js";
export type { Ort } from "./tensors.js";
