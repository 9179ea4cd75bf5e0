"""Standard operators that opsets write in different ways, in the way of the graph at hand."""

import onnx_ir as ir

from sparcl_compile.passes.core.insert import Inserter

AXES_ARE_INPUTS = {"ReduceSum": 13, "ReduceMean": 18, "ReduceMax": 18}
"""By reduction the first opset in which the axes are an input and no attribute."""
LAYER_NORM = 17
"""The first opset with a LayerNormalization."""


def opset(e: Inserter) -> int:
    """The version of the standard operators in the graph."""
    return e.graph.opset_imports.get("", e.graph.opset_imports.get("ai.onnx", 1))


def reduce(e: Inserter, op_type: str, x: ir.Value | None, *axes: int) -> ir.Value:
    """A reduction over some axes, which stay with length 1."""
    if opset(e) >= AXES_ARE_INPUTS[op_type]:
        return e.op(op_type, x, e.ints("axes", axes), keepdims=1)
    return e.op(op_type, x, axes=list(axes), keepdims=1)


def layer_norm(
    e: Inserter, x: ir.Value | None, scale: ir.Value | None, bias: ir.Value | None, axis: int, epsilon: float
) -> ir.Value:
    """LayerNormalization from an axis on; before opset 17 in simpler operators.

    Raises:
        ValueError: the axis is not counted from the end.
    """
    if opset(e) >= LAYER_NORM:
        return e.op("LayerNormalization", x, scale, bias, axis=axis, epsilon=epsilon)
    if axis >= 0:
        raise ValueError(f"axis {axis} is not counted from the end")
    axes = range(axis, 0)
    centred = e.op("Sub", x, reduce(e, "ReduceMean", x, *axes))
    variance = reduce(e, "ReduceMean", e.op("Mul", centred, centred), *axes)
    hat = e.op("Div", centred, e.op("Sqrt", e.op("Add", variance, e.const("epsilon", epsilon))))
    scaled = e.op("Mul", hat, scale)
    return scaled if bias is None else e.op("Add", scaled, bias)
