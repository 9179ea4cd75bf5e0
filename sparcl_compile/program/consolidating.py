"""Operations of methods that change the gradients of a step: online EWC's penalty and A-GEM's projection."""

from collections.abc import Sequence

from sparcl_compile.graphs.consolidate import SQUARES
from sparcl_compile.interface.program import Block, Count, Reset, Rows, Run, Set, When
from sparcl_compile.program.batches import REPLAYING, name_of, standardised
from sparcl_compile.program.parts import Parts

ONE = "one"
"""Prefix of the values of a single sample."""


def consolidating_parts(parameters: Sequence[str], rate: str) -> Parts:
    """Return what online EWC adds to a program whose parameters and learning rate have these names."""
    score = (
        standardised(ONE),
        Run("batch", take=ONE, give=ONE),
        Run("score", take=ONE, give=ONE),
        Count("scored", rows=f"{ONE}.labels"),
    )
    squares = Reset(tuple(f"{name}.{SQUARES}" for name in parameters))
    scored: Block = (squares, Set("scored", 0), Rows("train", 1, ONE, score))
    return Parts(
        gradients=(When((REPLAYING,), (Run("pull_back", feeds={"learning_rate": rate}),)),),
        end_task=(*scored, Run("consolidate", feeds={"samples": "scored"})),
    )


def projecting_parts() -> Parts:
    """Return what A-GEM adds: the gradient of a replayed batch before that of the current one, and the projection."""
    reference = Run("train", take=name_of(0), feeds={"lazy_reset_grad": 1}, give="reference")
    return Parts(
        reference=(reference, Run("keep_reference")),
        gradients=(When((REPLAYING,), (Run("project"),)),),
    )
