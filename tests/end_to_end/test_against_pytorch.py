"""The compiled artifact against the independent PyTorch implementation in tests/reference, step by step."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import export
from models.resnet import masked_weights, resnet18
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.settings.methods import method_of
from sparcl_compile.settings.options import CompileOptions
from tests.reference.config import Config
from tests.reference.train import Task, Trace, run

ReferenceRun = Callable[[torch.nn.Module, Sequence[Task], Config, int], Trace]

SAMPLES = 16
BATCH = 8
LOGITS = 1e-3
"""Of logits that are far from rounding, in a network with normalisations of small batches."""
RATE = 0.001
"""So low that no rounding error reaches a kink of ReLU or MaxPool; what differs then differs in the method."""
CONSTANT_RATE = {"rate_decay": 0.0}
"""Where a falling rate, the default, brings the importances of two gradients within rounding of each other (seen under
2:4: 0.01074165 twice, of which either may be chosen): a tie tells no method from another.
"""
CLASSES = 4
"""Two tasks of two classes, ``SAMPLES`` a class. In smaller batches the last stage's BatchNorm is so badly
conditioned that rounding grows tenfold a step, in PyTorch against itself as well."""


def colours(seed: int, count: int, size: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), count)
    base = rng.integers(0, 100, size=(CLASSES, 3, 1, 1))
    x = base[y] + rng.integers(0, 156, size=(len(y), 3, size, size))
    return x.astype(np.uint8), y


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


@pytest.fixture(scope="module")
def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return resnet18(width=8, classes=CLASSES, blocks=(1, 1, 1, 1))


@pytest.fixture(scope="module")
def model_file(module: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "resnet.onnx"
    export(module, (3, 16, 16), path)
    return path


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), 16)


def write(folder: Path, size: int) -> Path:
    path = folder / "colours.npz"
    x_train, y_train = colours(1, SAMPLES, size)
    x_test, y_test = colours(2, 2, size)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@dataclasses.dataclass(frozen=True)
class Outcome:
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
    module: torch.nn.Module,
    model: Path,
    data: Path,
    folder: Path,
    reference_run: ReferenceRun = run,
    length: Length = Length(),
    **changed: object,
) -> Outcome:
    """The same run twice: compiled on ONNX Runtime, and in PyTorch."""
    options = CompileOptions(
        **{"sparsity": 0.75, "gradient_sparsity": 0.8, "data_removal": 0.3, "dense": ("conv1*",), **changed}
    )
    compile_model(model, folder / "model.sparcl", options)
    artifact = load(folder / "model.sparcl")
    config = RunConfig(
        data=f"npz:{data}",
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
    assert set(masked) <= set(masked_weights(module) or module.state_dict())
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
        full_limit_steps=artifact.manifest.optimizer.full_limit_steps,
        seed=3,
    )
    tasks = [(task.x_train, task.y_train) for task in compiled.tasks]
    torch.set_num_threads(1)
    return Outcome(compiled, reference_run(module, tasks, reference, length.classes), bool(method_of(options).replay))


def check_same(outcome: Outcome) -> None:
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


@pytest.mark.parametrize("recipe", ["paper", "reference-code"])
def test_training_equals_pytorch(
    recipe: str, module: torch.nn.Module, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    check_same(both(module, model_file, data_file, tmp_path, recipe=recipe))


@pytest.mark.parametrize(
    "changed",
    [
        {"replay_batches": "merged", **CONSTANT_RATE},
        {"replay_batches": "merged", "logit_weight": 0.1, "label_weight": 0.5},
        {"method": "er", "loss_classes": "task"},
        {"method": "er-ace"},
        {"method": "der"},
        {"gradient_scheme": "channel", **CONSTANT_RATE},
        {"gradient_sparsity": 0.75},
        {"step_limit": 2e-5},
        {"step_limit": 2e-5, "method": "finetune"},
        {"method": "finetune", "data_removal": 0.0, "gradient_sparsity": 0.0},
    ],
    ids=lambda changed: "-".join(map(str, changed.values())),
)
def test_other_settings_equal_pytorch(
    changed: dict[str, object], module: torch.nn.Module, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    check_same(both(module, model_file, data_file, tmp_path, **changed))


@pytest.mark.parametrize("changed", [{}, {"replay_batches": "merged"}, {"momentum": 0.9}], ids=str)
def test_steps_whose_limits_fall_equal_pytorch(changed: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    hidden = [
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.Tanh(),
        torch.nn.Conv2d(8, 16, 3, padding=1),
        torch.nn.Tanh(),
    ]
    module = torch.nn.Sequential(
        *hidden, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, CLASSES)
    )
    export(module, (3, 8, 8), tmp_path / "plain.onnx")
    length = Length(epochs=8)
    settings = {"step_limit": 2e-4, "dense": ("0.weight",), "data_removal": 0.0, **changed}
    outcome = both(module, tmp_path / "plain.onnx", write(tmp_path, 8), tmp_path, length=length, **settings)
    assert outcome.run.trainer["task_step"] > 20
    check_same(outcome)


@pytest.mark.parametrize(
    ("scheme", "sparsity"), [("block4x1", 0.75), ("kernel", 0.75), ("pattern", 0.75), ("2:4", 0.5), ("1:4", 0.75)]
)
@pytest.mark.parametrize("recipe", ["paper", "reference-code"])
def test_schemes_equal_pytorch(
    scheme: str, sparsity: float, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An activation within rounding of 0 is one that ReLU may pass here and stop there (seen under 2:4 and ONNX Runtime
    # 1.19: one of 5e-7 beside a median of 0.9). What is compared here are masks: a smooth function serves as well.
    monkeypatch.setattr("models.resnet.relu", torch.tanh)
    torch.manual_seed(0)
    module = resnet18(width=8, classes=CLASSES, blocks=(1, 1))
    export(module, (3, 8, 8), tmp_path / "resnet.onnx")
    settings = {"scheme": scheme, "sparsity": sparsity, "recipe": recipe, **CONSTANT_RATE}
    outcome = both(module, tmp_path / "resnet.onnx", write(tmp_path, 8), tmp_path, **settings)
    check_same(outcome)
    first, last = outcome.trace.mask_updates[0].masks, outcome.trace.mask_updates[-1].masks
    assert any((first[name] != last[name]).any() for name in first)
