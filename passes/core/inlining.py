"""Calls of the optimizer's function become its nodes, in a time that grows with their number."""

from collections.abc import Iterable, Sequence

import onnx_ir as ir


def inline_calls(model: ir.Model, function: ir.Function) -> None:
    """Put the nodes of a function in the place of its calls, in place; the function leaves the model.

    The result is that of onnx-ir's InlinePass, names included, for a function of standard operators. That one tries all
    numbers for each name, and looks through all outputs of the graph for each call.
    """
    graph = model.graph
    calls = [node for node in graph if node.op_identifier() == function.identifier()]
    names, node_names = _Names(_value_names(graph)), _Names(str(node.name) for node in graph)
    results: dict[ir.Value, ir.Value] = {}
    for call in calls:
        nodes, made = _instance(function, call, names, node_names)
        graph.insert_after(call, nodes)
        results.update(zip(call.outputs, made, strict=True))
    graph.outputs[:] = [results.get(value, value) for value in graph.outputs]
    for old, new in results.items():
        new.name, new.shape, new.type = old.name, old.shape or new.shape, old.type or new.type
        old.replace_all_uses_with(new)
    graph.remove(calls, safe=True)
    del model.functions[function.identifier()]


def _value_names(graph: ir.Graph) -> Iterable[str]:
    made = (out for node in graph for out in node.outputs)
    return (str(value.name) for value in (*graph.inputs, *graph.initializers.values(), *made))


class _Names:
    """Names that are taken, and the last number behind each that was asked for."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken, self._last = set(taken), dict[str, int]()

    def fresh(self, name: str) -> str:
        """The name, else the name with the first number from 2 that is free."""
        candidate = name
        while candidate in self._taken:
            self._last[name] = self._last.get(name, 1) + 1
            candidate = f"{name}_{self._last[name]}"
        self._taken.add(candidate)
        return candidate


def _instance(
    function: ir.Function, call: ir.Node, names: _Names, node_names: _Names
) -> tuple[Sequence[ir.Node], Sequence[ir.Value]]:
    """The nodes of one call, and what they return."""
    here: dict[ir.Value | None, ir.Value | None] = {None: None, **dict(zip(function.inputs, call.inputs, strict=True))}
    nodes = []
    for node in function:
        copy = ir.Node(
            node.domain,
            node.op_type,
            [here[value] for value in node.inputs],
            node.attributes.values(),
            num_outputs=len(node.outputs),
            name=node_names.fresh(node.name or "node"),
            metadata_props={**call.metadata_props, **node.metadata_props},
        )
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            new.name, new.shape, new.type = names.fresh(str(old.name)), old.shape, old.type
            here[old] = new
        nodes.append(copy)
    made = [here[value] for value in function.outputs]
    return nodes, [value for value in made if value is not None]
