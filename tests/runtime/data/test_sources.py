"""The loader of each source's name, and the bundled digits."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import load


def test_digits_are_scaled_and_split() -> None:
    dataset = load("digits")
    raw = load_digits()
    assert dataset.sample_shape == (1, 8, 8)
    assert (len(dataset.x_train), len(dataset.x_test)) == (1442, 355)
    assert (dataset.name, dataset.augment, dataset.classes) == ("digits", "none", tuple("0123456789"))
    assert (dataset.x_train.min(), dataset.x_train.max(), dataset.x_train.dtype) == (0, 255, np.uint8)
    fifth_three = np.flatnonzero(raw.target == 3)[4]
    np.testing.assert_array_equal(
        dataset.x_test[dataset.y_test == 3][0, 0], np.rint(raw.images[fifth_three] * 255 / 16)
    )


def test_digits_are_the_same_twice() -> None:
    np.testing.assert_array_equal(load("digits").x_test, load("digits").x_test)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match="pip install scikit-learn"):
        load("digits")


@pytest.mark.parametrize("source", ["mnist", "", ":", "digits:8x8", "http://somewhere", "data.npz", "NPZ:data.npz"])
def test_an_unknown_source_lists_the_known_ones(source: str) -> None:
    with pytest.raises(
        DataError, match="digits, cifar10:PATH, idx:DIR, folder:DIR, npz:FILE, csv:TABLE, parquet:TABLE"
    ):
        load(source)


@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("cifar10", "cifar10:PATH"),
        ("idx:", "idx:DIR"),
        ("folder", "folder:DIR"),
        ("npz:", "npz:FILE"),
        ("csv:", "csv:TABLE"),
    ],
)
def test_a_source_without_its_path_is_refused(source: str, mend: str) -> None:
    with pytest.raises(DataError, match=f"needs a path; give {mend}"):
        load(source)


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        ("cifar10", "folder or archive"),
        ("idx", "folder"),
        ("folder", "folder"),
        ("npz", ".npz file"),
        ("csv", "table (or folder of tables)"),
    ],
)
def test_a_missing_path_is_refused(scheme: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    with pytest.raises(DataError) as refused:
        load(f"{scheme}:{path}")
    assert str(refused.value) == f"{scheme}:{path}: {path} does not exist; give the {kind} that holds the data"


def test_the_outermost_missing_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as refused:
        load("npz:no/where/x.npz")
    path = tmp_path / "no" / "where" / "x.npz"
    problem = f"{path} does not exist, nor does {tmp_path / 'no'}"
    assert str(refused.value) == f"npz:no/where/x.npz: {problem}; give the .npz file that holds the data"


@pytest.mark.parametrize("scheme", ["cifar10", "idx", "folder", "npz", "csv"])
def test_a_file_of_something_else_is_refused(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not data")
    with pytest.raises(DataError, match=str(path)) as caught:
        load(f"{scheme}:{path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["cifar10", "idx", "folder", "npz", "csv"])
def test_an_empty_folder_is_refused(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)) as caught:
        load(f"{scheme}:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    x, y = np.zeros((5, 2), np.uint8), np.zeros(5, np.int64)
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    assert load("npz:~/mine.npz").sample_shape == (2, 1, 1)


def test_a_path_without_a_scheme_is_answered_with_the_source_that_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,label\n1,x\n")
    with pytest.raises(DataError, match=rf"give folder:{tmp_path} for a folder of images, else one of digits"):
        load(str(tmp_path))
    with pytest.raises(DataError, match=rf"give csv:{tmp_path}/table\.csv, else one of digits"):
        load(f"{tmp_path}/table.csv")
