"""Labels as people save them."""

import numpy as np
import pytest

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data.labels import numbered

TEXTS = np.array(["dog", "cat", "eel", "cat"])


@pytest.mark.parametrize(
    ("labels", "found", "classes", "note"),
    [
        ([2, 0, 1], [2, 0, 1], None, None),
        ([[2], [0], [1]], [2, 0, 1], None, None),
        ([True, False], [1, 0], None, None),
        ([3, 1, 2, 1], [2, 0, 1, 0], ("1", "2", "3"), "run from 1 to 3"),
        ([3, 1], [3, 1], None, None),  # a gap, which later checks name
        ([2, 3], [2, 3], None, None),
        ([[0, 1, 0], [1, 0, 0]], [1, 0], None, "one-hot rows"),
        ([[0.0, 1.0], [1.0, 0.0]], [1, 0], None, "one-hot rows"),
        (TEXTS, [1, 0, 2, 0], ("cat", "dog", "eel"), "texts, numbered in their order: cat, dog, eel"),
        (TEXTS.astype("S"), [1, 0, 2, 0], ("cat", "dog", "eel"), "texts"),
        (TEXTS[:, None], [1, 0, 2, 0], ("cat", "dog", "eel"), "texts"),
    ],
)
def test_forms(labels: object, found: list[int], classes: tuple[str, ...] | None, note: str | None) -> None:
    arrays, names, notes = numbered("npz:a", [np.asarray(labels)])
    assert (arrays[0].tolist(), names) == (found, classes)
    assert [bool(note) for note in notes] == [True] * (note is not None)
    assert note is None or note in notes[0]


def test_both_sides_are_numbered_alike() -> None:
    arrays, names, _ = numbered("npz:a", [np.array(["b", "c"]), np.array(["a", "c"])])
    assert ([y.tolist() for y in arrays], names) == ([[1, 2], [0, 2]], ("a", "b", "c"))
    arrays, names, _ = numbered("npz:a", [np.array([2, 3]), np.array([1, 3])])
    assert ([y.tolist() for y in arrays], names) == ([[1, 2], [0, 2]], ("1", "2", "3"))


def test_one_side_from_zero_leaves_both() -> None:
    arrays, names, notes = numbered("npz:a", [np.array([1, 2]), np.array([0, 2])])
    assert ([y.tolist() for y in arrays], names, notes) == ([[1, 2], [0, 2]], None, ())


@pytest.mark.parametrize("row", [[1, 1, 0], [0, 0, 0], [0, 2, 0], [0, 0.5, 0.5], [0, np.nan, 0]])
def test_rows_of_several_classes_are_refused(row: list[float]) -> None:
    with pytest.raises(DataError, match="row 1 has not one 1 and else zeros; give one class a sample"):
        numbered("npz:a", [np.array([[0, 1, 0], row])])
