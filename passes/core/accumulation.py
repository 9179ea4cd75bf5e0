"""The nodes that add gradients to what is stored of them."""

from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.interface.names import ACCUMULATED, NEXT, Role
from sparcl_compile.passes.core.roles import role_of

GRADIENT = 1
"""The input of such a node that is the gradient."""
BUFFER = ".buffer"
RESET = "lazy_reset_grad"
"""The input that says whether the stored gradient is left out of the sum."""


def accumulations(graph: ir.Graph) -> Mapping[ir.Value, ir.Node]:
    """By gradient accumulator the node that adds to it, in the order of the nodes.

    The node gives the next accumulator, or says that it has added in place, as ONNX Runtime's own operator does.
    """
    buffers = [value for value in graph.inputs if role_of(value) is Role.GRADIENT]
    made = {f"{value.name}{NEXT}": value for value in buffers}
    made |= {str(value.name).removesuffix(".accumulation" + BUFFER) + ACCUMULATED: value for value in buffers}
    found = {}
    for node in graph:
        buffer = made.get(str(node.outputs[0].name)) if node.outputs else None
        if buffer is not None:
            found[buffer] = node
    return found
