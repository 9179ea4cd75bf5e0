"""What two short tasks with plain SGD do not show, against PyTorch: third tasks, removals, momenta, answers."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparcl_compile.graphs.exemplars import SUMS
from tests.reference import methods
from tests.reference.augment import normalise
from tests.reference.config import Config
from tests.reference.trace import Trace
from tests.reference.train import Task, _Learner, run
from tests.support import twins
from tests.support.twins import RATE, Given, Length, Outcome, both, by_policy, check_same, plain

CLASSES, EACH, TESTED = 6, 16, 8
THREE = Length(tasks=3, classes=CLASSES, buffer=14)
DENSE = {"sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0}


def far_colours(folder: Path, size: int, each: int = EACH) -> Path:
    """Classes of colours far enough apart that some are told from others at once."""
    rng, path = np.random.default_rng(1), folder / "colours.npz"
    base, arrays = rng.integers(0, 156, size=(CLASSES, 3, 1, 1)), dict[str, np.ndarray]()
    for part, count in (("train", each), ("test", TESTED)):
        y = np.repeat(np.arange(CLASSES), count)
        x = base[y] + rng.integers(0, 100, (len(y), 3, size, size))
        arrays |= {f"y_{part}": y, f"x_{part}": x.astype(np.uint8)}
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    return twins.given(tmp_path_factory.mktemp("given"), plain(CLASSES), 8, far_colours)


Start = Callable[..., tuple[Outcome, _Learner]]


def twice(given: Given, folder: Path, length: Length, **options: object) -> tuple[Outcome, _Learner]:
    """Run twice, and also give the learner of the second implementation."""
    learners: list[_Learner] = []

    def reference(module: torch.nn.Module, tasks: Sequence[Task], config: Config, classes: int) -> Trace:
        def made(*settings: object) -> _Learner:
            kind = methods.LEARNERS.get(config.replay, _Learner)
            learners.append(kind(*settings))  # type: ignore[arg-type]
            return learners[0]

        return run(module, tasks, config, classes, learner_type=made)  # type: ignore[arg-type]

    outcome = both(given, folder, reference, length, **{"target": "ort", "dense": ("0.*",), **options})
    return outcome, learners[0]


@pytest.fixture
def start(given: Given, tmp_path: Path) -> Start:
    return functools.partial(twice, given, tmp_path)


def logits_of(learner: _Learner, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        found = learner.network.forward(torch.from_numpy(normalise(x, learner.config.mean, learner.config.std)))
    return np.asarray(found.numpy())


def check_answers(outcome: Outcome, answers: Callable[[np.ndarray], np.ndarray]) -> None:
    """The last row of both matrices of accuracies, from scores [N, classes]."""
    for of, task in enumerate(outcome.run.tasks):
        scores, labels = answers(task.x_test), task.y_test
        own = np.full_like(scores, -np.inf)
        own[:, list(task.classes)] = scores[:, list(task.classes)]
        for name, each in (("class", scores), ("task", own)):
            found = outcome.run.engine.array(f"accuracy.{name}")[-1, of]
            assert found == pytest.approx(100 * np.mean(each.argmax(1) == labels)), (name, of)


# Third tasks


@pytest.mark.parametrize("method", ["lwf", "a-gem", "er-ace", "der++", "fdr"])
def test_a_third_task_equals_pytorch(method: str, start: Start) -> None:
    outcome, learner = start(THREE, method=method, **DENSE)
    check_same(outcome)
    check_answers(outcome, lambda x: logits_of(learner, x))


def test_ewc_adds_up_the_information_of_all_tasks(start: Start) -> None:
    outcome, learner = start(THREE, method="ewc", **DENSE)
    check_same(outcome)
    check_answers(outcome, lambda x: logits_of(learner, x))
    assert isinstance(learner, methods.Ewc)
    for name, fisher in learner.fisher.items():
        found, anchor = (outcome.run.engine.array(f"{name}.{kind}") for kind in ("fisher", "anchor"))
        np.testing.assert_allclose(found, fisher.numpy(), rtol=1e-3, atol=1e-4 * float(fisher.max()), err_msg=name)
        np.testing.assert_allclose(anchor, learner.anchor[name].numpy(), rtol=0, atol=2e-6, err_msg=name)


@pytest.mark.parametrize(
    "optimizer",
    [{}, {"momentum": 0.9}, {"optimizer": "adamw"}],
    ids=["sgd", "momentum", "adamw"],
)
def test_packnet_prunes_and_answers_task_by_task(optimizer: Mapping[str, Any], start: Start) -> None:
    outcome, learner = start(THREE, method="packnet", dense=(), **DENSE, **optimizer)
    check_same(outcome)
    assert isinstance(learner, methods.PackNet)
    for name, owner in learner.owners.items():
        np.testing.assert_array_equal(outcome.run.engine.array(f"{name}.owner"), owner.numpy(), err_msg=name)
    # The last task's network has all weights, so the others are asked behind it.
    for of in reversed(range(THREE.tasks)):
        task = outcome.run.tasks[of]
        scores = learner.answers(task.x_test, of)
        found = outcome.run.engine.array("accuracy.class")[-1, of]
        assert found == pytest.approx(100 * np.mean(scores.argmax(1) == task.y_test)), of


def test_icarl_answers_by_the_nearest_mean(start: Start) -> None:
    outcome, learner = start(THREE, method="icarl", **DENSE)
    check_same(outcome)
    assert isinstance(learner, methods.Icarl)
    means = learner.means()
    assert len(means) == CLASSES
    order = sorted(means)

    def nearest(x: np.ndarray) -> np.ndarray:
        distances = [np.linalg.norm(learner.features(x) - means[label], axis=1) for label in order]
        return -np.stack(distances, axis=1)

    check_answers(outcome, nearest)
    # Told apart from the answers of the logits, which the same network has.
    asked = np.concatenate([task.x_test for task in outcome.run.tasks])
    assert (nearest(asked).argmax(1) != logits_of(learner, asked).argmax(1)).any()


@pytest.mark.parametrize(("method", "rate"), [("lwf", RATE), ("icarl", RATE / 30)])
def test_more_samples_than_are_walked_through_at_a_time(method: str, rate: float, given: Given, tmp_path: Path) -> None:
    """A program walks through 256 at a time; here are tasks of 300, and a buffer of 270.

    Batches of 32 have so many activations that one of iCaRL's runs comes to a kink of ReLU: its steps are smaller. The
    exemplars and their means, which are walked through, do not depend on that.
    """
    many = dataclasses.replace(given, data=far_colours(tmp_path, 8, each=100))
    length = Length(epochs=1, batch=32, buffer=270, classes=CLASSES, rate=rate)
    outcome, learner = twice(many, tmp_path, length, method=method, **DENSE)
    check_same(outcome)
    if isinstance(learner, methods.Icarl):
        sums = outcome.run.engine.array(SUMS)
        for label, mean in learner.means().items():
            np.testing.assert_allclose(sums[label] / np.linalg.norm(sums[label]), mean, rtol=0, atol=1e-5)


# Removals


@pytest.mark.parametrize("recipe", ["paper", "reference-code"])
@pytest.mark.parametrize("classes", ["all", "task"])
def test_the_same_samples_are_removed(classes: str, recipe: str, start: Start) -> None:
    """Stages end after 2.5, 5, 7.5 and 10 epochs: each presents all samples twice, and two end inside an epoch."""
    length = Length(epochs=25, tasks=2, classes=CLASSES)
    outcome, learner = start(
        length, method="er", recipe=recipe, loss_classes=classes, sparsity=0.75, gradient_sparsity=0.75
    )
    check_same(outcome)
    removed = [int((~keep).sum()) for keep in learner.trace.sample_keep]
    assert min(removed) > 0 or classes == "all"
    assert max(removed) > 0
    assert outcome.run.trainer["samples_removed"] == sum(removed)
    assert outcome.run.trainer["samples_seen"] == learner.trace.samples_seen < 25 * CLASSES * EACH


# Optimizers


@pytest.mark.parametrize(
    ("rate", "options"),
    [
        (0.001, {"momentum": 0.9, "gradient_sparsity": 0.9}),
        (0.001, {"momentum": 0.9, "weight_decay": 0.1, "step_limit": 2e-4}),
        (0.001, {"weight_decay": 0.5, "method": "finetune", "gradient_sparsity": 0.0}),
        (1e-5, {"optimizer": "adamw", "gradient_sparsity": 0.9}),
        (1e-5, {"optimizer": "adamw", "weight_decay": 10.0}),
        (0.001, {"scaling": "none", "momentum": 0.5}),
    ],
    ids=str,
)
def test_an_optimizer_with_masks_equals_pytorch(rate: float, options: dict[str, object], start: Start) -> None:
    """What is removed or grown loses what the optimizer keeps of it, and what is not to move does not."""
    given = {"sparsity": 0.75, "data_removal": 0.0, **options}
    outcome, learner = start(Length(rate=rate, classes=CLASSES), **given)
    check_same(outcome)
    engine = outcome.run.engine
    kept = {"momentum": "momentum_buffer", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}
    compared = 0
    for name, parameter in learner.network.module.named_parameters():
        for ours, theirs in kept.items():
            memory = learner.optimizer.state[parameter].get(theirs)
            if memory is None or f"{name}.{ours}" not in engine.state:
                continue
            size = float(memory.abs().max())
            found = engine.array(f"{name}.{ours}")
            np.testing.assert_allclose(found, memory.numpy(), rtol=1e-3, atol=1e-4 * size, err_msg=name)
            compared += 1
    assert compared or options.get("method") == "finetune"


# Refreshes


def test_gradients_are_chosen_anew_every_thirty_steps(given: Given, tmp_path: Path) -> None:
    """Static masks: nothing else makes a choice due. Batches of 4 make 36 steps a task."""
    options = {"sparsity": 0.75, "gradient_sparsity": 0.9, "data_removal": 0.0, "dense": ("0.*",)}
    outcome, learner = by_policy("static", given, tmp_path, Length(epochs=3, batch=4, classes=CLASSES), **options)
    assert [step for step, _ in learner.trace.refreshes] == [0, 30, 36, 66]
    check_same(outcome)
    masks = learner.trace.refreshes
    assert all((masks[0][1][name] != masks[1][1][name]).any() for name in masks[0][1])
