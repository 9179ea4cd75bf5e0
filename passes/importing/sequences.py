"""Pieces of a tensor that a file takes out of a list: so PyTorch's exporter writes ``chunk`` and ``unbind``."""

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import Names, int_attribute
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.importing.naming import ORIGIN


def take_apart(graph: ir.Graph) -> None:
    """A SequenceAt at a known place of a SplitToSequence becomes the Slice or the Gather of the same piece.

    All other lists of tensors are left alone: they are refused by name.
    """
    names = Names(graph)
    for node in list(graph):
        split = node.inputs[0].producer() if node.op_type == "SequenceAt" and node.inputs[0] is not None else None
        if split is None or split.op_type != "SplitToSequence":
            continue
        insert = Inserter(ORIGIN, graph, names).before(node)
        piece = _piece(insert, split, _constant(node.inputs[1]))
        if piece is not None:
            insert.replace(piece)
    unread = [n for n in graph if n.op_type == "SplitToSequence" and not n.outputs[0].uses()]
    graph.remove([node for node in unread if not node.outputs[0].is_graph_output()], safe=True)


def _piece(e: Inserter, split: ir.Node, place: np.ndarray | None) -> ir.Value | None:
    if place is None or place.min() < 0:
        return None
    at, axis = int(place.reshape(-1)[0]), int_attribute(split, "axis", 0)
    if len(split.inputs) == 1 and not int_attribute(split, "keepdims", 1):
        return e.op("Gather", split.inputs[0], e.const("place", at, np.int64), axis=axis)
    bounds = _bounds(split, at)
    if bounds is None:
        return None
    start, end = bounds
    return e.op("Slice", split.inputs[0], e.ints("start", [start]), e.ints("end", [end]), e.ints("axis", [axis]))


def _bounds(split: ir.Node, at: int) -> tuple[int, int] | None:
    """Where the piece begins and ends; a Slice ends with its axis, as the last of equal pieces does."""
    if len(split.inputs) == 1:
        return at, at + 1
    lengths = _constant(split.inputs[1])
    if lengths is None:
        return None
    if lengths.ndim == 0:
        return at * int(lengths), (at + 1) * int(lengths)
    return None if at >= len(lengths) else (int(lengths[:at].sum()), int(lengths[: at + 1].sum()))


def _constant(value: ir.Value | None) -> np.ndarray | None:
    """What an initializer or a Constant holds, None for any other value."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())
