"""The model of the executor against the bytes that ONNX Runtime asks its allocator for."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from benchmarks.contestants import Setting
from benchmarks.contestants import compiled as compiled_step
from models.export import export
from models.resnet import resnet18
from models.small import depthwise_cnn, mlp
from sparcl_compile.passes.analysis.liveness.buffers import plan
from sparcl_compile.runtime.session import kernel_library as kernels
from tests.passes.analysis.liveness.test_buffers import compiled, random_feeds, training_model
from tests.support.allocations import check_tools, most_bytes, most_bytes_of_a_step

DIGITS = Path(__file__).resolve().parents[4] / "models" / "digits_cnn.onnx"
DENSE = {"sparsity": 0.0, "gradient_sparsity": 0.0}
SMALL = 4096
"""Bytes of numbers, shapes and indices that a run may hold beside what is planned."""


def made(name: str, folder: Path, **options: Any) -> ir.Model:
    """A training graph: of the demo, of a larger network, or of one of the zoo."""
    torch.manual_seed(0)
    networks = {"resnet18": resnet18(width=20), "depthwise": depthwise_cnn(), "mlp": mlp(256, 10, 3072)}
    if name == "demo":
        model = compiled(DIGITS, folder, **options)
    elif name in networks:
        export(networks[name], (3, 32, 32), folder / f"{name}.onnx")
        model = compiled(folder / f"{name}.onnx", folder, **options)
    else:
        model = training_model(name, folder, **options)
    model.functions.clear()
    return model


PLANNED = 0.01
FUSED = 0.1
"""What a session fuses changes small graphs by so much."""
LAID_OUT_ANEW = 0.25
"""Convolutions with constant weights are computed in a layout of their own, and what they read and give is copied."""

CASES: list[tuple[str, int, dict[str, Any], float]] = [
    ("demo", 32, {}, PLANNED),
    ("demo", 1, DENSE, FUSED),
    ("resnet18", 32, DENSE, PLANNED),
    ("resnet18", 1, {**DENSE, "recompute": True}, PLANNED),
    ("resnet18", 32, {**DENSE, "update": "norm"}, LAID_OUT_ANEW),
    ("mlp", 32, {}, PLANNED),
    ("depthwise", 32, {**DENSE, "method": "finetune"}, PLANNED),
    ("token_transformer_symbolic", 32, {}, PLANNED),
    ("densenet_symbolic", 32, {}, FUSED),
]


@pytest.mark.parametrize(("name", "batch", "options", "bound"), CASES)
def test_a_training_step_asks_for_what_is_planned(
    name: str, batch: int, options: dict[str, Any], bound: float, tmp_path: Path
) -> None:
    check_tools()
    model = made(name, tmp_path, **options)
    feeds = random_feeds(model, batch)
    feeds["labels"] = np.arange(batch) % 5
    found = plan(model, batch)
    assert not found.unknown
    assert most_bytes(model, feeds, tmp_path) == pytest.approx(found.peak_bytes, rel=bound, abs=SMALL)


@pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())
@pytest.mark.parametrize(
    "changed",
    [{}, {"recompute": True}, {"recompute": True, "activations": "bf16"}],
    ids=["as compiled", "recomputed", "recomputed in half precision"],
)
def test_a_step_of_the_sparse_kernels_asks_for_what_is_planned(changed: dict[str, Any], tmp_path: Path) -> None:
    check_tools()
    setting = Setting("watched", compiled_step, "unstructured", 0.9, width=20, compress=True, **changed)
    asked = most_bytes_of_a_step(setting, 32, tmp_path)
    planned = plan(ir.load(tmp_path / "watched.sparcl/train/training_model.onnx"), 32).peak_bytes
    assert asked == pytest.approx(planned, rel=PLANNED, abs=SMALL)
