"""Operations that a method adds to the blocks of a program."""

import dataclasses
from collections.abc import Callable, Mapping

from sparcl_compile.interface.program import Block, Event, Run


def _nothing(_: str) -> Block:
    return ()


def _by_eval(name: str) -> Block:
    return (Run("eval", take=name, give=name),)


@dataclasses.dataclass(frozen=True)
class Parts:
    """Operations of a method, by the place where they stand.

    Attributes:
        begin_task: before the task's first mask update.
        current: behind the making of the current batch.
        replayed: behind the making of a replay batch, by its name.
        reference: in the place of the training on the replayed batches, before that on the current one; nothing where
            their gradients are added up.
        gradients: between the gradients of a step and the move of the parameters.
        due: behind a step, after its mask updates and removals.
        events: the events of these operations, by kind.
        end_task: before the evaluation.
        answered: what answers a batch, by its name: ``NAME.logits`` from ``NAME.x``.
    """

    begin_task: Block = ()
    current: Block = ()
    replayed: Callable[[str], Block] = _nothing
    reference: Block = ()
    gradients: Block = ()
    due: Block = ()
    events: Mapping[str, tuple[Event, ...]] = dataclasses.field(default_factory=dict)
    end_task: Block = ()
    answered: Callable[[str], Block] = _by_eval
