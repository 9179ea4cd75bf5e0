import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from tests.support.small_model import changed_lines, forward_model, run_twice

NOTHING = (
    """<ir_version: 10, opset_import: ["" : 18]> f (float[N,3] x) => (float[N,3] logits) { logits = Identity (x) }"""
)


def test_the_loss_is_appended() -> None:
    model = forward_model()
    before = run_twice(AttachLoss(), model)
    added = changed_lines(before, model)
    assert all(line.startswith("+") for line in added)
    assert [line.split(" = ")[1].split()[0] for line in added] == [
        *("Add", "LogSoftmax", "OneHot", "Mul", "ReduceSum", "Neg", "Mul", "ReduceSum"),
        *("Sub", "Mul", "ReduceMean", "Mul", "ReduceSum", "Add"),
    ]
    assert [value.name for value in model.graph.outputs] == ["loss", "logits", "bn.mean.next", "bn.var.next"]
    assert {node.metadata_props.get(PASS_KEY) for node in model.graph} == {None, "attach_loss"}


@pytest.mark.parametrize("distill", [False, True])
def test_the_loss_equals_pytorch(distill: bool) -> None:
    model = ir.from_onnx_text(NOTHING)
    AttachLoss().call(model)
    rng = np.random.default_rng(1)
    feeds = {
        "x": rng.normal(size=(5, 3)).astype(np.float32),
        "labels": np.array([0, 1, 2, 1, 0]),
        "class_mask": np.where(np.array([[0, 0, 1]] * 5), -1e9, 0).astype(np.float32),
        "ce_weight": np.array([0.2, 0.2, 0.0, 0.2, 0.4], np.float32),
        "distill_target": rng.normal(size=(5, 3)).astype(np.float32),
        "distill_weight": np.full(5, 0.1 if distill else 0.0, np.float32),
    }
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    loss = session.run(["loss"], feeds)[0]
    x, target = torch.tensor(feeds["x"]), torch.tensor(feeds["distill_target"])
    masked = x + torch.tensor(feeds["class_mask"])
    each = torch.nn.functional.cross_entropy(masked, torch.tensor(feeds["labels"]), reduction="none")
    each = torch.where(torch.tensor(feeds["ce_weight"]) > 0, each, 0.0)
    wanted = (each * torch.tensor(feeds["ce_weight"])).sum()
    wanted += (((x - target) ** 2).mean(1) * torch.tensor(feeds["distill_weight"])).sum()
    np.testing.assert_allclose(loss, wanted.numpy(), rtol=1e-6)


def test_logits_of_another_shape_are_refused() -> None:
    model = ir.from_onnx_text(NOTHING.replace("[N,3]", "[N,3,1]"))
    with pytest.raises(ModelError, match=r"must be \[N, classes\]; make the class scores the first output"):
        AttachLoss().call(model)
