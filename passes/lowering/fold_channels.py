"""The forward graph on the kept channels only."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import mask_name
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan, plan_of, set_plan
from sparcl_compile.passes.analysis.channels.spaces import Axes, elements_by_space
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import CHANNELS, LOSS
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.values import data_of
from sparcl_compile.passes.lowering.shrink_channels import shrink


@dataclasses.dataclass(frozen=True)
class FoldChannels(Pass):
    """Slice a graph with channel masks down to the units that are kept.

    1. Every space gets a fixed number of places, as many as the units it keeps. A mask update then moves units in and
       out of the places by gather and scatter, and no graph is compiled again on the device.
    2. The kept units take their places first, then the lowest of the others as padding. A place that is padding has
       mask 0, so the folded graph computes what the masked one does.
    3. Parameters, masks and running statistics are sliced on the *forward* graph. Everything that is derived from it
       (activations, gradients, accumulators, optimizer state) is then small without a rule of its own.
    4. A constant that differs from unit to unit cannot follow the units, and is refused.
    5. A graph that is folded is left alone.

    Options:
        places: by space its number of places; a space that is missing has as many as it keeps units.
    """

    phase = Phase.LOWERING
    needs = (CHANNELS,)
    before = (LOSS,)

    places: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold. Raises FieldError for a constant that differs from unit to unit."""
        plan = plan_of(model)
        if plan is None or plan.folded:
            return ir.passes.PassResult(model, False)
        folded = plan.with_places({**plan.counts, **self.places})
        if not folded.folded:
            return ir.passes.PassResult(model, False)
        _check_constants(model, plan)
        masks = {mask_name(name): plan.channels.axes[name] for name in plan.weights}
        shrink(model, dataclasses.replace(plan.channels, axes={**plan.channels.axes, **masks}), folded.chosen)
        set_plan(model, folded)
        return ir.passes.PassResult(model, True)


def _check_constants(model: ir.Model, plan: ChannelPlan) -> None:
    for name, axes in plan.channels.axes.items():
        value = model.graph.initializers[name]
        if role_of(value) is None and not _uniform(data_of(value), axes):
            problem = f"the constant {name} differs from channel to channel, and cannot follow a mask update"
            raise FieldError("", None, problem, "leave the pass out")


def _uniform(data: np.ndarray, axes: Axes) -> bool:
    """Whether all units of a space hold the same along every axis."""
    found = (part for axis, segments in axes.items() for _, part in elements_by_space(data, axis, segments))
    return all((part == part[:, :1]).all() for part in found)
