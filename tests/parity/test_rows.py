import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.parity.compare import Difference, GraphDifference
from tests.parity.rows import Row, fine, made, table, write

ROW = Row("masked", "onnxruntime", "1.32.0", "3.13.0", note="no Python 3.14")
GOOD = Difference(50, "", 1e-7)
ORDER = GraphDifference("order", promised=True, bits=True, largest=0.0)
TRAIN = GraphDifference("train", promised=False, bits=False, largest=1e-6)


def test_what_agrees() -> None:
    row = made(ROW, GOOD, [ORDER, TRAIN], 60.0)
    assert (row.equal, row.loss_difference, row.class_il, row.steps, row.graphs, row.bits) == (
        True,
        1e-7,
        60.0,
        50,
        2,
        1,
    )
    assert row.note == ROW.note
    assert fine(row, 60.9)


@pytest.mark.parametrize(
    ("difference", "graph", "note"),
    [
        (Difference(50, "state:mask behind step 3", 0.0), ORDER, "state:mask behind step 3"),
        (GOOD, GraphDifference("order", True, False, 0.5), "order differs by 5.0e-01"),
        (GOOD, GraphDifference("train", False, False, 0.5), "train differs by 5.0e-01"),
    ],
)
def test_what_does_not_is_told(difference: Difference, graph: GraphDifference, note: str) -> None:
    row = made(ROW, difference, [graph], 60.0)
    assert row.equal is False
    assert row.note == f"no Python 3.14; {note}"
    assert not fine(row, 60.0)


@pytest.mark.parametrize(("loss", "class_il"), [(0.01, 60.0), (float("nan"), 60.0), (1e-7, 58.9)])
def test_equal_is_not_enough(loss: float, class_il: float) -> None:
    assert not fine(made(ROW, Difference(50, "", loss), [ORDER], class_il), 60.0)


def test_a_row_that_was_not_run_breaks_nothing() -> None:
    assert fine(Row("masked", "Android arm64", "1.29.0", note="qemu-aarch64: not found"), 60.0)


def test_the_file_has_what_is_told_of_it(tmp_path: Path) -> None:
    rows = [made(ROW, Difference(50, "", float("nan")), [ORDER], None), Row("masked", "x", "1", note="why")]
    write(rows, tmp_path / "parity.json")
    found = json.loads((tmp_path / "parity.json").read_text())
    assert {"runtime", "version", "equal", "loss_difference", "class_il"} <= set(found[0])
    assert (found[0]["equal"], found[0]["loss_difference"], found[0]["class_il"]) == (True, None, None)
    assert (found[1]["equal"], found[1]["note"]) == (None, "why")


def test_the_table_says_why_something_was_not_run() -> None:
    screen = Console(width=180, record=True)
    screen.print(table([made(ROW, GOOD, [ORDER, TRAIN], 60.0), Row("masked", "x", "1", note="no such tool")]))
    _, first, second = screen.export_text().splitlines()
    said = "masked onnxruntime 1.32.0, Python 3.13.0 yes 2, 1 50 1.0e-07 60.00 no Python 3.14"
    assert " ".join(first.split()) == said
    assert " ".join(second.split()) == "masked x 1 not run no such tool"
