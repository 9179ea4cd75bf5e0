"""Removal of channels whose values no node uses."""

import collections
import dataclasses
import json

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.analysis.channels.analyse import analyse
from sparcl_compile.passes.analysis.channels.spaces import Channels, elements_by_space
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import CONSTANT, HELD, LOSS
from sparcl_compile.passes.core.layers import weighted_layers
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.lowering.shrink_channels import shrink

REMOVED_KEY = "sparcl.removed_channels"
"""Metadata key of the model: the number of units that each space has lost, as JSON."""


@dataclasses.dataclass(frozen=True)
class RemoveIdleChannels(Pass):
    """Remove the units (channels, heads) that cannot change the logits.

    1. A unit is idle when every weight that reads it multiplies it by zeros alone: then it may have any value. This
       needs no sparsity scheme: the padding of folded channels is idle, and so is a channel whose readers an
       unstructured mask has emptied by chance.
    2. A weight reads a space on each of its axes that is not the one along which it produces units. A depthwise weight
       reads nothing: its channels pass through.
    3. Units go together from all tensors of their space (``passes/channels``), so the rest is computed as before. What
       the dependency analysis cannot prove stays whole.
    4. The weights of a removed unit may have been the last readers of another: repeat until none is idle.
    5. A space keeps at least one unit, its first: a tensor without elements is no valid convolution.
    """

    phase = Phase.EXPORTING
    needs = (HELD, CONSTANT)
    before = (LOSS,)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Remove idle units from a forward graph with constant weights."""
        removed: collections.Counter[str] = collections.Counter()
        while lost := _shrink_once(model):
            removed.update(lost)
        if removed:
            model.metadata_props[REMOVED_KEY] = json.dumps(removed)
        return ir.passes.PassResult(model, bool(removed))


def removed_channels(model: ir.Model) -> dict[str, int]:
    """Number of units that each space has lost to the pass."""
    return dict(json.loads(model.metadata_props.get(REMOVED_KEY, "{}")))


def _shrink_once(model: ir.Model) -> dict[str, int]:
    channels = analyse(model)
    used = read_units(model, channels)
    keep = {space: np.flatnonzero(flags) for space, flags in used.items() if not flags.all()}
    if keep:
        shrink(model, channels, keep)
    return {space: channels.size(space) - len(units) for space, units in keep.items()}


def read_units(model: ir.Model, channels: Channels) -> dict[str, np.ndarray]:
    """By space which units some weight reads with a number other than 0; bool [size], at least one of them True.

    A space that no weight reads is left out: something else must read it.
    """
    used: dict[str, np.ndarray] = {}
    layers = (weight for _, weight in weighted_layers(model.graph))
    weights = {str(weight.name): weight.const_value for weight in layers if weight.const_value is not None}
    reading = [(name, axis) for name in weights for axis in channels.reading(name)]
    for name, axis in reading:
        for space, part in elements_by_space(weights[name].numpy(), axis, channels.axes[name][axis]):
            used[space] = np.logical_or(used.get(space, False), part.any(axis=(0, 2, 3)))
    for units in used.values():
        units[0] = units[0] or not units.any()
    return used
