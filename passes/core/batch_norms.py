"""The slots of the operator BatchNormTraining (docs/kernels.md), and the two numbers that it multiplies and adds."""

import onnx_ir as ir

from sparcl_compile.passes.core.values import FLOAT

X, SCALE, ADDEND = 0, 1, 3
X_HALF, ADDEND_HALF = 6, 7
"""The inputs that take the places of x and the addend where these are in half precision."""
Y, Y_HALF = 0, 5
"""The output, and the same in half precision."""
FIRST_NUMBER = 6
"""The output that is the factor; the next one is the offset."""
ENDINGS = (".saved_factor", ".saved_offset")
"""What their names end with, behind that of the normalisation's output."""


def factor_and_offset(node: ir.Node) -> tuple[ir.Value, ir.Value]:
    """The factor and the offset [C] of a normalisation, which computes ``x * factor + offset``; it gives them now."""
    given = len(node.outputs)
    node.resize_outputs(FIRST_NUMBER + len(ENDINGS))
    for value in node.outputs[given:]:
        value.name = ""
    factor, offset = node.outputs[FIRST_NUMBER:]
    for value, ending in zip((factor, offset), ENDINGS, strict=True):
        value.name, value.shape, value.type = f"{_name(node)}{ending}", node.inputs[SCALE].shape, FLOAT  # type: ignore[union-attr]
    return factor, offset


def read_activations(node: ir.Node) -> list[ir.Value]:
    """The input and the addend, each in the type that the normalisation reads."""
    found = [node.inputs[slot] for slot in (X, X_HALF, ADDEND, ADDEND_HALF) if slot < len(node.inputs)]
    return [value for value in found if value is not None]


def kept_result(node: ir.Node) -> ir.Value:
    """What of a normalisation's output the backward reads: that in half precision, where there is one."""
    half = node.outputs[Y_HALF] if len(node.outputs) > Y_HALF else None
    return half if half is not None and half.name else node.outputs[Y]


def _name(node: ir.Node) -> str:
    return str(node.outputs[Y].name or node.outputs[Y_HALF].name)
