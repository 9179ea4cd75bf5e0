"""Distributions of an overall sparsity over the layers: one function each, in one table."""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.ranges import check_choice, check_share
from sparcl_compile.passes.schemes.axes import INPUT, OUTPUT

Shapes = Mapping[str, Sequence[int]]

MOST_PARTS = 10**6
"""The largest denominator of a share. One of more parts is rounded to these, by less than an element of most layers."""


def count(share: float, total: int) -> int:
    """The number of elements that ``share`` of ``total`` stands for: halves round up.

    A share is the fraction that it is meant to be: in binary ``1 - 0.9`` is less than a tenth, and of 15 less than one
    and a half.
    """
    return math.floor(Fraction(share).limit_denominator(MOST_PARTS) * total + Fraction(1, 2))


def least(shape: Sequence[int], axes: str, classes: int) -> int:
    """The number of weights that a layer must keep for the classes to be told apart.

    With k weights a layer passes on at most k numbers a position, whatever their places are. It needs as many as there
    are classes, or as it has channels on its narrower side where those are fewer. One weight a layer is not enough: at
    5 of 4,608 weights the digits' classes are guessed (10 %), at 23 they are learned (58 %). One weight for each output
    channel is more than it takes, since masks move and unread channels do no harm.

    Args:
        shape: of the weight.
        axes: the meaning of its axes (``axes_of``).
        classes: how many logits there are.
    """
    return min(classes, *(shape[axes.index(axis)] for axis in (OUTPUT, INPUT)))


def check_kept(kept: Mapping[str, int], needed: Mapping[str, int], shapes: Shapes, sparsity: float) -> None:
    """Refuse layers that keep fewer weights than ``least``; raises FieldError, which names the first of them."""
    few = [name for name in shapes if kept[name] < needed[name]]
    if not few:
        return
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    problem = (
        f"layer {few[0]} would keep {kept[few[0]]} of {sizes[few[0]]} weights, and learning takes {needed[few[0]]}"
    )
    enough = max(needed[name] / size for name, size in sizes.items())
    digits = math.floor(10_000 * (1.0 - enough)) / 10_000
    raise FieldError("sparsity", sparsity, problem, f"give less, for single weights in equal shares at most {digits}")


def uniform(shapes: Shapes, sparsity: float) -> dict[str, float]:
    """Every layer keeps the same share 1 - sparsity."""
    return dict.fromkeys(shapes, 1.0 - sparsity)


def erk(shapes: Shapes, sparsity: float) -> dict[str, float]:
    """Erdos-Renyi-Kernel densities (Evci et al., RigL, ICML 2020, section 3).

    A layer's density is proportional to ``sum(dims) / prod(dims)``, so small layers stay denser. Layers
    that would exceed 1 are kept whole and the rest is scaled again until the overall density holds.
    """
    raw = {name: sum(shape) / math.prod(shape) for name, shape in shapes.items()}
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    budget = (1.0 - sparsity) * sum(sizes.values())
    whole: set[str] = set()
    while True:
        free = budget - sum(sizes[name] for name in whole)
        spread = sum(raw[name] * sizes[name] for name in shapes if name not in whole)
        scale = free / spread if spread else 0.0
        over = {name for name in shapes if name not in whole and raw[name] * scale > 1.0}
        if not over:
            return {name: 1.0 if name in whole else raw[name] * scale for name in shapes}
        whole |= over


DISTRIBUTIONS: Mapping[str, Callable[[Shapes, float], dict[str, float]]] = {"uniform": uniform, "erk": erk}


def densities(shapes: Shapes, sparsity: float, distribution: str) -> dict[str, float]:
    """The density of each layer: ``{weight name: share kept}``, every value in (0, 1].

    Raises:
        FieldError: sparsity is outside [0, 1) or the distribution is unknown.
    """
    check_share("sparsity", sparsity)
    check_choice("distribution", distribution, DISTRIBUTIONS)
    return DISTRIBUTIONS[distribution](shapes, sparsity)
