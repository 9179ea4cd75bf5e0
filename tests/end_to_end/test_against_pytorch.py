"""The compiled artifact against the independent PyTorch implementation in tests/reference, step by step."""

from pathlib import Path

import pytest
import torch

from models.resnet import resnet18
from sparcl_compile.interface.names import LONG_STEPS
from tests.support import twins
from tests.support.twins import CLASSES, CONSTANT_RATE, Given, both, check_same


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    torch.manual_seed(0)
    return twins.given(tmp_path_factory.mktemp("given"), resnet18(width=8, classes=CLASSES, blocks=(1, 1, 1, 1)), 16)


def test_training_equals_pytorch(given: Given, tmp_path: Path) -> None:
    check_same(both(given, tmp_path))


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "er", "loss_classes": "task"},
        {"method": "er", "label_weight": 0.5},
        {"loss_classes": "all", **CONSTANT_RATE},
        {"method": "er-ace"},
        {"method": "der"},
        {"gradient_scheme": "channel", **CONSTANT_RATE},
        {"gradient_sparsity": 0.75},
        {"distribution": "erk", "gradient_sparsity": 0.9, **CONSTANT_RATE},
        {"step_limit": 2e-5},
        {"step_limit": 2e-5, "method": "finetune"},
        {"method": "finetune", "data_removal": 0.0, "gradient_sparsity": 0.0, "step_limit": 0.0},
    ],
    ids=lambda changed: "-".join(map(str, changed.values())),
)
def test_other_settings_equal_pytorch(changed: dict[str, object], given: Given, tmp_path: Path) -> None:
    check_same(both(given, tmp_path, **changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"recipe": "reference-code"},
        {"replay_batches": "merged", **CONSTANT_RATE},
        {"replay_batches": "merged", "logit_weight": 0.1, "label_weight": 0.5},
    ],
    ids=lambda changed: "-".join(map(str, changed.values())),
)
def test_settings_under_a_smooth_function_equal_pytorch(
    changed: dict[str, object], given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As for the schemes below: with ReLU all steps agree to 1e-7 until an activation is within rounding of 0.
    monkeypatch.setattr("models.resnet.relu", torch.tanh)
    check_same(both(twins.given(tmp_path, given.module, 16), tmp_path, **changed))


@pytest.mark.parametrize("changed", [{}, {"replay_batches": "merged"}, {"momentum": 0.9}], ids=str)
def test_steps_whose_limits_fall_equal_pytorch(changed: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    hidden = [torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 16, 3, padding=1)]
    pooled = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, CLASSES)]
    module = torch.nn.Sequential(hidden[0], torch.nn.Tanh(), hidden[1], torch.nn.Tanh(), *pooled)
    with torch.no_grad():  # so that samples differ enough at the classes for the compiler to leave the weights
        module[-1].weight.mul_(8)
    settings = {"step_limit": 2e-4, "dense": ("0.weight",), "data_removal": 0.0, **changed}
    outcome = both(twins.given(tmp_path, module, 8), tmp_path, length=twins.Length(epochs=8), **settings)
    counts = [name for name in outcome.run.engine.names("optimizer") if name.endswith(LONG_STEPS)]
    assert max(float(outcome.run.engine.array(name).max()) for name in counts) > 20
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
    smooth = twins.given(tmp_path, resnet18(width=8, classes=CLASSES, blocks=(1, 1)), 8)
    outcome = both(smooth, tmp_path, scheme=scheme, sparsity=sparsity, recipe=recipe, **CONSTANT_RATE)
    check_same(outcome)
    first, last = outcome.trace.mask_updates[0].masks, outcome.trace.mask_updates[-1].masks
    assert any((first[name] != last[name]).any() for name in first)
