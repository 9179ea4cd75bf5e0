"""The same run twice: compiled on ONNX Runtime, and by the independent implementation in tests/reference."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from models.export import export
from models.resnet import masked_weights
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.settings.methods import method_of
from sparcl_compile.settings.options import CompileOptions
from tests.reference import policies
from tests.reference.config import Config, LayerCounts
from tests.reference.schedule import erk_counts
from tests.reference.train import Task, Trace, run

ReferenceRun = Callable[[torch.nn.Module, Sequence[Task], Config, int], Trace]

SAMPLES = 16
BATCH = 8
LOGITS = 1e-3
"""Of logits that are far from rounding, in a network with normalisations of small batches."""
GIVEN = {
    "sparsity": 0.75,
    "gradient_sparsity": 0.8,
    "data_removal": 0.3,
    "dense": ("conv1*",),
    "replay_batches": "separate",
}
"""Compile options where a test names no others."""
RATE = 0.001
"""So low that no rounding error reaches a kink of ReLU or MaxPool; what differs then differs in the method."""
CONSTANT_RATE = {"rate_decay": 0.0}
"""Where a falling rate, the default, brings the importances of two gradients within rounding of each other (seen under
2:4: 0.01074165 twice, of which either may be chosen): a tie tells no method from another.
"""
FULL_LIMIT_STEPS = 10
CLASSES = 4
"""Two tasks of two classes, ``SAMPLES`` a class. In smaller batches the last stage's BatchNorm is so badly
conditioned that rounding grows tenfold a step, in PyTorch against itself as well."""


def plain(classes: int) -> torch.nn.Module:
    """A network for [N, 3, 8, 8] without normalisation.

    ONNX and PyTorch keep different running variances, which recorded outputs and answers would show.
    """
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 4 * 4, classes),
    )


def colours(folder: Path, size: int) -> Path:
    """Noisy images [N, 3, size, size] of ``CLASSES`` colours."""
    (x_train, y_train), (x_test, y_test) = (_coloured(seed, count, size) for seed, count in ((1, SAMPLES), (2, 2)))
    np.savez(folder / "colours.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return folder / "colours.npz"


def _coloured(seed: int, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), count)
    base = rng.integers(0, 100, size=(CLASSES, 3, 1, 1))
    x = base[y] + rng.integers(0, 156, size=(len(y), 3, size, size))
    return x.astype(np.uint8), y


@dataclasses.dataclass(frozen=True)
class Given:
    """A network, in PyTorch and as a file, and the data that it learns."""

    module: torch.nn.Module
    file: Path
    data: Path


def given(folder: Path, module: torch.nn.Module, size: int, data: Callable[[Path, int], Path] = colours) -> Given:
    """A network for images [3, size, size] with its data."""
    export(module, (3, size, size), folder / "model.onnx")
    return Given(module, folder / "model.onnx", data(folder, size))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Both runs, and whether they have a buffer."""

    run: Run
    trace: Trace
    replays: bool


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a run is, over how many classes, and with which rate and buffer."""

    tasks: int = 2
    epochs: int = 2
    batch: int = BATCH
    buffer: int = 5
    classes: int = CLASSES
    rate: float = RATE


def both(
    start: Given, folder: Path, reference_run: ReferenceRun = run, length: Length = Length(), **changed: object
) -> Outcome:
    """Make a run twice."""
    options = CompileOptions(**{**GIVEN, **changed})
    compile_model(start.file, folder / "model.sparcl", options)
    artifact = load(folder / "model.sparcl")
    config = RunConfig(
        data=f"npz:{start.data}",
        learning_rate=length.rate,
        tasks=length.tasks,
        epochs=length.epochs,
        batch_size=length.batch,
        buffer_size=length.buffer,
        seed=3,
        augment="crop_flip",
        threads=1,
    )
    compiled = Run(artifact, config, folder / "run")
    with Reporter(console(), length.tasks, length.epochs, quiet=True) as reporter:
        compiled.train(reporter)
    masked = tuple(layer.weight for layer in artifact.manifest.weights)
    assert set(masked) <= set(masked_weights(start.module) or start.module.state_dict())
    reference = Config(
        masked=masked,
        mean=tuple(compiled.engine.array("data.mean")),
        std=tuple(compiled.engine.array("data.std")),
        recipe=options.recipe,
        scheme=options.scheme,
        sparsity=options.sparsity,
        gradient_sparsity=options.gradient_sparsity,
        gradient_scheme=options.gradient_scheme,
        data_removal=options.data_removal,
        replay=options.method,
        logit_weight=options.logit_weight,
        label_weight=options.label_weight,
        replay_batches=options.replay_batches,
        loss_classes=options.loss_classes,
        augment=True,
        batch_size=length.batch,
        buffer_size=length.buffer,
        epochs=length.epochs,
        tasks=length.tasks,
        lr=length.rate,
        optimizer=options.optimizer,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        scaling=options.scaling == "density",
        rate_decay=options.rate_decay,
        step_limit=options.effective_step_limit,
        full_limit_steps=FULL_LIMIT_STEPS * artifact.manifest.limits_fall,
        seed=3,
        counts=_counts(options, start.module, masked),
    )
    tasks = [(task.x_train, task.y_train) for task in compiled.tasks]
    torch.set_num_threads(1)
    trace = reference_run(start.module, tasks, reference, length.classes)
    return Outcome(compiled, trace, bool(method_of(options).replay.batches))


def _counts(options: CompileOptions, module: torch.nn.Module, masked: Sequence[str]) -> tuple[LayerCounts, ...] | None:
    """The counts of ERK; None for the same share of every layer."""
    if options.distribution == "uniform":
        return None
    shapes = [tuple(module.get_parameter(name).shape) for name in masked]
    return erk_counts(shapes, options.sparsity, options.gradient_sparsity, options.recipe)


def by_policy(
    policy: str, start: Given, folder: Path, length: Length = Length(), **changed: object
) -> tuple[Outcome, policies.PolicyLearner]:
    """Make a run under a mask policy, by its name in the second implementation; also give the learner of that."""
    learners: list[policies.PolicyLearner] = []

    def reference(module: torch.nn.Module, tasks: Sequence[Task], config: Config, classes: int) -> Trace:
        learners.append(policies.learned(module, tasks, config, classes, policy))
        return learners[0].trace

    outcome = both(start, folder, reference, length, mask_policy=policy.partition(" ")[0], **changed)
    return outcome, learners[0]


def check_same(outcome: Outcome) -> None:
    """Steps, masks, removed samples and the buffer are the same exactly, weights but for rounding."""
    engine, trace = outcome.run.engine, outcome.trace
    assert outcome.run.trainer["step"] == trace.steps >= 10
    for name, mask in trace.masks.items():
        np.testing.assert_array_equal(engine.array(f"{name}.mask"), mask, err_msg=name)
    gradient_masks = trace.gradient_masks if engine.names("gradient_mask") else {}
    for name, mask in gradient_masks.items():
        np.testing.assert_array_equal(engine.array(f"{name}.gradient_mask"), mask, err_msg=name)
    for name in engine.names("parameter"):
        np.testing.assert_allclose(engine.array(name), trace.state[name], rtol=0, atol=2e-6, err_msg=name)
    np.testing.assert_array_equal(engine.array("sample_keep").astype(bool), trace.sample_keep[-1])
    if not outcome.replays:
        return
    filled = trace.buffer.filled
    assert min(engine.array("buffer.seen"), trace.buffer.size) == filled
    for name, wanted in (("labels", trace.buffer.labels), ("x", trace.buffer.x)):
        np.testing.assert_array_equal(engine.array(f"buffer.{name}")[:filled], wanted[:filled])
    np.testing.assert_allclose(engine.array("buffer.logits")[:filled], trace.buffer.logits[:filled], atol=LOGITS)
