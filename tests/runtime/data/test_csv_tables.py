"""CSV tables: what the columns are, in which axes they lie, and what is refused with line and column."""

import csv
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.interface.errors import DataError, FieldError
from sparcl_compile.interface.manifest import Layout, Model
from sparcl_compile.runtime.data import load
from sparcl_compile.runtime.data.dataset import Dataset
from sparcl_compile.runtime.data.tasks import check_fits, check_tasks

ROWS = 10
"""Rows of each class: two of them are for testing."""


def model(*shape: int | None, layout: Layout = "flat") -> Model:
    return Model("m", "m.onnx", "0" * 64, shape, layout, 2, "logits", 10)


def written(path: Path, text: str, encoding: str = "utf-8") -> str:
    path.write_bytes(text.encode(encoding))
    return f"csv:{path}"


def table(header: str, rows: list[str], end: str = "\n") -> str:
    return end.join([header, *rows, ""])


def values(count: int = 2) -> list[str]:
    """Rows of ``count`` features that are their place times 1/4, then the class 0 or 1."""
    cells = [[str((row * count + place) / 4) for place in range(count)] for row in range(2 * ROWS)]
    return [",".join([*one, str(row % 2)]) for row, one in enumerate(cells)]


def expected(count: int = 2) -> np.ndarray:
    return np.arange(2 * ROWS * count, dtype=np.float32).reshape(-1, count) / 4


def all_rows(dataset: Dataset) -> np.ndarray:
    """The features in the order of the file, vectors."""
    x = np.concatenate([dataset.x_train, dataset.x_test])
    x = x.reshape(len(x), -1)
    return x[np.argsort(x[:, 0])]


def test_columns_are_features_in_their_order_and_every_fifth_row_is_for_testing(tmp_path: Path) -> None:
    found = load(written(tmp_path / "a.csv", table("a,b,label", values())))
    assert (found.sample_shape, found.classes, found.augment, found.notes) == ((2, 1, 1), ("0", "1"), "none", ())
    assert (found.x_train.dtype, len(found.x_train), len(found.x_test)) == (np.float32, 16, 4)
    np.testing.assert_array_equal(all_rows(found), expected())
    np.testing.assert_array_equal(found.x_test[:, 0, 0, 0], expected()[[8, 9, 18, 19], 0])
    np.testing.assert_array_equal(found.y_test, [0, 1, 0, 1])


@pytest.mark.parametrize("name", ["label", "Class", "TARGET", " label "])
def test_a_label_is_found_by_its_name_wherever_it_is(name: str, tmp_path: Path) -> None:
    rows = [",".join([label, a, b]) for a, b, label in (row.split(",") for row in values())]
    found = load(written(tmp_path / "a.csv", table(f"{name},a,y", rows)))
    np.testing.assert_array_equal(all_rows(found), expected())
    assert found.notes == ()


def test_y_is_the_label_at_an_edge_and_a_coordinate_elsewhere(tmp_path: Path) -> None:
    found = load(written(tmp_path / "a.csv", table("a,b,y", values())))
    assert (found.sample_shape, found.notes) == ((2, 1, 1), ())
    found = load(written(tmp_path / "b.csv", table("x,y,z,activity", values(3))))
    np.testing.assert_array_equal(all_rows(found), expected(3))
    assert found.notes == ("no column is called label, class, target: the last one, 'activity', is the label",)


def test_without_names_the_last_column_is_the_label(tmp_path: Path) -> None:
    rows = [row[:-1] + ("cat" if row[-1] == "1" else "dog") for row in values()]
    found = load(written(tmp_path / "a.csv", table(rows[0], rows[1:])))
    np.testing.assert_array_equal(all_rows(found), expected())
    assert found.classes == ("cat", "dog")
    assert found.notes[0].startswith("the first row holds numbers, so the columns have no names and the last one is")


