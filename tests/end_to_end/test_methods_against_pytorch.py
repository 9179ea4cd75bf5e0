"""Methods that are more than batches from a buffer, against the second implementation in PyTorch."""

from pathlib import Path

import pytest
import torch

from models.export import export
from tests.end_to_end.test_against_pytorch import CLASSES, CONSTANT_RATE, both, check_same, plain, write
from tests.reference import methods

DENSE = {"sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0}


@pytest.fixture(scope="module")
def module() -> torch.nn.Module:
    return plain(CLASSES)


@pytest.fixture(scope="module")
def model_file(module: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "plain.onnx"
    export(module, (3, 8, 8), path)
    return path


@pytest.fixture(scope="module")
def data_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), 8)


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        ("lwf", DENSE),
        ("lwf", {"target": "ort-training", **CONSTANT_RATE}),
        ("ewc", DENSE),
        ("ewc", {"gradient_sparsity": 0.9}),
        ("ewc", {"target": "ort-training", **DENSE}),
        ("a-gem", DENSE),
        ("a-gem", {"gradient_sparsity": 0.0}),
        ("a-gem", {"target": "ort-training", **DENSE}),
        ("icarl", DENSE),
        ("icarl", {"replay_batches": "merged", "gradient_sparsity": 0.0}),
        ("icarl", {"target": "ort-training", **DENSE}),
        ("icarl", {"logit_weight": 3.0, **DENSE}),
        ("fdr", {"logit_weight": 1.0, **DENSE}),
        ("fdr", DENSE),
        ("fdr", {"target": "ort-training", "replay_batches": "merged"}),
    ],
)
def test_a_run_equals_pytorch(
    method: str, changed: dict[str, object], module: torch.nn.Module, model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    options = {"target": "ort", "method": method, "dense": ("0.*",), **changed}
    check_same(both(module, model_file, data_file, tmp_path, methods.run, **options))
