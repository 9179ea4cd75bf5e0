"""The stages of a network: runs of layers that work at one resolution."""

from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.passes.analysis.heads import find_head
from sparcl_compile.passes.core.layers import weighted_layers
from sparcl_compile.passes.core.roles import TRAINABLE, role_of

SPATIAL = ("Conv", "ConvTranspose")
VIEWS = ("Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators through which a parameter is still the same numbers."""

Size = tuple[str, ...]


def parameter_stages(graph: ir.Graph) -> dict[str, int]:
    """The stage, from 0, of every parameter by name.

    1. A stage is a maximal run of weighted layers, in graph order, whose outputs have the same spatial size; a layer
       that changes the size opens the next stage.
    2. A layer on one position (squeeze-and-excitation) stays in the stage in which it stands.
    3. A layer without spatial axes is a stage of its own; the classifier joins the stage before it when there are
       spatial ones.
    4. What has no size of its own (normalisations, biases) belongs to the stage of the layer that it follows, the
       latest where several lead to it.
    5. A parameter that several nodes read belongs to the earliest of them: the backward pass must reach that one.
    """
    own = _layer_stages(graph)
    of_node: dict[ir.Node, int] = {}
    found: dict[str, int] = {}
    for node in graph:
        before = (of_node.get(producer, 0) for v in node.inputs if v is not None and (producer := v.producer()))
        of_node[node] = own.get(node, max(before, default=0))
    for value in graph.initializers.values():
        if role_of(value) in TRAINABLE:
            found[str(value.name)] = min((of_node[node] for node, _ in readers(value)), default=0)
    return found


def readers(value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """The nodes that compute with a parameter and the input at which they read it, seen through views."""
    for usage in value.uses():
        if usage.node.op_type in VIEWS:
            yield from readers(usage.node.outputs[0])
        else:
            yield usage.node, usage.idx


def _layer_stages(graph: ir.Graph) -> dict[ir.Node, int]:
    head = find_head(graph)
    layers = dict.fromkeys(node for node, _ in weighted_layers(graph))
    spatial = any(_size(node) for node in layers)
    stages: dict[ir.Node, int] = {}
    last: Size = ()
    number = -1
    for node in layers:
        size = _size(node)
        if not stages or _opens(size, last, joins=spatial and node is head):
            number, last = number + 1, size
        stages[node] = number
    return stages


def _opens(size: Size, last: Size, joins: bool) -> bool:
    if joins or (size and set(size) == {"1"}):
        return False
    return not size or size != last


def _size(node: ir.Node) -> Size:
    """The spatial lengths of a layer's output as text (one may be symbolic); empty without spatial axes."""
    shape = node.outputs[0].shape
    return tuple(str(d) for d in list(shape)[2:]) if node.op_type in SPATIAL and shape is not None else ()
