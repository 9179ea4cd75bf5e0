"""Masked layers, as the two graphs over them see them."""

import dataclasses
import math

import numpy as np
import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.interface.names import Role, measured_names
from sparcl_compile.passes.schemes.cuts import Cut, unstructured

Scores = tuple[ir.Value, ir.Value | None]
"""The importance of every stored weight, and the size of its gradient where that decides what grows."""
NOT_KEPT = -1.0
"""Below every importance, which is a sum of magnitudes."""
TINY = float(np.finfo(np.float32).tiny)
"""The smallest float32 that is not subnormal."""


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
        all_measured: whether the gradients of weights that have no place are measured as well.

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
    all_measured: bool = False

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
        """The shape of the weight as it is stored, and of its accumulator and optimizer states."""
        return self.shape if self.places is None else (self.places,)

    @property
    def measured(self) -> tuple[int, ...]:
        """The shape of its measured gradients: one for each place, or for each weight in the order of the places."""
        return (self.size,) if self.all_measured else self.stored


@dataclasses.dataclass(frozen=True)
class Rule:
    """Scores of a mask update: the importance by which weights are removed, and what those that grow are chosen by.

    Attributes:
        alpha: factor of ``|g1|`` in the importance.
        beta: factor of ``|g2|`` there; None where ``g1`` is the only gradient.
        by_gradient: whether what grows has the largest gradient ``|g1 + g2|``, and is not drawn.
        by_product: whether the importance is ``|w * g1|`` and nothing else: the gradient by the mask, where that is 1
            (SNIP, Lee et al., ICLR 2019, equation 5).
        same_norm: whether the weights that stay are scaled to the norm that all had before.
        decay: of the weights that are pruned but stay as they are, until a step keeps them again (SR-STE, Zhou et al.,
            ICLR 2021, equation 9); None where pruned weights are 0.
    """

    alpha: float
    beta: float | None
    by_gradient: bool = False
    by_product: bool = False
    same_norm: bool = False
    decay: float | None = None


def gradients(b: Builder, layer: MaskedLayer) -> tuple[ir.Value, ir.Value]:
    """Add the state ``W.g1`` and ``W.g2``, the measured gradients of a layer."""
    first, second = (b.state(name, FLOAT, layer.measured, Role.MEASURED) for name in measured_names(layer.name))
    return first, second


def weighted(b: Builder, factor: float, gradient: ir.Value) -> ir.Value:
    """``factor * |gradient|`` in float32."""
    return b.op.Mul(b.op.Abs(gradient), float(factor))


def not_subnormal(b: Builder, magnitude: ir.Value) -> ir.Value:
    """Magnitudes, with 0 for the subnormal ones: rounding makes those where another runtime has 0, or flushes them."""
    return b.op.Where(b.op.Less(magnitude, TINY), 0.0, magnitude)


def importance_of(b: Builder, layer: MaskedLayer, weight: ir.Value, alpha: float, beta: float) -> ir.Value:
    """CWI ``(|w| + alpha * |g1|) + beta * |g2|`` of every stored weight; adds the state ``W.g1`` and ``W.g2``."""
    return _cwi(b, weight, gradients(b, layer), alpha, beta)


def _cwi(b: Builder, weight: ir.Value, measured: tuple[ir.Value, ir.Value], alpha: float, beta: float) -> ir.Value:
    current = b.op.Add(b.op.Abs(weight), weighted(b, alpha, measured[0]))
    return b.op.Add(current, weighted(b, beta, measured[1]))


def scores_of(b: Builder, layer: MaskedLayer, weight: ir.Value, rule: Rule) -> Scores:
    """The scores of every weight; adds the state ``W.g1`` and ``W.g2`` where the rule reads them.

    Args:
        b: the graph.
        layer: the layer.
        weight: its weights, in the shape of the measured gradients.
        rule: the scores.
    """
    op = b.op
    if rule.beta is not None:
        first, second = gradients(b, layer)
        importance = _cwi(b, weight, (first, second), rule.alpha, rule.beta)
        return importance, not_subnormal(b, op.Abs(op.Add(first, second))) if rule.by_gradient else None
    if not (rule.alpha or rule.by_gradient or rule.by_product):
        return op.Abs(weight), None
    only = b.state(measured_names(layer.name)[0], FLOAT, layer.measured, Role.MEASURED)
    if rule.by_product:
        return op.Abs(op.Mul(weight, only)), None
    importance = op.Add(op.Abs(weight), weighted(b, rule.alpha, only)) if rule.alpha else op.Abs(weight)
    return importance, not_subnormal(b, op.Abs(only)) if rule.by_gradient else None


def flat(b: Builder, value: ir.Value) -> ir.Value:
    """A value as a vector."""
    return b.op.Reshape(value, [-1])


def element(b: Builder, counts: ir.Value, layer: int) -> ir.Value:
    """A layer's entry of a feed int64 [L]: int64 []."""
    return b.op.Gather(counts, layer)
