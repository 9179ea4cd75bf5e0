import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import check_loss
from sparcl_compile.interface.names import Role
from tests.support import harness

SUMS_IN_ANY_ORDER = 1e-15
LOSSES = st.lists(st.floats(0, 2**20, width=32), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def graph() -> harness.Graph:
    return harness.Graph(check_loss.build(), rtol=SUMS_IN_ANY_ORDER)


def step(graph: harness.Graph, losses: list[float], total: float = 0.0, steps: int = 0) -> dict[str, harness.Array]:
    feeds = {"losses": np.array(losses, np.float32), "epoch.loss": np.array(total), "epoch.steps": np.array(steps)}
    return graph(feeds)


def test_form(graph: harness.Graph) -> None:
    graph.check_form()
    state = {"epoch.loss": "double[]", "epoch.steps": "int64[]"}
    results = {"loss": "double[]", "finite": "bool[]", "mean": "double[]"}
    assert graph.signature() == (
        {"losses": "float[k]", **state},
        {**results, **{f"{n}.next": t for n, t in state.items()}},
    )
    assert graph.roles == dict.fromkeys(state, Role.RESULT)


@given(st.lists(LOSSES, min_size=1, max_size=6))
def test_an_epoch(graph: harness.Graph, epoch: list[list[float]]) -> None:
    total, steps = np.array(0.0), np.array(0)
    for losses in epoch:
        found = step(graph, losses, float(total), int(steps))
        # float32 numbers are added exactly as long as they are of like size.
        assert float(found["loss"]) == pytest.approx(math.fsum(losses), rel=SUMS_IN_ANY_ORDER)
        assert bool(found["finite"])
        total, steps = found["epoch.loss.next"], found["epoch.steps.next"]
    assert int(steps) == len(epoch)
    wanted = math.fsum(math.fsum(losses) for losses in epoch) / len(epoch)
    assert float(found["mean"]) == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize("losses", [[math.nan], [1.0, math.inf], [-math.inf, 1.0], [math.nan, 2.0, math.inf]])
def test_what_is_no_number_is_noticed(graph: harness.Graph, losses: list[float]) -> None:
    assert not bool(step(graph, losses)["finite"])


def test_an_infinity_does_not_hide_behind_its_opposite() -> None:
    # NumPy, under onnx.reference, warns of it: one implementation only.
    session = harness.session(check_loss.build())
    feeds = {"losses": np.array([np.inf, -np.inf], np.float32), "epoch.loss": np.array(1.0), "epoch.steps": np.array(1)}
    assert session.run(["finite"], feeds) == [np.False_]


def test_large_losses_are_still_numbers(graph: harness.Graph) -> None:
    largest = float(np.finfo(np.float32).max)
    found = step(graph, [largest] * 3)
    assert bool(found["finite"])
    assert float(found["loss"]) == 3 * largest


def test_losses_in_float64_are_refused(graph: harness.Graph) -> None:
    with pytest.raises(Exception, match="Unexpected input data type"):
        graph({"losses": np.array([1.0]), "epoch.loss": np.array(0.0), "epoch.steps": np.array(0)})
