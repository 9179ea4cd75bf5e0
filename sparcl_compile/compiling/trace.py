"""What a pass did to a graph: operators, parameters, state and cost before and after; the graph itself as a file."""

import collections
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from sparcl_compile.compiling.carried import with_metadata
from sparcl_compile.costs.flops import layer_costs, total_macs
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.files import write_atomically, write_text
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.values import dims


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A graph in numbers.

    Attributes:
        ops: how often each operator stands in it, subgraphs included.
        origins: how many nodes each pass has made that are still there, by pass name.
        state: elements by role (``parameter``, ``mask``, ...).
        macs: multiply-accumulates per sample, or None where a shape or an operator's cost is unknown.
    """

    ops: collections.Counter[str]
    origins: collections.Counter[str]
    state: Mapping[str, int]
    macs: int | None

    @property
    def nodes(self) -> int:
        """The number of nodes."""
        return self.ops.total()


@dataclasses.dataclass(frozen=True)
class PassTrace:
    """What one pass did; as ``to_dict`` it is an entry of the manifest's ``passes``.

    Attributes:
        name: the pass.
        seconds: how long it took.
        modified: what the pass reported.
        ops_before: how often each operator stood in the graph.
        ops_after: how often each operator stands in the graph now.
        nodes_added: operators that there are more of than before, and by how many.
        nodes_removed: operators that there are fewer of than before, and by how many.
        origins: how many nodes each pass has made, as the graph stands now.
        parameters: elements with role parameter, now.
        state: elements by role, now.
        macs_before: multiply-accumulates per sample before, or None where they cannot be counted.
        macs_after: the same, now.
    """

    name: str
    seconds: float
    modified: bool
    ops_before: Mapping[str, int]
    ops_after: Mapping[str, int]
    nodes_added: Mapping[str, int]
    nodes_removed: Mapping[str, int]
    origins: Mapping[str, int]
    parameters: int
    state: Mapping[str, int]
    macs_before: int | None
    macs_after: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; :meth:`from_dict` reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "PassTrace":
        """Read what :meth:`to_dict` wrote; raises TypeError for a missing or an unknown key."""
        return cls(**data)


def snapshot(model: ir.Model) -> Snapshot:
    """Count a graph; the model is not changed."""
    ops: collections.Counter[str] = collections.Counter()
    origins: collections.Counter[str] = collections.Counter()
    for node in model.graph.all_nodes():
        ops[node.op_type] += 1
        if PASS_KEY in node.metadata_props:
            origins[node.metadata_props[PASS_KEY]] += 1
    sizes = {str(role): sum(_size(value) for value in values_with_role(model, role)) for role in Role}
    return Snapshot(ops, origins, {role: size for role, size in sizes.items() if size}, _macs(model))


def compare(name: str, seconds: float, modified: bool, before: Snapshot, after: Snapshot) -> PassTrace:
    """What the pass ``name`` did, from the graph's numbers before and after it."""
    return PassTrace(
        name=name,
        seconds=seconds,
        modified=modified,
        ops_before=_by_name(before.ops),
        ops_after=_by_name(after.ops),
        nodes_added=_by_name(after.ops - before.ops),
        nodes_removed=_by_name(before.ops - after.ops),
        origins=_by_name(after.origins),
        parameters=after.state.get(Role.PARAMETER, 0),
        state=dict(after.state),
        macs_before=before.macs,
        macs_after=after.macs,
    )


def dump_name(index: int, pass_name: str, suffix: str) -> str:
    """The name of a pass's dump: ``NN_name`` and the suffix, so that a folder lists the passes in their order."""
    return f"{index:02d}_{pass_name}{suffix}"


def dump(model: ir.Model, folder: Path, index: int, pass_name: str) -> Path:
    """Write the graph with its weights as ``NN_name.onnx`` into a folder, which is made if needed; return the path.

    Raises:
        WriteError: the file system refuses; no partial file stays.
    """
    path = folder / dump_name(index, pass_name, ".onnx")
    whole = with_metadata(model)
    # A dump must open anywhere, also where the weights' own file is not.
    ir.external_data.load_to_model(whole)
    write_atomically(path, lambda temporary: ir.save(whole, temporary))
    return path


def graph_text(model: ir.Model) -> str:
    """The graph in ONNX text without its weights, one value of its head a line; ends with a newline.

    It stays text that ``onnx.parser`` reads.
    """
    lines = ir.to_onnx_text(model, exclude_initializers=True).rstrip().splitlines()
    head, body = lines.index(">") + 1, lines.index("{")
    # The signature and the values' types are two lines of any length, in which a difference could not be shown.
    lines[head:body] = [line.replace(", ", ",\n    ") for line in lines[head:body]]
    return "\n".join(lines) + "\n"


def dump_text(model: ir.Model, folder: Path, index: int, pass_name: str) -> Path:
    """Write the graph without its weights as ``NN_name.txt`` into a folder, which is made if needed; return the path.

    Raises:
        WriteError: the file system refuses; no partial file stays.
    """
    path = folder / dump_name(index, pass_name, ".txt")
    write_text(path, graph_text(model))
    return path


def _by_name(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _size(value: ir.Value) -> int:
    return math.prod(dims(value)) if value.shape is not None and value.shape.is_static() else 0


def _macs(model: ir.Model) -> int | None:
    try:
        return total_macs(layer_costs(model))
    except ModelError:
        return None
