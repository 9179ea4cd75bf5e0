"""The output channels that ``--gradient-scheme channel`` updates, for the manifest and the mask graphs."""

import dataclasses
from collections.abc import Mapping, Sequence

from sparcl_compile.interface.names import Role, gradient_rows_name
from sparcl_compile.interface.specs import StateSpec
from sparcl_compile.passes.analysis.rows import kept_rows, output_axes, output_channels
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.schemes.density import count
from sparcl_compile.plan.compiled import Compiled
from sparcl_compile.plan.layers import Layer
from sparcl_compile.settings.options import CompileOptions


@dataclasses.dataclass(frozen=True)
class Rows:
    """The updated output channels of one masked weight.

    Attributes:
        axis: of the weight, on which the channels lie.
        kept: how many are updated.
        stored: how many folding has left.
        channels: how many there are.
        computed: whether the training graph computes no others.
    """

    axis: int
    kept: int
    stored: int
    channels: int
    computed: bool

    @property
    def share(self) -> float:
        """The part of the weight gradient that is chosen, pruned weights included."""
        return self.kept / self.channels

    @property
    def computed_share(self) -> float:
        """The part of the weight gradient that is computed: all that is stored where the rows cannot be cut."""
        return (self.kept if self.computed else self.stored) / self.channels


def rows_of(compiled: Compiled, options: CompileOptions, layers: Sequence[Layer]) -> dict[str, Rows]:
    """The channels of every masked weight, by name; empty when the gradient masks choose single weights."""
    if options.gradient_scheme != "channel":
        return {}
    axes, stored = output_axes(compiled.forward.graph), output_channels(compiled.forward.graph)
    computed = {value.name for value in values_with_role(compiled.training, Role.GRADIENT_ROWS)}
    found = {}
    for layer in layers:
        axis = axes[layer.weight]
        channels, left = layer.shape[axis], stored[layer.weight]
        kept = min(left, kept_rows(channels, options.gradient_sparsity))
        found[layer.weight] = Rows(axis, kept, left, channels, gradient_rows_name(layer.weight) in computed)
    return found


def updated_elements(layers: Sequence[Layer], rows: Mapping[str, Rows]) -> tuple[Layer, ...]:
    """The layers with ``gradient_keep`` as the mean number of kept weights in that many channels."""
    return tuple(
        dataclasses.replace(layer, gradient_keep=count(rows[layer.weight].share, layer.base)) if rows else layer
        for layer in layers
    )


def row_specs(rows: Mapping[str, Rows]) -> list[StateSpec]:
    """The state tensors of the weights whose gradients are computed by rows."""
    return [
        StateSpec(gradient_rows_name(weight), Role.GRADIENT_ROWS, "int64", (one.kept,), "file", True, None)
        for weight, one in rows.items()
        if one.computed
    ]
