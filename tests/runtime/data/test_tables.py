"""The tables that a program names: which rows they hold, in which order, and that rows are not copied."""

import numpy as np
import pytest

from sparcl_compile.runtime.data.dataset import build
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.data.tasks import split_classes

COUNTERS = {"task": 1, "of": 0}


def counter(name: str) -> int:
    return COUNTERS[name]


@pytest.fixture
def tables() -> Tables:
    """Samples whose only value is their number, six for training and three for testing, of three classes."""
    x, y = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1), np.arange(9) % 3
    dataset = build("npz:some.npz", (x[:6], y[:6]), (x[6:], y[6:]))
    return Tables(Table.of(dataset), split_classes(dataset, 2, [2, 0, 1]))


@pytest.mark.parametrize(
    ("name", "raw", "labels", "classes"),
    [
        ("data", [0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2], [0, 1, 2]),
        ("train", [1, 4], [1, 1], [1]),  # of the value task
        ("test", [6, 8], [0, 2], [2, 0]),  # of the value of
    ],
)
def test_what_a_table_holds(name: str, raw: list[int], labels: list[int], classes: list[int], tables: Tables) -> None:
    fields = tables.table(name, counter).fields()
    assert fields["raw"].reshape(-1).tolist() == raw
    assert {key: value.tolist() for key, value in fields.items() if key != "raw"} == {
        "labels": labels,
        "classes": classes,
    }
    assert [value.dtype.name for value in fields.values()] == ["uint8", "int64", "int64"]


def test_chunks_are_all_rows_in_order(tables: Tables) -> None:
    chunks = list(tables.table("data", counter).chunks(4))
    assert [chunk.raw.reshape(-1).tolist() for chunk in chunks] == [[0, 1, 2, 3], [4, 5]]
    assert [chunk.labels.tolist() for chunk in chunks] == [[0, 1, 2, 0], [1, 2]]
    assert all(list(chunk.classes) == [0, 1, 2] for chunk in chunks)


@pytest.mark.parametrize("at_most", [6, 7, 10**9])
def test_one_chunk_where_all_rows_fit(at_most: int, tables: Tables) -> None:
    assert [len(chunk.labels) for chunk in tables.table("data", counter).chunks(at_most)] == [6]


def test_no_rows_are_no_chunks() -> None:
    assert not list(Table(np.zeros((0, 1, 1, 1), np.uint8), np.zeros(0, np.int64), ()).chunks(4))


def test_rows_come_as_they_are_asked_for_and_twice_where_asked_twice(tables: Tables) -> None:
    found = tables.table("data", counter).rows(np.array([4, 0, 4]))
    assert found.raw.reshape(-1).tolist() == [4, 0, 4]
    assert found.labels.tolist() == [1, 0, 1]
    assert list(found.classes) == [0, 1, 2]


def test_chunks_copy_no_sample(tables: Tables) -> None:
    table = tables.table("data", counter)
    assert all(np.shares_memory(chunk.raw, table.raw) for chunk in table.chunks(4))


def test_a_row_that_is_not_there_is_refused(tables: Tables) -> None:
    with pytest.raises(IndexError):
        tables.table("train", counter).rows(np.array([2]))


def test_a_task_that_is_not_there_is_refused(tables: Tables) -> None:
    with pytest.raises(IndexError):
        tables.table("test", lambda _: 2)
