"""Test accuracy, class-incremental and task-incremental, from the graphs ``eval`` and ``score``."""

from collections.abc import Sequence

import numpy as np

from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.driver.batches import class_mask
from sparcl_compile.runtime.driver.preprocess import Preprocessor
from sparcl_compile.runtime.session.engine import Engine

BATCH = 256


def accuracies(
    engine: Engine, preprocess: Preprocessor, tasks: Sequence[Task], classes: int
) -> tuple[list[float], list[float]]:
    """Accuracy in percent on each task's test set.

    Returns:
        class_il: any class of the head may be answered.
        task_il: only the task's own classes may be answered.
    """
    pairs = [_task_accuracy(engine, preprocess, task, classes) for task in tasks]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _task_accuracy(engine: Engine, preprocess: Preprocessor, task: Task, classes: int) -> tuple[float, float]:
    masks = (np.zeros(classes, np.float32), class_mask(classes, task.classes))
    correct = [0, 0]
    for start in range(0, len(task.y_test), BATCH):
        labels = task.y_test[start : start + BATCH]
        x = preprocess.plain(task.x_test[start : start + BATCH])
        logits = engine.run("eval", {"x": x})["logits"]
        for i, mask in enumerate(masks):
            feeds = {"logits": logits, "labels": labels, "class_mask": np.tile(mask, (len(labels), 1))}
            correct[i] += int(engine.run("score", feeds)["correct"])
    return 100.0 * correct[0] / len(task.y_test), 100.0 * correct[1] / len(task.y_test)
