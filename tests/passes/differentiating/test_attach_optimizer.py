import math

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from onnx_ir.passes.common import ShapeInferencePass

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import Role, accumulator_name
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer, optimizer_states
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.emitting.emit import optimizer_model
from tests.support.small_model import forward_model
from tests.support.training_form import differentiated

WEIGHT = "conv.weight"
STEPS = 4


def run_steps(attach: AttachOptimizer, gradient_mask: np.ndarray | None = None) -> tuple[np.ndarray, list[np.ndarray]]:
    """Apply the optimizer graph to one weight with known gradients; returns the weight and the gradients used."""
    _, model = differentiated()
    if gradient_mask is not None:
        InsertGradientMasks()(model)
    attach(model)
    graph = optimizer_model(AttachOptimizer(), model)
    session = ort.InferenceSession(ir.to_proto(graph).SerializeToString())
    rng = np.random.default_rng(3)
    state = {
        str(v.name): np.zeros([int(d) for d in v.shape or () if isinstance(d, int)], np.float32)
        for v in graph.graph.inputs
    }
    state[WEIGHT] = start()
    if gradient_mask is not None:
        state[f"{WEIGHT}.gradient_mask"] = gradient_mask
    used = []
    for count in range(1, STEPS + 1):
        gradient = rng.normal(size=state[WEIGHT].shape).astype(np.float32)
        used.append(gradient if gradient_mask is None else gradient * gradient_mask)
        state |= {
            "learning_rate": np.array(0.05, np.float32),
            "count": np.array(count, np.float32),
            accumulator_name(WEIGHT): used[-1],
        }
        names = [str(v.name) for v in graph.graph.outputs]
        results = session.run(names, state)
        state |= {name.removesuffix(".next"): value for name, value in zip(names, results, strict=True)}
    return state[WEIGHT], used


def start() -> np.ndarray:
    return np.linspace(-1, 1, 18, dtype=np.float32).reshape(2, 1, 3, 3)


@pytest.mark.parametrize(
    ("attach", "optimizer"),
    [
        (AttachOptimizer(), lambda p: torch.optim.SGD(p, 0.05)),
        (
            AttachOptimizer(momentum=0.9, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01),
        ),
        (AttachOptimizer("adamw", weight_decay=0.01), lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.01)),
    ],
    ids=["sgd", "sgd_momentum", "adamw"],
)
def test_the_step_equals_pytorch(attach: AttachOptimizer, optimizer) -> None:
    found, gradients = run_steps(attach)
    weight = torch.nn.Parameter(torch.tensor(start()))
    reference = optimizer([weight])
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        reference.step()
    np.testing.assert_allclose(found, weight.detach().numpy(), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("attach", [AttachOptimizer(), AttachOptimizer(momentum=0.9), AttachOptimizer("adamw")])
def test_no_scalar_meets_a_weight(attach: AttachOptimizer) -> None:
    # ONNX Runtime would walk over a weight of a 1x1 convolution element by element.
    _, model = differentiated()
    attach(model)
    steps = optimizer_model(AttachOptimizer(), model)
    ShapeInferencePass()(steps)
    elementwise = [node for node in steps.graph if node.op_type in ("Add", "Sub", "Mul", "Div")]
    pairs = [[dims(value) for value in node.inputs if value] for node in elementwise]
    wide = [(len(a), len(b)) for a, b in pairs if max(math.prod(a), math.prod(b)) > 1]
    assert {a for a, _ in wide} == {1, 2, 4}
    assert all(a == b for a, b in wide)


@pytest.mark.parametrize("attach", [AttachOptimizer(momentum=0.9), AttachOptimizer("adamw", weight_decay=0.1)])
def test_only_unmasked_weights_move(attach: AttachOptimizer) -> None:
    mask = (np.arange(18) % 3 == 0).astype(np.float32).reshape(2, 1, 3, 3)
    found, _ = run_steps(attach, mask)
    np.testing.assert_array_equal(found[mask == 0], start()[mask == 0])
    assert (found[mask == 1] != start()[mask == 1]).all()


def test_every_parameter_has_its_step_and_state() -> None:
    _, model = differentiated()
    AttachOptimizer("adamw")(model)
    graph = optimizer_model(AttachOptimizer(), model).graph
    inputs = {str(v.name) for v in graph.inputs}
    for weight in ("conv.weight", "bn.scale", "head.bias"):
        assert {weight, accumulator_name(weight), *optimizer_states("adamw", weight)} <= inputs
    assert "bn.mean" not in inputs
    assert all(node.domain == "" for node in graph)
    assert str(Role.OPTIMIZER) in {v.metadata_props.get("sparcl.role") for v in graph.inputs}


def test_a_second_run_does_nothing() -> None:
    model = forward_model()
    assert AttachOptimizer()(model).modified
    assert not AttachOptimizer()(model).modified


@pytest.mark.parametrize(
    ("attach", "field"),
    [
        (AttachOptimizer(optimizer="lion"), "`optimizer` lion"),
        (AttachOptimizer(momentum=1.0), "`momentum`"),
        (AttachOptimizer(weight_decay=-1.0), "`weight_decay`"),
    ],
)
def test_values_out_of_range_are_refused(attach: AttachOptimizer, field: str) -> None:
    with pytest.raises(FieldError, match=f"^attach_optimizer: {field}"):
        attach(forward_model())
