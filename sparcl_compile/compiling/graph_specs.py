"""The manifest's ``graphs``, read from the files that the compilation has written."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir

from sparcl_compile.interface.names import ACCUMULATED, NEXT, Role
from sparcl_compile.interface.specs import Dimension, DType, GraphSpec, InputSpec, StateSpec
from sparcl_compile.passes.analysis.liveness.in_place import overwritable
from sparcl_compile.passes.core.operators import sparse_nodes
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
LOOP = (Role.BUFFER, Role.DATA, Role.MEASURED, Role.RESULT)
"""Roles of the state that no compiled graph has: it is read off the graphs beside them."""
FIRST: Mapping[str, str] = {"accuracy.class": "nan", "accuracy.task": "nan"}
"""First values that are not zeros."""
SAVED = ("data.mean", "data.std", *FIRST)
"""The state of the loop that a checkpoint holds beside the buffer; the rest is made anew when it is needed."""


def graph_specs(folder: Path) -> tuple[dict[str, GraphSpec], list[StateSpec]]:
    """Each graph below an artifact's folder by its name, that of its own folder, and the state of the loop."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.onnx")):
        files.setdefault(path.parent.name, []).append(path)
    graphs = {name: [ir.load(path).graph for path in paths] for name, paths in files.items()}
    specs = {name: _spec([path.relative_to(folder) for path in files[name]], found) for name, found in graphs.items()}
    state: dict[str, StateSpec] = {}
    for found in graphs.values():
        for variants in zip(*(graph.inputs for graph in found), strict=True):
            if role_of(variants[0]) in LOOP:
                state.setdefault(str(variants[0].name), _state(variants))
    return specs, list(state.values())


def _spec(files: Sequence[Path], graphs: Sequence[ir.Graph]) -> GraphSpec:
    graph = graphs[0]
    outputs = tuple(str(value.name) for value in graph.outputs)
    return GraphSpec(
        file=files[0].as_posix() if len(files) == 1 else {path.stem: path.as_posix() for path in files},
        inputs=tuple(_input(variants) for variants in zip(*(one.inputs for one in graphs), strict=True)),
        outputs=outputs,
        results=tuple(name for name in outputs if not name.endswith((NEXT, ACCUMULATED, MEASURED))),
        updates={name: name.removesuffix(NEXT) for name in outputs if name.endswith(NEXT)},
        in_place=tuple(overwritable(graph)),
        kernels=bool(sparse_nodes(graph)),
    )


def _input(variants: Sequence[ir.Value]) -> InputSpec:
    return InputSpec(str(variants[0].name), _dtype(variants), _shape(variants[0]))


def _state(variants: Sequence[ir.Value]) -> StateSpec:
    name, role = str(variants[0].name), role_of(variants[0])
    if role is None:
        raise ValueError(f"{name} is no state")
    saved = role is Role.BUFFER or name in SAVED
    return StateSpec(name, role, _dtype(variants), _shape(variants[0]), FIRST.get(name, "zeros"), saved, None)


def _dtype(variants: Sequence[ir.Value]) -> DType:
    found = [DTYPES[value.dtype] for value in variants]
    return found[0] if len(set(found)) == 1 else BY_SAMPLE[frozenset(found)]


def _shape(value: ir.Value) -> tuple[Dimension, ...]:
    return tuple(length if isinstance(length, int) else str(length.value) for length in value.shape or ())
