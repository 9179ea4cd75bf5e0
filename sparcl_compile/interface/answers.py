"""The operations by which a run answers test samples, and where that is not with the network alone."""

import dataclasses
from collections.abc import Mapping

from sparcl_compile.interface.program import Program, Rows, Run, operations

TASK = "of"
"""The input of a graph that holds a network of each task: the number of the task, from 0."""
DIFFERENT: Mapping[str, str] = {
    "nearest_mean": "the accuracies of a run are those of the nearest mean of exemplars, by which predict and Learner "
    "answer too; the network that sparcl-export writes gives its own logits, whose accuracy is another",
    "eval_of": "the accuracies of a run are those of the network of each sample's own task, which predict gives with "
    "task=N; without it, and in what sparcl-export writes, all samples are answered by the last task's network",
}
"""By the graph that answers a run's test samples what is to be said where that is not the network as it stands."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """How a run's evaluation makes ``NAME.logits`` from ``NAME.raw``.

    Attributes:
        name: of the batch.
        at_most: samples in one.
        runs: the graphs with their feeds, in order.
    """

    name: str
    at_most: int
    runs: tuple[Run, ...]


def answering(program: Program) -> Answers | None:
    """Return how a run's evaluation answers test samples; None where it walks over none.

    The graph that counts the right answers gives no value, and is left out.
    """
    for one in operations(program.blocks["end_task"]):
        if isinstance(one, Rows) and one.table == "test":
            runs = tuple(run for run in one.block if isinstance(run, Run) and (run.give or run.results))
            return Answers(one.give, one.at_most, runs)
    return None


def answers_note(program: Program) -> str:
    """Return how the answers of a run differ from those of the exported network; empty where they are the same."""
    answers = answering(program)
    return next((DIFFERENT[one.graph] for one in answers.runs if one.graph in DIFFERENT), "") if answers else ""
