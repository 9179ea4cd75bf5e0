"""Output channels of weights."""

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.layers import weight_reads
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.schemes.axes import OUTPUT, axes_of
from sparcl_compile.passes.schemes.density import count


def kept_rows(channels: int, gradient_sparsity: float) -> int:
    """Number of a weight's output channels that get a gradient: the share 1 - q of them, at least one."""
    return max(1, count(1.0 - gradient_sparsity, channels))


def output_axes(graph: ir.Graph) -> dict[str, int]:
    """The axis of the output channels of every weight that trains, by name.

    The first node that reads the weight decides, directly or through its mask: the forward pass stands before the
    backward pass, whose products read the same weights the other way round.
    """
    found: dict[str, int] = {}
    for node, read in weight_reads(graph):
        weight = weight_of(read)
        if read is not None and weight is not None and len(weight.shape or ()) >= 2:
            found.setdefault(str(weight.name), axes_of(node, read).index(OUTPUT))
    return found


def weight_of(value: ir.Value | None) -> ir.Value | None:
    """The parameter that a value is, or the product of with its mask."""
    if value is None or role_of(value) is Role.PARAMETER:
        return value
    node = value.producer()
    if node is None or node.op_type != "Mul" or all(v is None or role_of(v) is not Role.MASK for v in node.inputs):
        return None
    return next((v for v in node.inputs if v is not None and role_of(v) is Role.PARAMETER), None)


def output_channels(graph: ir.Graph) -> dict[str, int]:
    """Number of output channels of every weight that trains, by name."""
    values = {str(value.name): value for value in (*graph.inputs, *graph.initializers.values())}
    return {name: dims(values[name])[axis] for name, axis in output_axes(graph).items()}
