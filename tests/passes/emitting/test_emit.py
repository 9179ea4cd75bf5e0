from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from safetensors.numpy import load_file

from sparcl_compile.passes.core.contract import IR_VERSION, OPSET
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.differentiating.prune_backward import PruneBackward
from sparcl_compile.passes.emitting.emit import FILES, STATE_FILE, Emit, eval_model
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.small_model import forward_model
from tests.support.training_form import TARGETS, differentiated, training_feeds


@pytest.fixture(params=TARGETS)
def emitted(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, ir.Model, ir.Model]:
    _, model = differentiated(request.param)
    forward = forward_model()
    InsertWeightMasks(sparsity=0.5)(forward)
    for one in (AttachOptimizer(), PruneBackward()):
        one(model)
    text = ir.to_onnx_text(model, exclude_initializers=True)
    assert not Emit(folder=tmp_path, forward=forward)(model).modified
    assert ir.to_onnx_text(model, exclude_initializers=True) == text
    return tmp_path, forward, model


def test_every_graph_loads_in_onnx_runtime(emitted: tuple[Path, ir.Model, ir.Model]) -> None:
    folder, _, _ = emitted
    assert not (folder / FILES["measure"]).exists()
    for file in (FILES[name] for name in FILES if name != "measure"):
        proto = onnx.load(folder / file)
        assert proto.ir_version == IR_VERSION
        assert {o.domain: o.version for o in proto.opset_import}.get("") == OPSET
        assert not proto.functions
        ort.InferenceSession(folder / file)


def test_the_state_file_holds_masked_weights_masks_and_statistics(emitted: tuple[Path, ir.Model, ir.Model]) -> None:
    folder, forward, _ = emitted
    state = load_file(folder / STATE_FILE)
    assert set(state) == set(forward.graph.initializers)
    assert not state["conv.weight"][state["conv.weight.mask"] == 0].any()


def test_the_eval_graph_uses_running_statistics(emitted: tuple[Path, ir.Model, ir.Model]) -> None:
    folder, _, _ = emitted
    session = ort.InferenceSession(folder / FILES["eval"])
    state = load_file(folder / STATE_FILE)
    x = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32)
    names = [i.name for i in session.get_inputs()]
    assert {"x", "bn.mean", "bn.var", "conv.weight.mask"} <= set(names)

    def logits(**changed: np.ndarray) -> np.ndarray:
        return session.run(["logits"], {n: {**state, "x": x, **changed}[n] for n in names})[0]

    assert not np.allclose(logits(), logits(**{"bn.mean": state["bn.mean"] + 1}))
    alone = session.run(["logits"], {n: {**state, "x": x[:1]}[n] for n in names})[0]
    np.testing.assert_allclose(alone, logits()[:1], rtol=1e-5)


def test_the_forward_model_is_left_as_it_was() -> None:
    forward = forward_model()
    text = ir.to_onnx_text(forward, exclude_initializers=True)
    eval_model(forward)
    assert ir.to_onnx_text(forward, exclude_initializers=True) == text
    assert all(value.const_value is not None for value in forward.graph.initializers.values())


def test_running_statistics_advance_in_training(emitted: tuple[Path, ir.Model, ir.Model]) -> None:
    folder, forward, model = emitted
    session = ort.InferenceSession(folder / FILES["train"])
    feeds = training_feeds(model, forward)
    mean, var = session.run(["bn.mean.next", "bn.var.next"], feeds)
    weight = feeds["conv.weight"]
    padded = np.pad(feeds["x"], ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded[:, 0], (3, 3), axis=(1, 2))
    c = np.einsum("nhwij,oij->nohw", windows, weight[:, 0])
    np.testing.assert_allclose(mean, 0.9 * feeds["bn.mean"] + 0.1 * c.mean((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(var, 0.9 * feeds["bn.var"] + 0.1 * c.var((0, 2, 3)), rtol=1e-4)
