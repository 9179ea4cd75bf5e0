"""The trace of a pass: operators, parameters, state and cost before and after; the graph itself as a file."""

import collections
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx_ir as ir

from sparcl_compile.compiling.carried import with_metadata
from sparcl_compile.compiling.protos import without_data
from sparcl_compile.costs.flops import layer_costs, total_macs
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.files import write_atomically, write_text
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.report import PassTrace
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import role_of
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


def snapshot(model: ir.Model) -> Snapshot:
    """Count a graph; the model is not changed."""
    ops: collections.Counter[str] = collections.Counter()
    origins: collections.Counter[str] = collections.Counter()
    for node in model.graph.all_nodes():
        ops[node.op_type] += 1
        if PASS_KEY in node.metadata_props:
            origins[node.metadata_props[PASS_KEY]] += 1
    return Snapshot(ops, origins, _state(model.graph), _macs(model))


def _state(graph: ir.Graph) -> dict[str, int]:
    """The elements of initializers and inputs by role, in the order of the roles; a name counts once."""
    values = {value.name: value for value in (*graph.initializers.values(), *graph.inputs) if role_of(value)}
    sizes: collections.Counter[Role | None] = collections.Counter()
    for value in values.values():
        sizes[role_of(value)] += _size(value)
    return {str(role): sizes[role] for role in Role if sizes[role]}


def compare(name: str, seconds: float, modified: bool, before: Snapshot, after: Snapshot) -> PassTrace:
    """Return the trace of the pass ``name``, from the graph's numbers before and after it."""
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
    lines = onnx.printer.to_text(without_data(model)).rstrip().splitlines()
    head = lines.index(">") + 1
    body = next(index for index, line in enumerate(lines) if index >= head and line.endswith("{"))
    # The signature and the values' types are two lines of any length, in which a difference could not be shown.
    lines[head : body + 1] = [line.replace(", ", ",\n    ") for line in lines[head : body + 1]]
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
