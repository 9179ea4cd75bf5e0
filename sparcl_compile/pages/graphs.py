"""The graph after each pass of an artifact as data of a page: every node once, with the pass that made it."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx.parser import ParseError, parse_model

from sparcl_compile.interface.errors import ArtifactError
from sparcl_compile.interface.report import PassTrace

MODEL = -1
"""The origin of nodes that the model's own file has."""
ORIGIN = 5
"""Place of a drawn node at which the number of the pass that made it stands."""
LONGEST = 60
"""Characters of an attribute that are shown."""


@dataclasses.dataclass
class Pool:
    """The nodes of all graphs, each form once, and the types of their values."""

    nodes: list[list[Any]] = dataclasses.field(default_factory=list)
    types: dict[str, str] = dataclasses.field(default_factory=dict)
    _numbers: dict[bytes, int] = dataclasses.field(default_factory=dict)
    _origins: dict[str, int] = dataclasses.field(default_factory=dict)

    def add(self, graph: onnx.GraphProto, origin: int) -> dict[str, Any]:
        """Take a graph in; return the numbers of its nodes and the names of its inputs and outputs.

        Args:
            graph: as it stands after a pass.
            origin: of the nodes that are new.
        """
        self._add_types((*graph.input, *graph.output, *graph.value_info))
        numbers = [self._number(node, origin) for node in graph.node]
        return {
            "nodes": numbers,
            "inputs": [value.name for value in graph.input],
            "outputs": [value.name for value in graph.output],
        }

    def _add_types(self, values: Iterable[onnx.ValueInfoProto]) -> None:
        self.types |= {value.name: _type(value) for value in values}

    def _number(self, node: onnx.NodeProto, origin: int) -> int:
        name = node.name or node.output[0]
        origin = self._origins.setdefault(name, origin)
        key = node.SerializeToString(deterministic=True)
        if key not in self._numbers:
            self._numbers[key] = len(self.nodes)
            attributes = {one.name: _attribute(one) for one in node.attribute}
            self.nodes.append([name, node.op_type, [*node.input], [*node.output], attributes, origin])
        return self._numbers[key]


def graphs(texts: Sequence[tuple[Path, str]], traces: Sequence[PassTrace]) -> dict[str, Any]:
    """The graphs of an artifact: ``nodes``, ``types``, and for each pass in ``steps`` what stands then.

    Args:
        texts: by pass its file and its graph in ONNX text.
        traces: of the passes.

    Raises:
        ArtifactError: a text is damaged.
    """
    pool = Pool()
    # A pass that has marked no node as its own (the import) gives names to those of the model.
    origins = [number if trace.name in trace.origins else MODEL for number, trace in enumerate(traces)]
    steps = [pool.add(_parsed(path, text), origin) for (path, text), origin in zip(texts, origins, strict=True)]
    return {"nodes": pool.nodes, "types": pool.types, "steps": steps, "passes": [trace.name for trace in traces]}


def _parsed(path: Path, text: str) -> onnx.GraphProto:
    try:
        return parse_model(text).graph
    except (ParseError, ValueError, RuntimeError) as error:
        raise ArtifactError(f"{path}: the graph's text is damaged; compile the model again") from error


def _type(value: onnx.ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    kind = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    lengths = (str(one.dim_value) if one.HasField("dim_value") else one.dim_param or "?" for one in tensor.shape.dim)
    return f"{kind} [{', '.join(lengths)}]"


FIELDS = {
    onnx.AttributeProto.FLOAT: "f",
    onnx.AttributeProto.INT: "i",
    onnx.AttributeProto.STRING: "s",
    onnx.AttributeProto.FLOATS: "floats",
    onnx.AttributeProto.INTS: "ints",
    onnx.AttributeProto.STRINGS: "strings",
}
"""The field of an attribute that holds its value, by its kind."""


def _attribute(one: onnx.AttributeProto) -> str:
    """The value of an attribute as a short text; of a tensor or a graph that it is one."""
    if one.type not in FIELDS:
        return str(onnx.AttributeProto.AttributeType.Name(one.type)).lower()
    value = getattr(one, FIELDS[one.type])
    shown = _plain(value)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]} ..."


def _plain(value: Any) -> str:
    if isinstance(value, bytes):
        return str(value, errors="replace")
    if isinstance(value, int | float):
        return f"{value:g}"
    return f"[{', '.join(map(_plain, value[:LONGEST]))}]"


def counts_by_origin(found: Mapping[str, Any], step: int) -> dict[str, int]:
    """Return the number of nodes that each pass has made, by its name, after a pass; the model's own are left out.

    Args:
        found: as ``graphs`` returns it.
        step: the number of the pass.
    """
    origins = [found["nodes"][number][ORIGIN] for number in found["steps"][step]["nodes"]]
    return dict(Counter(found["passes"][origin] for origin in origins if origin != MODEL))
