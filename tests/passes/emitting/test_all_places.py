"""The graph that measures the gradients of all weights of compressed layers: those that masked layers measure."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from sparcl_compile.interface.specs import WeightSpec
from sparcl_compile.passes.emitting.all_places import measure_all_places
from sparcl_compile.passes.emitting.emit import Emit
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import BATCH, Form, batches, write_small
from tests.support.numbers import check_same
from tests.support.training_form import differentiated

needs_kernels = pytest.mark.skipif(
    kernels.library() is None, reason=f"the sparse kernels were not built: {kernels.reason()}"
)
RIGL = {"mask_policy": "rigl", "sparsity": 0.75}
FORMS: list[Any] = [
    ("pooled", {}),
    ("pooled", {"gradient_sparsity": 0.9}),
    ("resnet", {"batch_size": BATCH, "sparsity": 0.7, "distribution": "erk", "select_kernels": True}),
    ("resnet", {"scheme": "kernel"}),
    ("transformer", {"method": "finetune", "scheme": "block4x1"}),
    ("mlp", {"growth": "momentum", "gradient_sparsity": 0.0}),
    ("mlp", {"mask_policy": "tdm", "growth": "gradient"}),
    pytest.param("pooled", {"target": "ort-training"}, marks=pytest.mark.training_build),
]


def in_order_of_places(layer: WeightSpec, full: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(full.T if layer.stored == "transposed" else full).reshape(-1)


@needs_kernels
@pytest.mark.parametrize(("model", "options"), FORMS, ids=str)
def test_they_are_the_gradients_that_masked_layers_measure(model: str, options: dict[str, Any], tmp_path: Path) -> None:
    sample = write_small(model, tmp_path / "model.onnx", seed=1)
    chosen = {**RIGL, "select_kernels": False, **options}
    masked, compressed = (
        Form(tmp_path / "model.onnx", tmp_path / f"{name}.sparcl", CompileOptions(**chosen, compress=name == "yes"))
        for name in ("no", "yes")
    )
    forms = {one.stored != "masked" for one in compressed.manifest.weights}
    assert forms == ({False, True} if chosen["select_kernels"] else {True})
    # The second time momentum keeps a share of what the first one has left, and all others begin anew.
    for number in range(2):
        current, replay = batches(number, sample)
        for form in (masked, compressed):
            form.measure(current, replay)
        for layer, other in zip(compressed.manifest.weights, masked.manifest.weights, strict=True):
            for name in (name for name in (layer.g1, layer.g2) if name in compressed.engine.state):
                wanted, found = (form.engine.array(name) for form in (masked, compressed))
                check_same(found, in_order_of_places(layer, wanted) if layer.index else wanted, name)
            pruned = masked.engine.array(str(other.mask)) == 0
            assert masked.engine.array(layer.g1)[pruned].any() or layer.base == layer.size


@needs_kernels
def test_what_trains_has_room_for_the_kept_weights_alone(tmp_path: Path) -> None:
    write_small("pooled", tmp_path / "model.onnx", seed=1)
    form = Form(
        tmp_path / "model.onnx", tmp_path / "a.sparcl", CompileOptions(**RIGL, compress=True, select_kernels=False)
    )
    shapes = {one.name: one.shape for one in form.manifest.state}
    for layer in form.manifest.weights:
        assert shapes[layer.weight] == shapes[layer.accumulator] == (layer.base,)
        assert shapes[layer.g1] == (layer.size,)


@needs_kernels
def test_no_file_and_no_session_holds_an_index_of_all_places(tmp_path: Path) -> None:
    write_small("resnet", tmp_path / "model.onnx", seed=1)
    form = Form(
        tmp_path / "model.onnx", tmp_path / "a.sparcl", CompileOptions(**RIGL, compress=True, select_kernels=False)
    )
    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimized.onnx"), 3
    options.register_custom_ops_library(str(kernels.library()))
    path = tmp_path / "a.sparcl" / str(form.manifest.graphs["measure"].file)
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    least = min(layer.size for layer in form.manifest.weights)
    for file in (path, tmp_path / "optimized.onnx"):
        constants = onnx.load(file).graph.initializer
        assert max(math.prod(constant.dims) for constant in constants) < least


def test_layers_under_a_mask_are_left_alone() -> None:
    forward, model = differentiated()
    before = model.clone()
    measure_all_places(Emit(Path(), forward), model)
    assert [str(node) for node in model.graph] == [str(node) for node in before.graph]
    assert [str(value.shape) for value in model.graph.inputs] == [str(value.shape) for value in before.graph.inputs]
