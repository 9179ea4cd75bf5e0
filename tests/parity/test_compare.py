from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity import tape
from tests.parity.compare import GraphDifference, apart, compare, graphs, last, of_trace

RUN = [
    ("1/order", np.arange(4)),
    ("2/loss", np.float32(1.0)),
    ("2/mean", 1.0),
    ("state:mask", np.ones(3, np.float32)),
    ("3/loss", np.float32(0.5)),
    ("state:mask", np.array([1, 0, 1], np.float32)),
    ("4/class_il", 61.0),
]


def changed(place: int, value: Any) -> list[tuple[str, Any]]:
    return [*RUN[:place], (RUN[place][0], value), *RUN[place + 1 :]]


def test_a_run_is_equal_to_itself() -> None:
    found = compare(RUN, RUN, 2)
    assert (found.steps, found.unequal, found.loss) == (2, "", 0.0)


def test_a_loss_may_differ_and_by_how_much_is_told() -> None:
    found = compare(changed(4, np.float32(0.75)), RUN, 2)
    assert (found.unequal, found.loss) == ("", 0.25)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, np.array([0, 2, 1, 3])),
        (0, np.arange(4, dtype=np.int32)),
        (0, np.arange(4).reshape(2, 2)),
        (3, np.array([1, 1, 0], np.float32)),
    ],
)
def test_an_order_or_a_mask_may_not(place: int, value: Any) -> None:
    step = sum(name.endswith("loss") for name, _ in RUN[:place])
    assert compare(changed(place, value), RUN, 2).unequal == f"{RUN[place][0]} behind step {step}"


def test_the_first_difference_is_named() -> None:
    both = [("1/order", np.zeros(4)), *changed(3, np.zeros(3))[1:]]
    assert compare(both, RUN, 2).unequal == "1/order behind step 0"


def test_what_comes_behind_the_steps_is_not_compared() -> None:
    assert compare(changed(5, np.zeros(3, np.float32)), RUN, 2).unequal == ""


def test_numbers_that_follow_from_losses_are_not_held_to_bits() -> None:
    assert compare(changed(2, 1.5), RUN, 2).unequal == ""


def test_a_run_that_ends_early_is_not_equal() -> None:
    assert compare(RUN[:3], RUN, 2).unequal == "the run ends behind step 1"
    assert compare([], RUN, 2).unequal == "the run ends behind step 0"


def test_another_call_is_not_equal() -> None:
    assert compare([("9/loss", 1.0), *RUN[1:]], RUN, 2).unequal == "9/loss behind step 0"


@pytest.mark.parametrize(
    ("one", "two", "wanted"),
    [
        (1.0, 1.25, 0.25),
        (None, None, 0.0),
        (np.array([1, np.inf]), np.array([1, np.inf]), 0.0),
        (np.zeros(0), np.zeros(0), 0.0),
        (np.zeros(2), np.zeros(3), np.inf),
    ],
)
def test_how_far_apart(one: Any, two: Any, wanted: float) -> None:
    assert apart(one, two) == wanted


def test_a_nan_on_one_side_counts() -> None:
    assert np.isnan(apart(None, 1.0))
    assert np.isnan(compare(changed(4, np.nan), RUN, 2).loss)


def test_a_trace_gives_its_calls_in_order() -> None:
    calls = [
        {"graph": "order", "at": [0, 0, 0], "order": [1, 0]},
        {"graph": "check_loss", "at": [0, 0, 0], "loss": 2.0},
    ]
    assert list(of_trace({"calls": calls})) == [("order/order", [1, 0]), ("check_loss/loss", 2.0)]


def test_the_last_of_a_kind() -> None:
    assert last(RUN, "loss") == 0.5
    assert last(RUN, "nothing") is None


PROFILES = {"order": "equal", "update_masks": "ranked", "train": "close"}


def compared(tmp_path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> list[GraphDifference]:
    tape.write_results(tmp_path / "found", found)
    tape.write_results(tmp_path / "wanted", wanted)
    with tape.Writer(tmp_path / "wanted") as writer:
        for graph, profile in PROFILES.items():
            writer.line("graph", graph, f"{graph}.onnx", 0, profile)
    return graphs(tmp_path / "found", tmp_path / "wanted")


def test_most_graphs_promise_bits(tmp_path: Path) -> None:
    wanted = {"order/order": np.arange(3), "train/loss": np.float32(2.0), "train/w": np.full(2, 4.0, np.float32)}
    close = {**wanted, "train/loss": np.float32(2.001)}
    assert [one.fine for one in compared(tmp_path, wanted, wanted)] == [True, True]
    order, train = compared(tmp_path, close, wanted)
    assert (train.bits, train.fine, train.promised) == (False, True, False)
    assert train.largest == pytest.approx(0.0005, rel=1e-3)
    off = {**wanted, "order/order": np.array([0, 1, 1]), "train/w": np.full(2, 4.01, np.float32)}
    order, train = compared(tmp_path, off, wanted)
    assert (order.promised, order.fine, train.fine) == (True, False, False)


def test_choices_are_held_to_bits(tmp_path: Path) -> None:
    chosen = {"update_masks/mask": np.ones(3, np.float32)}
    other = {"update_masks/mask": np.array([1, 1, 0], np.float32)}
    (found,) = compared(tmp_path, other, chosen)
    assert (found.promised, found.fine) == (True, False)


def test_a_graph_without_a_promise_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="merge"):
        compared(tmp_path, {}, {"merge/x": np.ones(3)})


def test_a_result_that_is_missing_is_no_agreement(tmp_path: Path) -> None:
    (order,) = compared(tmp_path, {}, {"order/order": np.arange(3)})
    assert not order.fine
