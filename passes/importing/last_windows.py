"""Pools in ceiling mode whose last window would begin behind the input."""

import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.edit import int_attribute, ints_attribute
from sparcl_compile.passes.importing.batch_trace import Trace

MEND = "pad in a layer of its own, or round down there (PyTorch: ceil_mode=False), and export the model again"


def repair_pool(t: Trace, node: ir.Node) -> None:
    """A pool leaves out the windows that would begin in the padding behind its input, to which it is rounded up.

    PyTorch and ONNX Runtime leave them out, ONNX's shape inference counts them: all shapes behind the pool would be
    wrong. Padding that ends where the last of the other windows does says the same without rounding up.

    Raises:
        ModelError: the same cannot be said so.
    """
    lengths = t.small(node.inputs[0])[2:]
    if not lengths or not int_attribute(node, "ceil_mode", 0) or "auto_pad" in node.attributes:
        return
    kernel, axes = ints_attribute(node, "kernel_shape", []), len(lengths)
    strides, dilations = (ints_attribute(node, name, [1] * axes) for name in ("strides", "dilations"))
    pads = ints_attribute(node, "pads", [0] * 2 * axes)
    before, after = pads[:axes], pads[axes:]
    reach = [(k - 1) * dilation + 1 for k, dilation in zip(kernel, dilations, strict=True)]
    starts = [
        -(-(n + b + a - r) // stride) * stride
        for n, b, a, r, stride in zip(lengths, before, after, reach, strides, strict=True)
    ]
    lasts = [
        min(start, (n + b - 1) // stride * stride)
        for start, n, b, stride in zip(starts, lengths, before, strides, strict=True)
    ]
    if lasts == starts:
        return
    ends = [max(0, last + r - n - b) for last, r, n, b in zip(lasts, reach, lengths, before, strict=True)]
    counts_padding = any(pads) and int_attribute(node, "count_include_pad", 0)
    if counts_padding or any(end >= k for end, k in zip(ends, kernel, strict=True)):
        raise ModelError(f"{node.op_type} ({node.name}) rounds up to a window that begins behind its input: {MEND}")
    del node.attributes["ceil_mode"]
    node.attributes["pads"] = ir.AttrInt64s("pads", [*before, *ends])
