"""The manifest's ``graphs``, read from the files that the compilation has written."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir

from sparcl_compile.compiling.numeric_profile import profile_of
from sparcl_compile.interface.names import ACCUMULATED, NEXT, Role
from sparcl_compile.interface.specs import Dimension, DType, GraphSpec, InputSpec, NumericProfile, StateSpec
from sparcl_compile.passes.analysis.liveness.in_place import ACCUMULATOR, ELEMENTWISE, overwritable
from sparcl_compile.passes.core.operators import SPARSE_DOMAIN
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.emitting.measure import MEASURED

DTYPES: Mapping[ir.DataType | None, DType] = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.DOUBLE: "float64",
    ir.DataType.INT32: "int32",
    ir.DataType.INT64: "int64",
    ir.DataType.UINT8: "uint8",
    ir.DataType.BOOL: "bool",
}
BY_SAMPLE: Mapping[frozenset[DType], DType] = {
    frozenset({"uint8", "float32"}): "sample",
    frozenset({"int64", "float64"}): "sum",
}
"""The type of an input by its types in the two files of a graph that reads raw samples."""
LOOP = (Role.BUFFER, Role.METHOD, Role.DATA, Role.MEASURED, Role.RESULT)
"""Roles of the state that no compiled graph has: it is read off the graphs beside them."""
FIRST: Mapping[str, str] = {"accuracy.class": "nan", "accuracy.task": "nan"}
"""First values that are not zeros."""
SAVED = (
    *("data.mean", "data.std", "flops.counted", "flops.spent", *FIRST),
    *("epoch.loss", "epoch.steps", "score.class_correct", "score.class_seen"),
)
"""The state of the loop that a checkpoint holds beside what the buffer and the method keep; the rest is made anew."""


def graph_specs(folder: Path, kept: Role = Role.BUFFER) -> tuple[dict[str, GraphSpec], list[StateSpec]]:
    """Each graph below an artifact's folder by its name, that of its own folder, and the state of the loop.

    Args:
        folder: of the artifact.
        kept: a role that a checkpoint holds beside the buffer.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.onnx")):
        files.setdefault(path.parent.name, []).append(path)
    graphs = {name: [_read(path) for path in paths] for name, paths in files.items()}
    specs = {name: _spec([path.relative_to(folder) for path in files[name]], found) for name, found in graphs.items()}
    inputs = [variants for found in graphs.values() for variants in zip(*(one.inputs for one in found), strict=True)]
    state: dict[str, StateSpec] = {}
    for variants in inputs:
        if role_of(variants[0]) in LOOP:
            state.setdefault(str(variants[0].name), _state(variants, kept))
    return specs, list(state.values())


@dataclasses.dataclass(frozen=True)
class _Read:
    """What a file says of its graph."""

    inputs: tuple[ir.Value, ...]
    outputs: tuple[str, ...]
    in_place: tuple[str, ...]
    kernels: bool
    profile: NumericProfile


def _read(path: Path) -> _Read:
    model = onnx.load(path)
    graph = model.graph
    inputs = tuple(ir.serde.deserialize_value_info_proto(value, None) for value in graph.input)
    outputs = tuple(value.name for value in graph.output)
    return _Read(
        inputs=inputs,
        outputs=outputs,
        # Most graphs have no next value that an elementwise operator gives: their nodes need no closer look.
        in_place=tuple(overwritable(ir.serde.deserialize_graph(graph))) if any(map(_overwrites, graph.node)) else (),
        kernels=any(node.domain == SPARSE_DOMAIN for node in graph.node),
        profile=profile_of(model, [role_of(value) for value in inputs if f"{value.name}{NEXT}" in outputs]),
    )


def _overwrites(node: onnx.NodeProto) -> bool:
    """Whether a node may give a next value in the memory of the current one."""
    return any(
        name.endswith(NEXT) and (node.op_type in ELEMENTWISE or name.endswith(f"{ACCUMULATOR}{NEXT}"))
        for name in node.output
    )


def _spec(files: Sequence[Path], graphs: Sequence[_Read]) -> GraphSpec:
    graph = graphs[0]
    profiles = {path.stem: one.profile for path, one in zip(files, graphs, strict=True)}
    return GraphSpec(
        file=files[0].as_posix() if len(files) == 1 else {path.stem: path.as_posix() for path in files},
        inputs=tuple(_input(variants) for variants in zip(*(one.inputs for one in graphs), strict=True)),
        outputs=graph.outputs,
        results=tuple(name for name in graph.outputs if not name.endswith((NEXT, ACCUMULATED, MEASURED))),
        updates={name: name.removesuffix(NEXT) for name in graph.outputs if name.endswith(NEXT)},
        in_place=graph.in_place,
        kernels=graph.kernels,
        numeric_profile=profiles if len({*profiles.values()}) > 1 else graph.profile,
    )


def _input(variants: Sequence[ir.Value]) -> InputSpec:
    return InputSpec(str(variants[0].name), _dtype(variants), _shape(variants[0]))


def _state(variants: Sequence[ir.Value], kept: Role) -> StateSpec:
    name, role = str(variants[0].name), role_of(variants[0])
    if role is None:
        raise ValueError(f"{name} is no state")
    saved = role in (Role.BUFFER, Role.METHOD, kept) or name in SAVED
    return StateSpec(name, role, _dtype(variants), _shape(variants[0]), FIRST.get(name, "zeros"), saved, None)


def _dtype(variants: Sequence[ir.Value]) -> DType:
    found = [DTYPES[value.dtype] for value in variants]
    return found[0] if len(set(found)) == 1 else BY_SAMPLE[frozenset(found)]


def _shape(value: ir.Value) -> tuple[Dimension, ...]:
    return tuple(length if isinstance(length, int) else str(length.value) for length in value.shape or ())
