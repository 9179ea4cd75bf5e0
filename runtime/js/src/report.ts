/** What is known of a learner, from the results of the block `report`. */
import type { Evaluation, Report } from "./calls.js";
import type { Study } from "./study.js";

export function reported(study: Study, places: number): Report {
  const { names, tasks, seconds, trainer, bytes } = study;
  const result = (name: string) => trainer.integer(`result.${name}`);
  const { accuracy, byClass } = accuracies(study);
  return {
    classes: [...names],
    places,
    tasks: tasks.length,
    accuracy: Number.isNaN(accuracy) ? null : accuracy,
    accuracyByClass: byClass,
    sparsity: result("overall"),
    gradientSparsity: result("gradient_overall"),
    allParameters: result("all_parameters"),
    trainingFlops: {
      paperDense: result("paper_dense"),
      paperSparse: result("paper_sparse"),
      trueDense: result("true_dense"),
      trueSparse: result("true_sparse"),
    },
    steps: trainer.integer("step"),
    samplesSeen: trainer.integer("samples_seen"),
    samplesReplayed: trainer.integer("samples_replayed"),
    samplesRemoved: trainer.integer("samples_removed"),
    seconds,
    stateBytes: bytes,
  };
}

/** The accuracy of the last evaluation, and by class where there were samples of it. */
export function accuracies({ names, trainer }: Study): Omit<Evaluation, "samples"> {
  const by = trainer.interpreter.vector("result.by_class");
  const pairs = names.map((name, place): [string, number] => [name, by[place] ?? Number.NaN]);
  const counted = pairs.filter(([, accuracy]) => !Number.isNaN(accuracy));
  return { accuracy: trainer.integer("result.accuracy"), byClass: Object.fromEntries(counted) };
}