def test_a_number_of_the_row_is_left_out_and_said(tmp_path: Path) -> None:
    rows = [f"{number},{row}" for number, row in enumerate(values())]
    for name in ("", "Unnamed: 0"):
        found = load(written(tmp_path / "a.csv", table(f"{name},a,b,label", rows)))
        np.testing.assert_array_equal(all_rows(found), expected())
        assert found.notes == ("the first column has no name and is left out, as the number of a row",)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_line_ends_and_byte_order_marks(delimiter: str, end: str, mark: str, tmp_path: Path) -> None:
    text = mark + table("a,b,label", values(), end).replace(",", delimiter)
    found = load(written(tmp_path / "a.csv", text))
    np.testing.assert_array_equal(all_rows(found), expected())
    assert found.notes == ()


def test_quotes_spaces_and_empty_lines(tmp_path: Path) -> None:
    rows = [", ".join(f'"{cell}"' for cell in row.split(",")) for row in values()]
    text = "\n\n" + table('"a, first", "b\nsecond", label', [*rows[:3], "", " ", *rows[3:]])
    found = load(written(tmp_path / "a.csv", text))
    np.testing.assert_array_equal(all_rows(found), expected())


@pytest.mark.parametrize(
    ("names", "classes", "second"),
    [
        (("1", "2"), ("1", "2"), 1),
        (("0.0", "1.0"), ("0", "1"), 1),
        (("walk", "run"), ("run", "walk"), 0),
        (("1", "up"), ("1", "up"), 1),
    ],
)
def test_labels_are_numbers_or_texts(
    names: tuple[str, str], classes: tuple[str, str], second: int, tmp_path: Path
) -> None:
    rows = [row[:-1] + names[int(row[-1])] for row in values()]
    found = load(written(tmp_path / "a.csv", table("a,b,label", rows)))
    assert found.classes == classes
    odd_rows = (found.x_train[:, 0, 0, 0] * 2) % 2 == 1
    np.testing.assert_array_equal(found.y_train == second, odd_rows)


def test_a_column_says_the_split(tmp_path: Path) -> None:
    parts = ["train", "train", "Test", "train", "train", "test", "val"]
    rows = [f"{parts[number % 7]},{row}" for number, row in enumerate(values())]
    found = load(written(tmp_path / "a.csv", table("split,a,b,label", rows)))
    test = [number for number in range(2 * ROWS) if number % 7 in (2, 5)]
    np.testing.assert_array_equal(found.x_test[:, :, 0, 0], expected()[test])
    assert len(found.x_train) == 2 * ROWS - len(test) - 2
    assert found.notes == ("2 rows are neither train nor test and are left out",)


def test_numbers_beside_a_text_are_texts_in_both_tables(tmp_path: Path) -> None:
    for name in ("train", "test"):
        written(tmp_path / f"{name}.csv", "a,label\n1,x\n2,0\n3,1\n")
    found = load(f"csv:{tmp_path}")
    assert found.classes == ("0", "1", "x")
    assert found.y_train.tolist() == found.y_test.tolist() == [2, 0, 1]


def test_a_class_that_the_table_for_training_alone_has_is_named(tmp_path: Path) -> None:
    written(tmp_path / "train.csv", "a,label\n1,x\n2,0\n3,1\n")
    written(tmp_path / "test.csv", "a,label\n2,0\n3,1\n")
    assert refusal(f"csv:{tmp_path}").startswith(": class x has no samples in y_test; every class needs")


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation"])
def test_a_folder_of_two_tables(name: str, tmp_path: Path) -> None:
    written(tmp_path / "train.csv", table("a,b,label", values()[:14]))
    written(tmp_path / f"{name}.csv", table("a,b,label", values()[14:]))
    found = load(f"csv:{tmp_path}")
    np.testing.assert_array_equal(found.x_train[:, :, 0, 0], expected()[:14])
    np.testing.assert_array_equal(found.x_test[:, :, 0, 0], expected()[14:])


