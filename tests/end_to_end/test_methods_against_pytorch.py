"""Methods that are more than batches from a buffer, against the second implementation in PyTorch."""

from pathlib import Path

import pytest

from tests.reference import methods
from tests.support import twins
from tests.support.twins import CLASSES, CONSTANT_RATE, Given, both, check_same, plain

DENSE = {"sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    return twins.given(tmp_path_factory.mktemp("given"), plain(CLASSES), 8)


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
def test_a_run_equals_pytorch(method: str, changed: dict[str, object], given: Given, tmp_path: Path) -> None:
    options = {"target": "ort", "method": method, "dense": ("0.*",), **changed}
    check_same(both(given, tmp_path, methods.run, **options))


@pytest.mark.parametrize("changed", [DENSE, {"data_removal": 0.0}, {"target": "ort-training", **DENSE}], ids=str)
def test_a_joint_run_equals_pytorch(changed: dict[str, object], given: Given, tmp_path: Path) -> None:
    options = {"target": "ort", "method": "joint", "dense": ("0.*",), **changed}
    check_same(both(given, tmp_path, methods.run_jointly, **options))
