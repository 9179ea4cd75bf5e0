"""PackNet's graphs against NumPy: what a task keeps, what is pruned, and what no later step can move."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.graphs import hold, keep_statistics, pack, release
from sparcl_compile.graphs.gradients import Gradient
from sparcl_compile.graphs.packing import Packing
from sparcl_compile.interface.names import accumulator_name
from tests.support import harness

SHAPE = (5, 3)
PACKING = Packing(
    packed=(Gradient("w", SHAPE),),
    shared=(Gradient("b", (3,)), Gradient("s", ())),
    states=(("w.momentum",),),
    statistics=(("bn.mean", 2),),
)
Arrays = dict[str, harness.Array]


@pytest.mark.parametrize("build", [hold.build, pack.build, release.build, keep_statistics.build])
def test_form(build: object) -> None:
    model: ir.Model = build(PACKING)  # type: ignore[operator]
    harness.Graph(model).check_form()


def packed(task: int, tasks: int, weight: harness.Array, owner: harness.Array) -> Arrays:
    feeds = {
        "task": np.array(task),
        "w": weight,
        "w.owner": owner,
        "w.momentum": np.ones(SHAPE, np.float32),
        "accuracy.class": np.zeros((tasks, tasks)),
    }
    return harness.Graph(pack.build(PACKING))(feeds)


@pytest.mark.parametrize("tasks", [1, 2, 4, 7, 15, 20])
def test_tasks_share_all_weights_out(tasks: int) -> None:
    """Task after task, with what is drawn for the free weights in between."""
    rng, owner = np.random.default_rng(tasks), np.zeros(SHAPE, np.float32)
    size, weight = owner.size, np.zeros(SHAPE, np.float32)
    for task in range(tasks):
        weight = np.where(owner == 0, rng.normal(size=SHAPE), weight).astype(np.float32)
        found = packed(task, tasks, weight, owner)
        count = size * (task + 1) // tasks - size * task // tasks
        free = np.flatnonzero(owner == 0)
        largest = free[np.argsort(-np.abs(weight.ravel()[free]), kind="stable")[:count]]
        wanted = owner.ravel().copy()
        wanted[free] = -1
        wanted[largest] = task + 1
        np.testing.assert_array_equal(found["w.owner.next"].ravel(), wanted)
        kept = (wanted != -1).reshape(SHAPE)
        np.testing.assert_array_equal(found["w.next"], np.where(kept, weight, 0))
        np.testing.assert_array_equal(found["w.momentum.next"], kept.astype(np.float32))
        weight = found["w.next"]
        owner = harness.Graph(release.build(PACKING))({"w.owner": found["w.owner.next"]})["w.owner.next"]
        np.testing.assert_array_equal(owner, np.maximum(wanted, 0).reshape(SHAPE))
    assert (owner > 0).all()


def test_only_the_task_s_own_and_free_weights_move() -> None:
    owner = np.array([0, 1, 2, 3, -1] * 3, np.float32).reshape(SHAPE)
    ones = {accumulator_name(one.name): np.ones(one.shape, np.float32) for one in (*PACKING.packed, *PACKING.shared)}
    for task in (0, 1):
        found = harness.Graph(hold.build(PACKING))({"task": np.array(task), "w.owner": owner, **ones})
        wanted = np.isin(owner, (0, task + 1)).astype(np.float32)
        np.testing.assert_array_equal(found[f"{accumulator_name('w')}.next"], wanted)
        for one in PACKING.shared:
            np.testing.assert_array_equal(found[f"{accumulator_name(one.name)}.next"], np.full(one.shape, task == 0))


def test_statistics_have_a_row_a_task() -> None:
    rows = np.ones((3, 2), np.float32)
    feeds = {"task": np.array(1), "bn.mean": np.array([5, 6], np.float32), "bn.mean.of_tasks": rows}
    found = harness.Graph(keep_statistics.build(PACKING))(feeds)
    assert found["bn.mean.of_tasks.next"].tolist() == [[1, 1], [5, 6], [1, 1]]
