"""An If whose condition is known becomes the branch that it takes."""

import onnx_ir as ir

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.worlds import Worlds
from sparcl_compile.passes.importing.checks import check_nodes
from sparcl_compile.passes.importing.naming import ORIGIN

BRANCHES = {True: "then_branch", False: "else_branch"}


def take(graph: ir.Graph, node: ir.Node, worlds: Worlds, names: Names) -> list[ir.Node]:
    """Put the nodes of the branch that an If takes in its place, and return them.

    Exporters write an If where they do not know a length (a squeeze of one axis) or the size of the image.

    Raises:
        UnsupportedOpsError: the condition depends on the data, or a node of the branch cannot be imported.
    """
    branch = node.attributes[BRANCHES[condition(node, worlds)]].as_graph()
    nodes, outputs = list(branch), list(branch.outputs)
    branch.outputs.clear()
    for value in list(branch.initializers.values()):
        branch.initializers.pop(str(value.name))
        value.name = names.fresh(str(value.name))
        graph.register_initializer(value)
    for inner in nodes:
        branch.remove(inner)
        inner.name = f"{node.name}.{inner.name or inner.op_type}"
        for output in (output for output in inner.outputs if output.name):
            output.name = names.fresh(str(output.name))
    check_nodes(nodes)
    graph.insert_before(node, nodes)
    insert = Inserter(ORIGIN, graph, names).before(node)
    results = [insert.op("Identity", value) for value in outputs]
    insert.replace(*results)
    return [*nodes, *(made for value in results if (made := value.producer()) is not None)]


def condition(node: ir.Node, worlds: Worlds) -> bool:
    """The condition of an If; raises UnsupportedOpsError where it is not the same for all inputs."""
    found = worlds.constant(node.inputs[0])
    if found is None:
        on = "batch size" if worlds.small.data(node.inputs[0]) is not None else "contents of the input"
        raise UnsupportedOpsError(
            f"If ({node.name}): which branch it takes depends on the {on}; export the model with one of them "
            "(PyTorch: without torch.jit.script, so that the branch of the example is taken)"
        )
    return bool(found.reshape(-1)[0])
