/** What can go wrong, each with one line that names the file, the option or the value and a mend. */

export class SparclError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** An artifact is missing, damaged, of another version, or cannot run here. */
export class ArtifactError extends SparclError {}

/** A state is damaged, of another version or of another artifact, or somebody else holds it. */
export class StateError extends SparclError {}

/** Samples, labels or options that do not fit. */
export class InputError extends SparclError {}

/** The training fails. */
export class TrainingError extends SparclError {}
