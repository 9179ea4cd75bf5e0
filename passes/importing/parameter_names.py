"""Names of the model for parameters whose names were lost where something was folded."""

import collections
import re
from collections.abc import Iterator, Sequence

import onnx_ir as ir

from sparcl_compile.passes.core.edit import Names, array_of, set_array
from sparcl_compile.passes.importing.constants import SOURCE

LOST = re.compile(r"onnx::\w+_\d+")
"""The names that PyTorch's older exporter makes up for what it folds."""
GROUP_NORM = {"InstanceNormalization": 1, "Mul": 1, "Add": 1}
LINEAR = {"MatMul": 1, "Add": 1}
"""What a module computes that the older exporter folds a parameter of, beside shapes: how many nodes of each kind."""
AROUND = ("Reshape", "Shape", "Concat", "Constant", "Identity")
Claims = Iterator[tuple[ir.Value, str]]


def restore(graph: ir.Graph) -> None:
    """Give parameters the names that the model has for them, so that users find them by these.

    1. What is one stored weight in another shape (a reshaped scale, a transposed weight) has the name of that.
    2. What PyTorch's exporter with ``dynamo=True`` folded from one parameter has the name of that parameter.
    3. PyTorch's older exporter makes up names for the scale and the shift of a GroupNorm, and for the weight of a
       Linear on more than two axes; the nodes have the names of their modules. A module that computes anything else
       keeps the made-up names: which of its parameters they are, nobody can tell.
    4. Where several are made of one, each has its name behind the one's, so that a pattern finds all.
    """
    claims: dict[str, list[ir.Value]] = {}
    for value, name in (*_sources(graph), *_modules(graph)):
        claims.setdefault(name, []).append(value)
    names = Names(graph)
    for name, values in claims.items():
        alone = len(values) == 1 and name not in graph.initializers
        for value in values:
            _rename(value, names.fresh(name if alone else f"{name}.{value.name}"))


def _rename(value: ir.Value, name: str) -> None:
    """Give an initializer a name; the tensor is the file's, which keeps its own."""
    data = array_of(value)
    if data is not None:
        set_array(value, data)
    value.name = name


def _sources(graph: ir.Graph) -> Claims:
    for value in graph.initializers.values():
        name = value.meta.get(SOURCE)
        if isinstance(name, str) and name != value.name:
            yield value, name


def _modules(graph: ir.Graph) -> Claims:
    inside: dict[str, list[ir.Node]] = {}
    for node in graph:
        scope, _, _ = str(node.name).rpartition("/")
        inside.setdefault(scope, []).append(node)
    for scope, nodes in inside.items():
        if scope and not any(other.startswith(f"{scope}/") for other in inside):
            yield from _parameters(module_of(scope), nodes)


def module_of(scope: str) -> str:
    """The name of a module with this scope: ``/layer1/layer1.0/norm`` is ``layer1.0.norm``."""
    parts: list[str] = []
    for part in scope.strip("/").split("/"):
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def _parameters(module: str, nodes: Sequence[ir.Node]) -> Claims:
    kinds = collections.Counter(node.op_type for node in nodes if node.op_type not in AROUND)
    constants = {node.op_type: [v for v in node.inputs if v is not None and v.is_initializer()] for node in nodes}
    if kinds == GROUP_NORM:
        yield from _lost(constants["Mul"], f"{module}.weight")
        yield from _lost(constants["Add"], f"{module}.bias")
    if kinds == LINEAR and [value.name for value in constants["Add"]] == [f"{module}.bias"]:
        yield from _lost(constants["MatMul"], f"{module}.weight")


def _lost(values: Sequence[ir.Value], name: str) -> Claims:
    yield from ((value, name) for value in values if LOST.fullmatch(str(value.name)))
