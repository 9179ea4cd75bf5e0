"""Operations of PackNet: tasks share the weights out among themselves."""

from collections.abc import Sequence

from sparcl_compile.interface.answers import TASK
from sparcl_compile.interface.program import Due, Event, Reset, Run, Set
from sparcl_compile.program.parts import Parts

PACKINGS = "packings"
PACKED_AT = (2, 3)
"""The share of a task at which it is pruned; the rest trains what is left (in the paper 100 epochs, and then 50)."""


def packing_parts(states: Sequence[str], statistics: Sequence[str]) -> Parts:
    """Return what PackNet adds to a program whose optimizer has these states, and whose model these statistics."""
    task = {"task": "task"}
    # AdamW divides its moments by what they lack of their means, which it counts from their first step.
    momenta = (Reset(tuple(states)), Set("count", 1)) if states else ()
    kept = (Run("keep_statistics", feeds={**task}),) if statistics else ()
    return Parts(
        begin_task=(*momenta, Run("release")),
        gradients=(Run("hold", feeds={**task}),),
        events={PACKINGS: (Event(PACKED_AT, "all", {}),)},
        due=(Due(PACKINGS, (Run("pack", feeds={**task}),)),),
        end_task=kept,
        answered=lambda name: (Run("eval_of", take=name, feeds={TASK: TASK}, give=name),),
    )
