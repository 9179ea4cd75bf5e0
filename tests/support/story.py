"""A learner's story: two tasks at once and samples one by one, which goes on from wherever a kill has left it.

The module is a program, too: ``python -m tests.support.story ARTIFACT STATE [POINT]`` tells on its standard output how
far it is, a line for each step (``step task epoch``) and for each observed sample; it kills itself at the point.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sparcl_compile.interface.artifact import Artifact, load
from sparcl_compile.runtime.learner.learner import Learner
from sparcl_compile.runtime.learner.results import Step
from tests.support.kills import Point, arm

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TASKS = ((0, 1, 2), (3, 4))
OBSERVED = (5, 6)
EACH, TOGETHER = 24, 8
"""Samples of a class, and observed ones that make a task."""
EPOCHS = 3
DATA = "digits.npz"
Part = tuple[np.ndarray, list[str]]


def digits(folder: Path, classes: Sequence[int], each: int = EACH, start: int = 0) -> Part:
    """Images uint8 [N, 8, 8] of the digits in a folder, and the names of their classes."""
    with np.load(folder / DATA) as data:
        images, labels = data["images"], data["labels"]
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == one)[start : start + each] for one in classes]))
    return images[chosen], [NAMES[label] for label in labels[chosen]]


def compiled(folder: Path, **options: object) -> Artifact:
    """A small network for digits with ten places, in a folder, and the digits beside it."""
    # Here and not above: what lives the story has no compiler, and starts in half of the time without it.
    from sklearn.datasets import load_digits

    from sparcl_compile import CompileOptions, compile_model

    found = load_digits()
    np.savez(folder / DATA, images=np.rint(found.images * 255 / 16).astype(np.uint8), labels=found.target)
    wanted = CompileOptions(target="ort", **{"sparsity": 0.8, **options})  # type: ignore[arg-type]
    return compile_model(ROOT / "models" / "digits_cnn.onnx", wanted, folder / "digits.sparcl")


def opened(artifact: Artifact, state: Path, **options: object) -> Learner:
    """A learner on one thread."""
    return Learner.open(artifact, state, **{"threads": 1, "buffer": 40, **options})  # type: ignore[arg-type]


def tell(artifact: Artifact, state: Path) -> None:
    """Live the story from wherever it stands."""
    folder = artifact.folder.parent
    images, names = digits(folder, OBSERVED, each=TOGETHER)
    with opened(artifact, state) as learner:
        print("open", flush=True)
        if learner.under_way or learner.waiting >= TOGETHER:
            learner.learn(epochs=EPOCHS, progress=_shown)
        while learner.tasks < len(TASKS):
            learner.learn(*digits(folder, TASKS[learner.tasks]), epochs=EPOCHS, progress=_shown)
        while (number := learner.observed) < len(names):
            learner.observe(images[number], names[number], epochs=EPOCHS, progress=_shown)
            print("observed", number + 1, flush=True)
        print("done", flush=True)


def _shown(step: Step) -> None:
    print("step", step.task, step.epoch, flush=True)


if __name__ == "__main__":
    for point in sys.argv[3:]:
        arm(Point(**json.loads(point)))
    tell(load(Path(sys.argv[1])), Path(sys.argv[2]))
