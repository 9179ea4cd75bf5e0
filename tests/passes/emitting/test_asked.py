"""The graphs that some methods ask for: features, scores of single samples, the network of an earlier task."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.analysis.features import feature_count, features_of, head_parameters, packed_weights
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.emitting.emit import ASKED, FILES, Emit, initial_state
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.passes.differentiating.test_insert_gradient_masks import differentiated
from tests.support.small_model import forward_model

Arrays = Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ir.Model]:
    folder, forward = tmp_path_factory.mktemp("emitted"), forward_model()
    emit(folder, forward)
    return folder, forward


def emit(folder: Path, forward: ir.Model) -> None:
    _, model = differentiated()
    AttachOptimizer()(model)
    Emit(folder=folder, forward=forward, features=True, score=True, packed=True)(model)


def run(path: Path, feeds: Arrays) -> dict[str, np.ndarray]:
    """The results of a graph; masked weights and the like are fed as far as it has them."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    given = {value.name: feeds[value.name] for value in session.get_inputs()}
    return dict(zip(names, session.run(names, given), strict=True))


def samples(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 1, 4, 4)).astype(np.float32)


def test_features_are_what_the_last_layer_reads(emitted: tuple[Path, ir.Model]) -> None:
    folder, forward = emitted
    feeds = {**initial_state(forward), "x": samples(3)}
    found, wanted = run(folder / ASKED["features"], feeds), run(folder / FILES["eval"], feeds)
    assert found["features"].shape == (3, feature_count(forward.graph)) == (3, 32)
    np.testing.assert_array_equal(found["logits"], wanted["logits"])
    again = found["features"] @ feeds["head.weight"] + feeds["head.bias"]
    np.testing.assert_allclose(again, wanted["logits"], rtol=1e-5, atol=1e-6)


def test_scores_are_squared_gradients_with_running_statistics(emitted: tuple[Path, ir.Model]) -> None:
    """Two samples one after the other, against PyTorch's autograd of the network as it evaluates."""
    check_scores(*emitted, EPSILON)


def test_scores_know_the_epsilon_of_a_normalisation(tmp_path: Path) -> None:
    forward = forward_model()
    normalisation = next(node for node in forward.graph if node.op_type == "BatchNormalization")
    normalisation.attributes["epsilon"] = ir.AttrFloat32("epsilon", 0.5)
    emit(tmp_path, forward)
    check_scores(tmp_path, forward, 0.5)


def check_scores(folder: Path, forward: ir.Model, epsilon: float) -> None:
    state, x, labels = initial_state(forward), samples(2), np.array([2, 0])
    squares = {f"{name}.squares": np.zeros_like(value) for name, value in state.items() if name not in RUNNING}
    for number in range(2):
        one: Arrays = {
            **{"x": x[number : number + 1], "labels": labels[number : number + 1]},
            **{"class_mask": np.zeros((1, 3), np.float32), "ce_weight": np.ones(1, np.float32)},
            **{"distill_target": np.zeros((1, 3), np.float32), "distill_weight": np.zeros(1, np.float32)},
        }
        found = run(folder / ASKED["score"], {**state, **squares, **one})
        squares = {name: found[f"{name}.next"] for name in squares}
    wanted = {name: np.zeros(value.shape) for name, value in state.items() if name not in RUNNING}
    for number in range(2):
        for name, gradient in gradients(state, x[number], int(labels[number]), epsilon).items():
            wanted[name] += gradient**2
    for name, value in wanted.items():
        np.testing.assert_allclose(squares[f"{name}.squares"], value, rtol=1e-4, atol=1e-6, err_msg=name)


RUNNING = ("bn.mean", "bn.var")
EPSILON = 1e-5
"""ONNX's default, which the model has."""


def gradients(state: Arrays, x: np.ndarray, label: int, epsilon: float) -> dict[str, np.ndarray]:
    """Those of the log-likelihood of one sample."""
    p = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in state.items()}
    c = torch.nn.functional.conv2d(torch.tensor(x[None], dtype=torch.float64), p["conv.weight"], padding=1)
    mean, var = p["bn.mean"].detach(), p["bn.var"].detach()
    b = torch.nn.functional.batch_norm(c, mean, var, p["bn.scale"], p["bn.bias"], eps=epsilon)
    logits = torch.relu(b).flatten(1) @ p["head.weight"] + p["head.bias"]
    logits.log_softmax(1)[0, label].backward()  # type: ignore[no-untyped-call]
    return {name: value.grad.numpy() for name, value in p.items() if value.grad is not None}


@pytest.mark.parametrize("of", [0, 1])
def test_an_earlier_task_has_its_own_weights_and_statistics(of: int, emitted: tuple[Path, ir.Model]) -> None:
    folder, forward = emitted
    state, x = initial_state(forward), samples(3)
    owner = (np.arange(18).reshape(2, 1, 3, 3) % 4 - 1).astype(np.float32)  # -1 pruned, 0 free, 1 and 2 of tasks
    rows = {name: np.stack([state[name], state[name] + 1]) for name in RUNNING}
    kept = {f"{name}.of_tasks": value for name, value in rows.items()}
    found = run(folder / ASKED["eval_of"], {**state, **kept, "conv.weight.owner": owner, "x": x, "of": np.array(of)})
    theirs = {"conv.weight": np.where((owner >= 1) & (owner <= of + 1), state["conv.weight"], 0).astype(np.float32)}
    theirs |= {name: value[of] for name, value in rows.items()}
    wanted = run(folder / FILES["eval"], {**state, **theirs, "x": x})
    np.testing.assert_allclose(found["logits"], wanted["logits"], rtol=1e-6)


def test_parameters_by_what_a_task_may_do_with_them() -> None:
    """The last layer's are those of all tasks, also behind its mask; the other layers' weights are shared out."""
    plain, masked = forward_model(), forward_model(dense=())
    InsertWeightMasks(sparsity=0.5)(masked)
    for model in (plain, masked):
        assert head_parameters(model.graph) == {"head.weight", "head.bias"}
        assert features_of(model.graph).name == "f"
    assert packed_weights(plain) == ("conv.weight",)


def test_a_model_without_features_is_refused() -> None:
    model = ir.from_onnx_text(
        """<ir_version: 10, opset_import: ["" : 18]> f (float[N,3] x) => (float[N,3] logits) { logits = Relu (x) }"""
    )
    with pytest.raises(ModelError, match="no vector of fixed length in front of its last layer"):
        features_of(model.graph)