def test_texts_are_numbered_over_both_tables(tmp_path: Path) -> None:
    named = [row[:-1] + "ab"[int(row[-1])] for row in values()]
    written(tmp_path / "train.csv", table("a,b,label", named[:14]))
    written(tmp_path / "test.csv", table("a,b,label", named[14:][::-1]))
    found = load(f"csv:{tmp_path}")
    np.testing.assert_array_equal(found.y_train, np.arange(14) % 2)
    np.testing.assert_array_equal(found.y_test, (np.arange(14, 20) % 2)[::-1])


@pytest.mark.parametrize(
    ("taken", "raw"),
    [
        (model(6), lambda x: x.reshape(-1, 6, 1, 1)),
        (model(2, 3, layout="NCT"), lambda x: x.reshape(-1, 2, 3, 1)),
        (model(2, None, layout="NCT"), lambda x: x.reshape(-1, 2, 3, 1)),
        (model(3, 2, layout="NTC"), lambda x: x.reshape(-1, 3, 2).transpose(0, 2, 1)[..., None]),
        (model(None, 2, layout="NTC"), lambda x: x.reshape(-1, 3, 2).transpose(0, 2, 1)[..., None]),
        (model(1, 2, 3, layout="NCHW"), lambda x: x.reshape(-1, 1, 2, 3)),
        (model(3, 2, 1, layout="NHWC"), lambda x: x.reshape(-1, 3, 2, 1).transpose(0, 3, 1, 2)),
        (model(1, 1, 2, 3, layout="NCDHW"), lambda x: x.reshape(-1, 1, 2, 3)),
    ],
)
def test_columns_lie_in_the_axes_of_the_model(taken: Model, raw: object, tmp_path: Path) -> None:
    written(tmp_path / "train.csv", table("a,b,c,d,e,f,label", values(6)))
    written(tmp_path / "test.csv", table("a,b,c,d,e,f,label", values(6)))
    found = load(f"csv:{tmp_path}", taken)
    np.testing.assert_array_equal(found.x_train, raw(expected(6)))  # type: ignore[operator]


# Refusals


def refusal(source: str, taken: Model | None = None) -> str:
    with pytest.raises(DataError) as refused:
        load(source, taken)
    text = str(refused.value)
    assert text.startswith(source)
    assert "\n" not in text
    return text.removeprefix(source)


GOOD = table("a,b,label", values())

