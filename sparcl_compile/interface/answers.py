"""The graphs by which a run answers test samples, and where other answers are than those of the network alone."""

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


def answering(program: Program) -> tuple[Run, ...]:
    """Return the graphs that give ``logits`` for samples ``x``, in the order in which a run's evaluation asks them."""
    tests = (one for one in operations(program.blocks["end_task"]) if isinstance(one, Rows) and one.table == "test")
    return tuple(one for rows in tests for one in rows.block if isinstance(one, Run) and one.give == rows.give)


def answers_note(program: Program) -> str:
    """Return how the answers of a run differ from those of the exported network; empty where they are the same."""
    return next((DIFFERENT[one.graph] for one in answering(program) if one.graph in DIFFERENT), "")
