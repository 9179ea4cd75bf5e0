"""The shapes of a training graph at one batch size, those of ONNX Runtime's own operators included."""

from collections.abc import Mapping

import onnx_ir as ir

from sparcl_compile.interface.names import gradient_name
from sparcl_compile.passes.core.missing_shapes import missing_shapes
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.values import BOOL, INT64

SAME_AS_INPUT: Mapping[str, tuple[int, ...]] = {
    "BatchNormInternal": (0, 3, 4, 1, 1),
    "BatchNormalizationGrad": (1, 2, 2),
    "ConvGrad": (1, 2),
    "DropoutGrad": (0,),
    "LayerNormalizationGrad": (1, 2, 2),
    "ReluGrad": (0,),
    "Scale": (0,),
}
"""Which input each output is shaped like, for operators whose shapes their builder leaves out of the graph."""

ROUNDS = 4
"""Shapes wait for each other; a chain of operators without shapes in turns of both kinds is short."""


def at_batch(model: ir.Model, batch: int) -> ir.Model:
    """A copy of a model in which the batch is a number and every shape that can be known is known.

    The batch is the first dimension of the inputs that are not state. What is missing comes from the rule of the
    operator, from a gradient's name (it is shaped like its value) or from ONNX's shape inference. A shape that stays
    unknown, or symbolic, is left so.
    """
    copy = model.clone()
    symbols = _batch_symbols(copy.graph)
    values = {str(value.name): value for value in (*copy.graph.inputs, *_outputs(copy.graph)) if value.name}
    for value in values.values():
        value.shape = _with_batch(value.shape, symbols, batch)
    for _ in range(ROUNDS):
        ruled = _apply_rules(copy.graph, values)
        for value, found in missing_shapes(copy).items():
            value.shape = value.shape if found.shape is None else found.shape
            value.type = found.type or value.type
        if not ruled:
            break
    return copy


def bytes_of(value: ir.Value) -> int | None:
    """Bytes that a value takes, or None where its shape or its type is unknown."""
    if value.shape is None or not value.shape.is_static() or value.dtype is None:
        return None
    size = 1
    for length in value.shape:
        size *= int(length)  # type: ignore[arg-type]
    return int(-(-size * value.dtype.bitwidth // 8))


def _outputs(graph: ir.Graph) -> list[ir.Value]:
    return [out for node in graph for out in node.outputs]


def _batch_symbols(graph: ir.Graph) -> set[str]:
    fed = [value.shape for value in graph.inputs if role_of(value) is None and value.shape]
    return {str(shape[0]) for shape in fed if not isinstance(shape[0], int)} - {"None"}


def _with_batch(shape: ir.Shape | None, symbols: set[str], batch: int) -> ir.Shape | None:
    return None if shape is None else ir.Shape([batch if str(d) in symbols else d for d in shape])


def _apply_rules(graph: ir.Graph, values: Mapping[str, ir.Value]) -> bool:
    found = [_copy_shape(source, out) for source, out in _rules(graph, values) if not _known(out)]
    return any(found)


def _rules(graph: ir.Graph, values: Mapping[str, ir.Value]) -> list[tuple[ir.Value | None, ir.Value]]:
    pairs: list[tuple[ir.Value | None, ir.Value]] = []
    initializers = graph.initializers
    for node in graph:
        sources = SAME_AS_INPUT.get(node.op_type, ())
        pairs += [(node.inputs[i], out) for i, out in zip(sources, node.outputs, strict=False) if i < len(node.inputs)]
        if node.op_type == "InPlaceAccumulatorV2":
            node.outputs[0].shape, node.outputs[0].type = ir.Shape([1]), BOOL
        if node.op_type == "ConcatTraining" and len(node.outputs) == 2:
            node.outputs[1].shape, node.outputs[1].type = ir.Shape([len(node.inputs)]), INT64
    suffix = gradient_name("")
    for name, out in values.items():
        whole = name.removesuffix(suffix)
        pairs += [(values.get(whole) or initializers.get(whole), out)] if whole != name else []
    return pairs


def _known(value: ir.Value) -> bool:
    return bytes_of(value) is not None


def _copy_shape(source: ir.Value | None, out: ir.Value) -> bool:
    if source is None or not _known(source):
        return False
    out.shape, out.type = source.shape, source.type
    return True
