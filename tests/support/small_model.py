"""A forward graph as import_forward leaves it, small enough to read, for the text-in text-out tests."""

import difflib

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.core.roles import set_role

TEXT = """
<ir_version: 10, opset_import: ["" : 18]>
forward (float[N,1,4,4] x, float[2,1,3,3] "conv.weight", float[2] "bn.scale", float[2] "bn.bias", float[2] "bn.mean",
         float[2] "bn.var", float[32,3] "head.weight", float[3] "head.bias")
=> (float[N,3] logits, float[2] "bn.mean.next", float[2] "bn.var.next")
<float[N,2,4,4] c, float[N,2,4,4] b, float[N,2,4,4] r, float[N,32] f>
{
  [conv] c = Conv <pads = [1, 1, 1, 1]> (x, "conv.weight")
  [bn] b, "bn.mean.next", "bn.var.next" =
    BatchNormalization <training_mode = 1> (c, "bn.scale", "bn.bias", "bn.mean", "bn.var")
  [relu] r = Relu (b)
  [flatten] f = Flatten (r)
  [head] logits = Gemm (f, "head.weight", "head.bias")
}
"""

RUNNING = ("bn.mean", "bn.var")


def forward_model(dense: tuple[str, ...] = ("head.weight",)) -> ir.Model:
    """Conv, BatchNormalization in training form, Gemm; seeded weights; those in ``dense`` get no mask."""
    model = ir.from_onnx_text(TEXT)
    rng = np.random.default_rng(0)
    for value in model.graph.inputs[1:]:
        name = str(value.name)
        data = np.abs(rng.normal(size=[int(d) for d in value.shape or ()])).astype(np.float32)
        value.const_value = ir.tensor(data if name in RUNNING else data - np.float32(0.5), name=name)
        set_role(value, Role.RUNNING_STAT if name in RUNNING else Role.PARAMETER)
        if name in dense:
            value.metadata_props[DENSE_KEY] = "classifier"
    weights = list(model.graph.inputs[1:])
    del model.graph.inputs[1:]
    for value in weights:
        model.graph.register_initializer(value)
    return model


def changed_lines(before: ir.Model, after: ir.Model) -> list[str]:
    """The lines of the nodes that differ between two graphs, with + or - in front and blanks folded."""
    texts = [_node_lines(model) for model in (before, after)]
    diff = difflib.unified_diff(*texts, n=0, lineterm="")
    return [line for line in diff if line[0] in "+-" and not line.startswith(("+++", "---"))]


def _node_lines(model: ir.Model) -> list[str]:
    lines = ir.to_onnx_text(model, exclude_initializers=True).splitlines()
    opening = next(number for number, line in enumerate(lines) if line.endswith("{"))
    return [" ".join(line.split()) for line in lines[opening + 1 :]]


def run_twice(one: ir.passes.InPlacePass, model: ir.Model) -> ir.Model:
    """Run a pass, check that a second run finds nothing to do, and return the model as it was before.

    The graph may be a fragment: the needs of the pass are checked in tests/passes/test_order.py.
    """
    before = model.clone()
    assert one.call(model).modified
    text = ir.to_onnx_text(model, exclude_initializers=True)
    assert not one.call(model).modified
    assert ir.to_onnx_text(model, exclude_initializers=True) == text
    return before
