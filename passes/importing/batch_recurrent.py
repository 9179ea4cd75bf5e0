"""The first states of a recurrent layer, which exporters write for the file's batch."""

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.importing.batch_trace import Trace

FIRST_STATES = (5, 6)
"""Numbers of the inputs that hold them, [directions, batch, units]."""
RANK, BATCH_AXIS = 3, 1


def repair_recurrent(t: Trace, node: ir.Node) -> None:
    """First states of zeros are the layer's own; others that are constants are repeated for every row.

    Raises ModelError for a constant that differs from row to row.
    """
    for slot in FIRST_STATES:
        value = node.inputs[slot] if slot < len(node.inputs) else None
        if value is None or role_of(value):
            continue
        if _is_zero(t, value):
            node.replace_input_with(slot, None)
        else:
            _repeat(t, node, slot)


def _is_zero(t: Trace, value: ir.Value) -> bool:
    """Whether a value is zeros for every batch."""
    found = [world.data(value) for world in (t.worlds.small, t.worlds.large)]
    return all(data is not None and not data.any() for data in found)


def _repeat(t: Trace, node: ir.Node, slot: int) -> None:
    x, data = node.inputs[0], t.worlds.constant(node.inputs[slot])
    if data is None or data.ndim != RANK or t.axis(x) != BATCH_AXIS:
        return
    row = np.take(data, [0], axis=BATCH_AXIS)
    if not np.array_equal(np.broadcast_to(row, data.shape), data):
        raise ModelError(
            f"{node.op_type} ({node.name}): its first state has another value in each row of the batch; "
            "export the model with one state for all rows"
        )
    target = t.lengths_with_batch(node, x, BATCH_AXIS, [len(row)], [row.shape[-1]])
    one = t.at(node).const("row", row, data.dtype.type)
    node.replace_input_with(slot, t.visited(t.at(node).op("Expand", one, target)))
