"""The notation of a target: the passes of each phase, and the copies of the graph that later phases read."""

import enum
from collections.abc import Mapping, Sequence

from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.phases import Phase


class Product(enum.Enum):
    """A copy of the graph that is kept where it stands among the passes."""

    MASKED = "The masked forward graph before it is lowered: sizes, costs and channels are counted in it."
    FORWARD = "The forward graph as the artifact holds it, with its data: masked, and lowered where that was asked."
    WHOLE = "The training graph that still gives all gradients: a run measures with it."


Step = type[Pass] | Product
Steps = Mapping[Phase, Sequence[Step]]
"""The steps of each phase, in order."""


def only(wanted: bool, *steps: Step) -> Sequence[Step]:
    """The steps where they are wanted, and none otherwise."""
    return steps if wanted else ()


def in_order(steps: Steps) -> list[Step]:
    """All steps, one phase after another."""
    return [step for phase in steps.values() for step in phase]


def pass_names(steps: Steps) -> list[str]:
    """The names of all passes in order."""
    return [step.name for step in in_order(steps) if not isinstance(step, Product)]