WRONG = {
    "ragged": (GOOD + "1,2\n", ": line 22 has 2 cells for 3 columns; give each row one cell a column"),
    "too many cells": (GOOD + "1,2,3,4\n", ": line 22 has 4 cells for 3 columns"),
    "text": (GOOD + "1,left,0\n", ": line 22, column 'b' is 'left', no number; mend it or remove the column"),
    "a long text": (GOOD + f"1,{'n' * 999},0\n", f": line 22, column 'b' is '{'n' * 20}...', no number"),
    "decimal commas": (
        'a;b;label\n"1,5";2;0\n',
        ": line 2, column 'a' is '1,5', no number; write decimals with a point",
    ),
    "an empty cell": (GOOD + "1,,0\n", ": line 22, column 'b' is empty; fill it or remove the row"),
    "an empty label": (GOOD + "1,2,\n", ": line 22, column 'label' is empty; fill it or remove the row"),
    "NaN": (GOOD + "nan,2,0\n", ": line 22, column 'a' is 'nan', not finite in float32; replace it or remove"),
    "infinite": (GOOD + "1,-inf,0\n", ": line 22, column 'b' is '-inf', not finite"),
    "too large": (GOOD + "1e39,2,0\n", ": line 22, column 'a' is '1e39', not finite in float32"),
    "nothing": ("", ": holds no rows; give a first row with names"),
    "empty lines": ("\n \n\n", ": holds no rows"),
    "names alone": ("a,b,label\n", ": holds the names of columns and no rows; give a row for each sample"),
    "one column": ("label\n0\n1\n", ": has no column beside the label 'label'; give one column for each value"),
    "spaces between": ("a b label\n1 2 0\n", ": has no column beside the label 'a b label'; give one column"),
    "a split alone": ("split\ntrain\n", ": has no column with labels; add one that is called label"),
    "a name twice": ("a,a,label\n1,2,0\n", ": two columns are called 'a'; give each column its own name"),
    "two labels": ("a,class,label\n1,2,0\n", ": the columns 'class' and 'label' could both be the label; remove or re"),
    "an open quote": ('a,b,label\n1,"2,0\n', ": line 2 is no CSV (unexpected end of data); mend its quotes"),
    "a bad quote": ('a,b,label\n1,"2"2,0\n', ": line 2 is no CSV ("),
    "a large cell": (f"a,b,label\n1,{'1' * 200_000},0\n", ": line 2 is no CSV (field larger than field limit"),
    "no classes": (GOOD + "1,2,0.5\n", ": the label '0.5' is no class; call the column with the classes label"),
    "an infinite label": (GOOD + "1,2,inf\n", ": the label 'inf' is no class"),
    "a label that is not used": (GOOD.replace(",1\n", ",7\n"), ": no sample has label 1, the largest label is 7"),
    "few of a class": (GOOD + "1,2,2\n", ": class 2 has no samples in y_test"),
    "few of a class, a text among numbers": (GOOD + "1,2,x\n", ": class x has no samples in y_test; every class needs"),
    "a text for testing alone": (
        "split,a,label\ntrain,1,0\ntrain,1,1\ntest,1,0\ntest,1,1\ntest,1,x\n",
        ": class x has no samples in y_train; every class needs",
    ),
    "an unknown split": ("split,a,label\nlater,1,0\n", ": the column split holds 'later'; give train or test in each"),
    "a split without test": ("split,a,label\ntrain,1,0\n", ": no row of the column split is test; give train or test"),
    "a split without train": ("split,a,label\nval,1,0\n", ": no row of the column split is train; give train or test"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_line_with_line_and_column(name: str, tmp_path: Path) -> None:
    text, message = WRONG[name]
    assert refusal(written(tmp_path / "a.csv", text)).startswith(message)


GUESSED = "; the last column, 'size', was taken for the label; call another one label if it is that"


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "a text among the features": ("kind,size\nred,1\n", "line 2, column 'kind' is 'red', no number; mend it or"),
        "an empty label": ("kind,size\n1,\n", "line 2, column 'size' is empty; fill it or remove the row"),
        "a measure": ("kind,size\n0,0.5\n", "the label '0.5' is no class; call the column with the classes label"),
        "a count": ("kind,size\n" + "0,7\n1,9\n" * 5, "no sample has label 0, the largest label is 9; number the"),
    }.values(),
)
def test_a_refusal_names_the_column_that_was_guessed(text: str, message: str, tmp_path: Path) -> None:
    told = refusal(written(tmp_path / "a.csv", text))
    assert told.startswith(f": {message}")
    assert told.endswith(GUESSED)


def test_a_refusal_of_a_table_without_names_says_what_was_guessed(tmp_path: Path) -> None:
    told = refusal(written(tmp_path / "a.csv", "0,0.5\n"))
    assert told.endswith("give a first row with names, and call another column label if it is that")


@pytest.mark.parametrize(("name", "guess"), [("size", f" ({GUESSED.removeprefix('; ')})"), ("label", "")])
def test_a_refusal_of_the_classes_names_the_column(name: str, guess: str, tmp_path: Path) -> None:
    dataset = load(written(tmp_path / "a.csv", f"kind,{name}\n" + "0,0\n1,1\n" * 5))
    told = f"{dataset.name} has 2 classes{guess}"
    with pytest.raises(FieldError, match=re.escape(f"{told}; give a number from 1 to 2")):
        check_tasks(dataset, 3)
    with pytest.raises(FieldError, match=re.escape(f"{told}, these are 3; give")):
        check_tasks(dataset, (2, 1))
    with pytest.raises(DataError, match=re.escape(f"{told}, the model's head 1; compile")):
        check_fits(dataset, (1,), 1)


