"""Parquet tables, where pyarrow is installed, and the mend where it is not."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import load

ROWS = 20
GOOD: Mapping[str, Sequence[Any]] = {
    "a": [row / 4 for row in range(ROWS)],
    "b": list(range(ROWS)),
    "label": [row % 2 for row in range(ROWS)],
}


def written(path: Path, columns: Mapping[str, Any]) -> str:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(columns)), path)
    return f"parquet:{path}"


def refusal(source: str) -> str:
    with pytest.raises(DataError) as refused:
        load(source)
    text = str(refused.value)
    assert text.startswith(source)
    assert "\n" not in text
    return text.removeprefix(source)


def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    text = refusal(f"parquet:{tmp_path / 'a.parquet'}")
    assert text == ": pyarrow is not installed; pip install pyarrow, or save the table as CSV and give csv:FILE"


def test_columns_are_features_in_their_order(tmp_path: Path) -> None:
    found = load(written(tmp_path / "a.parquet", GOOD))
    assert (found.sample_shape, found.classes, found.x_train.dtype) == ((2, 1, 1), ("0", "1"), np.float32)
    test = [8, 9, 18, 19]
    np.testing.assert_array_equal(found.x_test[:, 0, 0, 0], np.array(test) / 4)
    np.testing.assert_array_equal(found.x_test[:, 1, 0, 0], test)
    np.testing.assert_array_equal(found.y_test, [0, 1, 0, 1])


@pytest.mark.parametrize("labels", [["run", "walk"], [1, 2], [1.0, 2.0], [b"run", b"walk"]])
def test_labels_are_numbers_or_texts(labels: Sequence[Any], tmp_path: Path) -> None:
    found = load(written(tmp_path / "a.parquet", {**GOOD, "label": [labels[row % 2] for row in range(ROWS)]}))
    np.testing.assert_array_equal(found.y_test, [0, 1, 0, 1])


def test_encoded_texts_and_truth_values(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    classes = pa.array(["run", "walk"] * (ROWS // 2)).dictionary_encode()
    found = load(written(tmp_path / "a.parquet", {"a": [True, False] * (ROWS // 2), "class": classes}))
    assert found.classes == ("run", "walk")
    np.testing.assert_array_equal(found.x_test[:, 0, 0, 0], [1, 0, 1, 0])


def test_a_column_and_a_folder_say_the_split(tmp_path: Path) -> None:
    parts = ["train" if row < 14 else "test" for row in range(ROWS)]
    whole = load(written(tmp_path / "a.parquet", {**GOOD, "split": parts}))
    (tmp_path / "folder").mkdir()
    for name, rows in (("train", slice(14)), ("test", slice(14, None))):
        written(tmp_path / "folder" / f"{name}.parquet", {key: cells[rows] for key, cells in GOOD.items()})
    divided = load(f"parquet:{tmp_path / 'folder'}")
    for found in (whole, divided):
        np.testing.assert_array_equal(found.x_train[:, 1, 0, 0], range(14))
        np.testing.assert_array_equal(found.x_test[:, 1, 0, 0], range(14, ROWS))


WRONG: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "text": ({**GOOD, "a": ["x"] * ROWS}, ": column 'a' is string, which holds no numbers; remove it or save it as"),
    "lists": ({**GOOD, "a": [[1.0]] * ROWS}, ": column 'a' is list<element: double>, which holds no numbers"),
    "an empty cell": ({**GOOD, "b": [None, *range(1, ROWS)]}, ": row 1, column 'b' is empty; fill it or remove the"),
    "an empty label": ({**GOOD, "label": [0, None] * 10}, ": row 2, column 'label' is empty; fill it or remove the"),
    "NaN": ({**GOOD, "a": [0.5, 1.5, float("nan")] + [1.0] * 17}, ": row 3, column 'a' is nan, not finite in float32"),
    "too large": ({**GOOD, "a": [0.5, 1e39] + [1.0] * 18}, ": row 2, column 'a' is 1e+39, not finite in float32"),
    "no rows": ({"a": [], "label": []}, ": holds no rows; give a row for each sample"),
    "no columns": ({}, ": holds no rows"),
    "a label alone": ({"label": [0, 1]}, ": has no column beside the label 'label'"),
    "no classes": ({**GOOD, "label": [0.5] * ROWS}, ": the label '0.5' is no class; call the column"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_line_with_row_and_column(name: str, tmp_path: Path) -> None:
    columns, message = WRONG[name]
    assert refusal(written(tmp_path / "a.parquet", columns)).startswith(message)


def test_a_refusal_names_the_column_that_was_guessed(tmp_path: Path) -> None:
    told = refusal(written(tmp_path / "a.parquet", {"kind": ["x"] * ROWS, "size": [1] * ROWS}))
    assert told.startswith(": column 'kind' is string, which holds no numbers")
    assert told.endswith("; the last column, 'size', was taken for the label; call another one label if it is that")


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no table at all", bytes(1000), b"PAR1" * 50])
def test_a_file_that_is_none(damage: bytes, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(damage)
    assert refusal(f"parquet:{tmp_path / 'a.parquet'}").startswith(": is no whole Parquet file (")


def test_a_damaged_file(tmp_path: Path) -> None:
    source = written(tmp_path / "a.parquet", GOOD)
    content = (tmp_path / "a.parquet").read_bytes()
    refused = []
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / "a.parquet").write_bytes(damaged)
        try:
            load(source)
        except DataError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in text for text in refused)


def test_more_values_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path / "a.parquet", GOOD)
    monkeypatch.setattr("sparcl_compile.runtime.data.parquet_tables.MOST_VALUES", 50)
    assert refusal(source) == ": holds more than 50 values; give fewer rows"
