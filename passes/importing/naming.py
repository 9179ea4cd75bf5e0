"""Names: every node has one, every value has one of its own."""

import onnx_ir as ir

from sparcl_compile.passes.core.edit import Names

ORIGIN = "import_forward"
"""Name of the pass that the nodes of the import carry."""


def name_nodes(graph: ir.Graph) -> bool:
    """Give nameless nodes a name from their operator and place, and repeated names a number."""
    taken: set[str] = set()
    changed = False
    for index, node in enumerate(graph):
        name = node.name or f"{node.op_type}_{index}"
        number = 0
        while name in taken:
            number += 1
            name = f"{node.name or node.op_type}_{index}_{number}"
        taken.add(name)
        changed |= name != node.name
        node.name = name
    return changed


RESERVED = (".next", ".mask", ".gradient_mask", ".masked", ".momentum", ".exp_avg", ".exp_avg_sq", "_grad")
"""Endings with a meaning in artifacts; an initializer that has one gets another name."""


def unique_names(graph: ir.Graph) -> None:
    """Rename initializers whose names later passes would mistake for their own."""
    reserved = [value for value in graph.initializers.values() if str(value.name).endswith(RESERVED)]
    names = Names(graph)
    for value in reserved:
        value.name = names.fresh(f"{value.name}.weight")
