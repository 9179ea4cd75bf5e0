"""The output channels that ``--gradient-scheme channel`` updates."""

import dataclasses
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.passes.analysis.channels.plan import ChannelPlan
from sparcl_compile.passes.analysis.rows import kept_rows, output_axes
from sparcl_compile.passes.schemes.density import count
from sparcl_compile.plan.layers import Layer
from sparcl_compile.settings.options import CompileOptions


@dataclasses.dataclass(frozen=True)
class Rows:
    """The updated output channels of one masked weight.

    Attributes:
        axis: of the weight, on which the channels lie.
        kept: how many are updated.
        live: how many may have kept weights: all, but under channel masks those of the kept units.
    """

    axis: int
    kept: int
    live: int

    @property
    def share(self) -> float:
        """The mean part of the kept weights that is in the updated channels: those without a kept weight come last."""
        return min(1.0, self.kept / self.live)


def rows_of(
    masked: ir.Model, layers: Sequence[Layer], plan: ChannelPlan | None, options: CompileOptions
) -> dict[str, Rows]:
    """The channels of every masked weight, by name; empty when the gradient masks choose single weights."""
    if options.gradient_scheme != "channel":
        return {}
    axes = output_axes(masked.graph)
    kept_units = plan.with_places(plan.counts) if plan else None
    found = {}
    for layer in layers:
        axis = axes[layer.weight]
        channels = layer.shape[axis]
        stored = plan.stored_shape(layer.weight)[axis] if plan else channels
        live = kept_units.stored_shape(layer.weight)[axis] if kept_units else channels
        kept = min(stored, kept_rows(channels, options.effective_gradient_sparsity))
        found[layer.weight] = Rows(axis, kept, live)
    return found


def updated_elements(layers: Sequence[Layer], rows: Mapping[str, Rows]) -> tuple[Layer, ...]:
    """The layers with ``gradient_keep`` as the mean number of kept weights in that many channels."""
    return tuple(
        dataclasses.replace(layer, gradient_keep=count(rows[layer.weight].share, layer.base)) for layer in layers
    )
