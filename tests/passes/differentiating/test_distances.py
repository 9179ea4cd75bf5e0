"""The distances from a target against PyTorch: values, and gradients of our own rules."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch.nn import functional as F

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import Role, accumulator_name
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import constant
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.differentiate import Differentiate
from sparcl_compile.passes.differentiating.distances import DISTANCES
from tests.support.small_model import changed_lines, forward_model, run_twice

SAMPLES, CLASSES = 6, 4
MODEL = """<ir_version: 10, opset_import: ["" : 18]>
f (float[N,4] x) => (float[N,4] logits) { logits = MatMul (x, x) }"""
OUT = -1e9


def logits_distance(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((logits - target) ** 2).mean(1)


def outputs_distance(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(logits.softmax(1) - target.softmax(1), dim=1)


def softened_distance(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Learning without Forgetting's equations 2 and 3, over the classes that are not left out, in powers."""
    found = []
    for row, stored in zip(logits, target, strict=True):
        taking_part = stored > OUT / 2
        if not taking_part.any():
            found.append(row.sum() * 0)
            continue
        old, new = (values[taking_part].softmax(0) ** 0.5 for values in (stored, row))
        found.append(-((old / old.sum()) * (new / new.sum()).log()).sum())
    return torch.stack(found)


def sigmoid_distance(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    each = F.binary_cross_entropy_with_logits(logits, target.clamp(min=0), reduction="none")
    return torch.where(target < 0, 0, each).sum(1)


Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
WANTED: Mapping[str, Distance] = {
    "logits": logits_distance,
    "outputs": outputs_distance,
    "softened": softened_distance,
    "sigmoid": sigmoid_distance,
}


def targets(name: str, rng: np.random.Generator) -> np.ndarray:
    drawn = rng.normal(0, 2, size=(SAMPLES, CLASSES)).astype(np.float32)
    if name == "softened":
        drawn[:, 2:] = OUT
        drawn[1] = [0.5, OUT, 0.1, OUT]
    if name == "sigmoid":
        drawn = 1 / (1 + np.exp(-drawn))
        drawn[:, 3] = -1.0
        drawn[2] = [1.0, 0.0, -1.0, 0.0]
    return drawn


def differentiated(name: str) -> ir.Model:
    model = ir.from_onnx_text(MODEL)
    weight = constant(model.graph, "w", np.zeros((4, 4), np.float32))
    set_role(weight, Role.PARAMETER)
    model.graph[0].replace_input_with(1, weight)
    AttachLoss(name)(model)
    Differentiate()(model)
    return model


def run(model: ir.Model, feeds: Mapping[str, np.ndarray]) -> tuple[float, np.ndarray]:
    zeros = {accumulator_name("w"): np.zeros((4, 4), np.float32), "lazy_reset_grad": np.array([True])}
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["loss", f"{accumulator_name('w')}.next"], {**feeds, **zeros})
    return float(found[0]), found[1]


def feeds(name: str, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "x": rng.normal(size=(SAMPLES, 4)).astype(np.float32),
        "w": (scale * rng.normal(size=(4, 4))).astype(np.float32),
        "labels": np.arange(SAMPLES) % CLASSES,
        "class_mask": np.zeros((SAMPLES, CLASSES), np.float32),
        "ce_weight": np.full(SAMPLES, 0.25, np.float32),
        "distill_target": targets(name, rng).astype(np.float32),
        "distill_weight": rng.uniform(0, 1, SAMPLES).astype(np.float32),
    }


@pytest.mark.parametrize("scale", [1.0, 20.0])
@pytest.mark.parametrize("name", DISTANCES)
def test_loss_and_gradient_equal_pytorch(name: str, scale: float) -> None:
    """Also where logits are so large that a sigmoid or a softmax has no small probabilities any more."""
    given = feeds(name, scale)
    loss, gradient = run(differentiated(name), given)
    w = torch.tensor(given["w"], dtype=torch.float64, requires_grad=True)
    x, weight = (torch.tensor(given[one], dtype=torch.float64) for one in ("x", "distill_weight"))
    logits = x @ w
    each = WANTED[name](logits, torch.tensor(given["distill_target"], dtype=torch.float64))
    wanted = (each * weight).sum() + 0.25 * F.cross_entropy(logits, torch.tensor(given["labels"]), reduction="sum")
    wanted.backward()
    assert w.grad is not None
    np.testing.assert_allclose(loss, wanted.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, w.grad.numpy(), rtol=1e-4, atol=2e-5 * scale)


def test_the_norm_has_a_gradient_of_nothing_at_its_target() -> None:
    """As PyTorch has it: at the beginning nothing differs, and a root's slope at 0 is no number."""
    given = feeds("outputs")
    given["ce_weight"][...] = 0
    given["distill_target"] = given["x"] @ given["w"]
    loss, gradient = run(differentiated("outputs"), given)
    assert 0 <= loss < 1e-5
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() < 1


def test_no_class_at_all_takes_part() -> None:
    """The first task: nothing is old. The weight is 0 then; the number must be finite all the same."""
    given = feeds("softened")
    given["distill_target"][...] = OUT
    given["distill_weight"][...] = 0
    assert all(np.isfinite(one).all() for one in run(differentiated("softened"), given))


@pytest.mark.parametrize("name", DISTANCES)
def test_the_loss_is_appended_once(name: str) -> None:
    model = forward_model()
    before = run_twice(AttachLoss(name), model)
    assert all(line.startswith("+") for line in changed_lines(before, model))


def test_an_unknown_distance_is_refused() -> None:
    with pytest.raises(FieldError, match=r"`distance` far: give one of logits, outputs, softened, sigmoid"):
        AttachLoss("far")(forward_model())
