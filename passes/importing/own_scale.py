"""Whether a model scales its samples itself, by the constants that stand between its input and its first layer."""

import dataclasses

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import OWN_SCALE
from sparcl_compile.passes.core.edit import array_of
from sparcl_compile.passes.core.model_input import input_of, note_input
from sparcl_compile.passes.importing import remarks
from sparcl_compile.passes.importing.roles import ELEMENTWISE, raw_values

LIMIT = 16.0
"""Samples of mean 0 and deviation 1 are no input of a model that makes them so much smaller, or moves them so far."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """What a model makes of its samples: the smallest factor of a channel, and the largest value that a 0 becomes."""

    factor: float = 1.0
    shift: float = 0.0


def note_own_scale(model: ir.Model) -> None:
    """Note how samples have to come where a model scales them itself, as behind a Rescaling of Keras.

    Values of bytes or of physical units are meant where scaling leaves nothing of normalised ones: samples are fed as
    they are. Where it changes them a little, both may be meant, and the report says how to choose.
    """
    found = [scale for scale in _scales(model.graph) if scale != Scale()]
    if not found or input_of(model).raw:
        return
    if any(scale.factor * LIMIT < 1 or scale.shift > LIMIT for scale in found):
        note_input(model, raw=True)
        remarks.note(model, "the model scales its samples itself: they are fed as they are, not normalised")
        return
    remarks.note(model, OWN_SCALE)


def _scales(graph: ir.Graph) -> list[Scale]:
    """The scales of all values that are the scaled input and that something else reads."""
    raw = raw_values(graph)
    scales: dict[ir.Value | None, Scale] = dict.fromkeys(graph.inputs, Scale())
    for node in graph:
        if node.outputs[0] in raw:
            scales[node.outputs[0]] = _behind(node, scales)
    return [scale for value, scale in scales.items() if value is not None and _is_read(value, raw)]


def _is_read(value: ir.Value, raw: set[ir.Value | None]) -> bool:
    return any(usage.node.outputs[0] not in raw for usage in value.uses())


def _behind(node: ir.Node, scales: dict[ir.Value | None, Scale]) -> Scale:
    """The scale of a node's output: only constants of one value, or of one a channel or column, scale samples."""
    before = next((scales[value] for value in node.inputs if value in scales), Scale())
    constant = next((data for data in map(array_of, node.inputs) if data is not None), None)
    if node.op_type not in ELEMENTWISE or constant is None or sum(length > 1 for length in constant.shape) > 1:
        return before
    sizes = np.abs(constant[constant != 0])
    if not sizes.size:
        return before
    if node.op_type == "Mul":
        return Scale(before.factor * float(sizes.min()), before.shift * float(sizes.max()))
    if node.op_type == "Div":
        return Scale(before.factor / float(sizes.max()), before.shift / float(sizes.min()))
    return Scale(before.factor, before.shift + float(sizes.max()))