def test_the_first_fault_beyond_many_rows_is_found(tmp_path: Path) -> None:
    text = table("a,b,label", values() * 500) + "x,1,0\n"
    assert refusal(written(tmp_path / "a.csv", text)).startswith(": line 10002, column 'a' is 'x'")


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = '\n\n"a\nb",c,label\n1,2,0\n\n1,x,0\n'
    assert refusal(written(tmp_path / "a.csv", text)).startswith(": line 7, column 'c' is 'x'")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding(encoding: str, tmp_path: Path) -> None:
    text = table("a,b,größe,label", [f"{row[:-1]}1,{row[-1]}" for row in values()])
    source = written(tmp_path / "a.csv", text, encoding)
    assert refusal(source) == ": is no text in UTF-8; save it as CSV in UTF-8"


@pytest.mark.parametrize("content", [b"\0" * 1000, bytes(range(128)) * 9, b"\0,\0\n1,2\n", b"PK\x03\x04" * 50])
def test_bytes_that_are_no_table(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    refusal(f"csv:{tmp_path / 'a.csv'}")


def test_a_line_without_end_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("wb") as file:
        file.truncate(2**40)
    assert refusal(f"csv:{tmp_path / 'a.csv'}") == ": line 1 has more than 16777215 characters; put a row on a line"


def test_more_values_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparcl_compile.runtime.data.csv_tables.MOST_VALUES", 50)
    assert refusal(written(tmp_path / "a.csv", GOOD)) == ": holds more than 50 values; give fewer rows"


def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert "not a file but a device or pipe" in refusal(f"csv:{path}")


@pytest.mark.parametrize("files", [(), ("train.csv",), ("test.csv",), ("val.csv", "test.csv")])
def test_a_folder_without_both(files: tuple[str, ...], tmp_path: Path) -> None:
    for name in files:
        written(tmp_path / name, GOOD)
    missing = "test.csv" if files == ("train.csv",) else "train.csv"
    text = refusal(f"csv:{tmp_path}")
    assert text == f": {tmp_path / missing} is missing; put train.csv and test.csv there, or give a .csv file"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("a,c,label", ": the training table has the column 'b' where the test table has 'c'; give both the same"),
        ("a,label", ": the training table has 2 columns of features, the test table 1; give both the same columns"),
    ],
)
def test_a_folder_of_unlike_tables(other: str, message: str, tmp_path: Path) -> None:
    written(tmp_path / "train.csv", GOOD)
    count = other.count(",")
    written(tmp_path / "test.csv", table(other, values(count)))
    assert refusal(f"csv:{tmp_path}").startswith(message)


def test_a_fault_in_a_folder_names_the_file(tmp_path: Path) -> None:
    written(tmp_path / "train.csv", GOOD)
    written(tmp_path / "test.csv", GOOD + "1,x,0\n")
    assert refusal(f"csv:{tmp_path}").startswith(": test.csv: line 22, column 'b' is 'x'")


@pytest.mark.parametrize(
    ("taken", "message"),
    [
        (
            model(2, 3, layout="NCT"),
            ": has 2 columns of features, the model takes 2x3; give 6 columns beside the label",
        ),
        (model(3, None, layout="NCT"), "takes 3xany; give a multiple of 3 columns"),
        (model(1, None, None, layout="NCHW"), "takes 1xanyxany"),
    ],
)
def test_columns_that_the_model_does_not_take(taken: Model, message: str, tmp_path: Path) -> None:
    assert message in refusal(written(tmp_path / "a.csv", GOOD), taken)


def test_what_the_standard_library_writes_is_read(tmp_path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", 'b "quoted"', "label"])
    writer.writerows([row.split(",") for row in values()])
    found = load(written(tmp_path / "a.csv", text.getvalue()))
    np.testing.assert_array_equal(all_rows(found), expected())
