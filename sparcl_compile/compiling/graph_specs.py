"""The manifest's ``graphs``, read from the files that the compilation has written."""

from collections.abc import Mapping
from pathlib import Path

import onnx_ir as ir

from sparcl_compile.interface.names import ACCUMULATED, NEXT
from sparcl_compile.interface.specs import Dimension, DType, GraphSpec, InputSpec
from sparcl_compile.passes.analysis.liveness.in_place import overwritable
from sparcl_compile.passes.core.operators import sparse_nodes
from sparcl_compile.passes.emitting.emit import FILES, MEASURED

DTYPES: Mapping[ir.DataType | None, DType] = {
    ir.DataType.FLOAT: "float32",
    ir.DataType.DOUBLE: "float64",
    ir.DataType.INT32: "int32",
    ir.DataType.INT64: "int64",
    ir.DataType.UINT8: "uint8",
    ir.DataType.BOOL: "bool",
}


def graph_specs(folder: Path) -> dict[str, GraphSpec]:
    """Each graph below an artifact's folder by its name."""
    names = {folder / file: name for name, file in FILES.items()}
    return {names.get(path, path.stem): _spec(folder, path) for path in sorted(folder.rglob("*.onnx"))}


def _spec(folder: Path, path: Path) -> GraphSpec:
    graph = ir.load(path).graph
    outputs = tuple(str(value.name) for value in graph.outputs)
    return GraphSpec(
        file=path.relative_to(folder).as_posix(),
        inputs=tuple(_input(value) for value in graph.inputs),
        outputs=outputs,
        results=tuple(name for name in outputs if not name.endswith((NEXT, ACCUMULATED, MEASURED))),
        in_place=tuple(overwritable(graph)),
        kernels=bool(sparse_nodes(graph)),
    )


def _input(value: ir.Value) -> InputSpec:
    shape = [_dimension(length) for length in value.shape or ()]
    return InputSpec(str(value.name), DTYPES[value.dtype], tuple(shape))


def _dimension(length: int | ir.SymbolicDim) -> Dimension:
    return length if isinstance(length, int) else str(length.value)
