"""Masked layers, as the two graphs over them see them."""

import dataclasses
import math

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.interface.names import Role, measured_names
from sparcl_compile.passes.schemes.cuts import Cut, unstructured

NOT_KEPT = -1.0
"""Below every importance, which is a sum of magnitudes."""


@dataclasses.dataclass(frozen=True)
class MaskedLayer:
    """One masked weight, or one compressed weight: its kept values and where they belong (docs/algorithm.md).

    Attributes:
        name: the weight's name.
        shape: its static shape; the full shape where it is compressed.
        cut: its groups under a scheme, in this shape; None for single weights.
        output_axis: the axis of its output channels. A compressed weight [I, O], where it is 1, is stored as [O, I].
        rows: how many output channels the training graph computes gradients of; None for all.
        places: how many values are stored where it is compressed; None where it is masked.

    Raises:
        ValueError: there is no place, there are more places than weights, or the outputs of a compressed weight are
            not its first axis, nor the second of two.
    """

    name: str
    shape: tuple[int, ...]
    cut: Cut | None = None
    output_axis: int = 0
    rows: int | None = None
    places: int | None = None

    def __post_init__(self) -> None:
        if self.places is None:
            return
        if not 1 <= self.places <= self.size:
            raise ValueError(f"{self.name}: {self.places} places for {self.size} weights; give 1 to {self.size}")
        if self.output_axis != 0 and (self.output_axis, len(self.shape)) != (1, 2):
            raise ValueError(f"{self.name}: outputs on axis {self.output_axis}; a compressed weight has them first")

    @property
    def groups(self) -> Cut:
        """The groups of weights that are removed and grown together."""
        return self.cut or unstructured(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of the weight as it is stored, and of its gradients and optimizer states."""
        return self.shape if self.places is None else (self.places,)


def gradients(b: Builder, layer: MaskedLayer) -> tuple[ir.Value, ir.Value]:
    """Add the state ``W.g1`` and ``W.g2``, the measured gradients of a layer."""
    first, second = (b.state(name, FLOAT, layer.stored, Role.MEASURED) for name in measured_names(layer.name))
    return first, second


def weighted(b: Builder, factor: float, gradient: ir.Value) -> ir.Value:
    """``factor * |gradient|`` in float32."""
    return b.op.Mul(b.op.Abs(gradient), float(factor))


def importance_of(b: Builder, layer: MaskedLayer, weight: ir.Value, alpha: float, beta: float) -> ir.Value:
    """CWI ``(|w| + alpha * |g1|) + beta * |g2|`` of every stored weight; adds the state ``W.g1`` and ``W.g2``."""
    first, second = gradients(b, layer)
    current = b.op.Add(b.op.Abs(weight), weighted(b, alpha, first))
    return b.op.Add(current, weighted(b, beta, second))


def flat(b: Builder, value: ir.Value) -> ir.Value:
    """A value as a vector."""
    return b.op.Reshape(value, [-1])


def element(b: Builder, counts: ir.Value, layer: int) -> ir.Value:
    """A layer's entry of a feed int64 [L]: int64 []."""
    return b.op.Gather(counts, layer)
