"""Which weights stay dense, and why."""

import fnmatch
from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.heads import find_head
from sparcl_compile.passes.core.edit import int_attribute
from sparcl_compile.passes.core.hints import near
from sparcl_compile.passes.core.layers import weighted_layers
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.core.roles import values_with_role

NOT_A_LAYER = "elementwise"
TO_ADD = {"BatchNormalization", "Identity"}


def mark_dense(model: ir.Model, globs: tuple[str, ...]) -> None:
    """Set ``sparcl.dense`` on every parameter that gets no mask; raises FieldError for a glob without a match."""
    graph = model.graph
    layers = list(weighted_layers(graph))
    weights = {weight for _, weight in layers}
    for value in values_with_role(model, Role.PARAMETER):
        if value not in weights:
            value.metadata_props[DENSE_KEY] = NOT_A_LAYER
    reasons = structural_reasons(graph, layers)
    for weight, reason in (*reasons.items(), *((w, "user") for w in chosen(weights, globs))):
        weight.metadata_props[DENSE_KEY] = reason
    keep_something(weights)


def structural_reasons(graph: ir.Graph, layers: list[tuple[ir.Node, ir.Value]]) -> dict[ir.Value, str]:
    """Reasons that the graph itself gives."""
    reasons: dict[ir.Value, str] = {}
    head = find_head(graph)
    for index, (node, weight) in enumerate(layers):
        if node is head:
            reasons[weight] = "classifier"
        elif index == 0 and node.op_type == "Conv" and len(layers) > 1:
            reasons[weight] = "stem"
        elif is_depthwise(node, weight):
            reasons[weight] = "depthwise"
        elif is_shortcut(node, weight):
            reasons[weight] = "shortcut"
    return reasons


def is_depthwise(node: ir.Node, weight: ir.Value) -> bool:
    """Whether a Conv has one input channel a group, several groups."""
    return (
        node.op_type == "Conv"
        and int_attribute(node, "group", 1) > 1
        and weight.shape is not None
        and weight.shape[1] == 1
    )


def is_shortcut(node: ir.Node, weight: ir.Value) -> bool:
    """Whether a 1x1 Conv goes straight into a residual Add beside another Conv of the same input."""
    if node.op_type != "Conv" or weight.shape is None or any(d != 1 for d in list(weight.shape)[2:]):
        return False
    source = node.inputs[0]
    siblings = [] if source is None else [u.node for u in source.uses() if u.node is not node]
    return any(sibling.op_type == "Conv" for sibling in siblings) and reaches_add(node)


def reaches_add(node: ir.Node) -> bool:
    """Whether nothing but BatchNormalization stands between a node and an Add of two activations."""
    readers = [usage.node for usage in node.outputs[0].uses()]
    while len(readers) == 1 and readers[0].op_type in TO_ADD:
        readers = [usage.node for usage in readers[0].outputs[0].uses()]
    adds = [reader for reader in readers if reader.op_type == "Add"]
    return any(all(v is not None and not v.is_initializer() for v in add.inputs) for add in adds)


def chosen(weights: set[ir.Value], globs: tuple[str, ...]) -> Iterator[ir.Value]:
    """The weights that the user's globs name."""
    names = sorted(str(weight.name) for weight in weights)
    for glob in globs:
        if not fnmatch.filter(names, glob):
            raise FieldError("dense", glob, "matches no weight", near(glob, names), joint=" ")
        yield from (weight for weight in weights if fnmatch.fnmatchcase(str(weight.name), glob))


def keep_something(weights: set[ir.Value]) -> None:
    """When nothing is left to prune, prune all but the classifier, and if there is nothing else, the classifier too."""
    for spared in ({"classifier", "user"}, {"user"}):
        if any(DENSE_KEY not in weight.metadata_props for weight in weights):
            return
        for weight in weights:
            if weight.metadata_props[DENSE_KEY] not in spared:
                del weight.metadata_props[DENSE_KEY]
