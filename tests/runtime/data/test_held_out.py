"""``held-out:SOURCE``: training samples in the place of the test set."""

import re
from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data.sources import load


def write(folder: Path, count: int = 10, test_label: int = 0) -> str:
    """Two classes in turns; each training sample holds its own number, the test samples 255."""
    y = np.arange(count) % 2
    x = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 1, 4, 4))
    path = folder / "data.npz"
    x_test, y_test = np.full((4, 1, 4, 4), 255, np.uint8), np.array([test_label, 1 - test_label] * 2)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return f"npz:{path}"


def test_every_fifth_training_sample_of_a_class_is_held_out(tmp_path: Path) -> None:
    data = load(f"held-out:{write(tmp_path)}")
    assert data.x_test[:, 0, 0, 0].tolist() == [8, 9]
    assert data.y_test.tolist() == [0, 1]
    assert data.x_train[:, 0, 0, 0].tolist() == list(range(8))


def test_the_test_set_has_no_part_in_it(tmp_path: Path) -> None:
    one = load(f"held-out:{write(tmp_path)}")
    other = load(f"held-out:{write(tmp_path, test_label=1)}")
    assert one.fingerprint() == other.fingerprint()
    assert load(write(tmp_path)).fingerprint() != load(write(tmp_path, test_label=1)).fingerprint()


def test_all_else_is_the_source_s_own() -> None:
    whole, held = load("digits"), load("held-out:digits")
    assert (held.name, held.classes, held.augment) == (whole.name, whole.classes, whole.augment)
    assert len(held.x_train) + len(held.x_test) == len(whole.x_train)


def test_the_number_of_training_samples_is_that_of_the_source() -> None:
    whole, held, twice = (load(f"{front}digits") for front in ("", "held-out:", "held-out:held-out:"))
    assert len(twice.x_train) < len(held.x_train) < len(whole.x_train)
    assert twice.training_samples == held.training_samples == whole.training_samples == len(whole.x_train)


@pytest.mark.parametrize(("count", "label", "samples"), [(8, 0, 4), (9, 1, 4), (2, 0, 1)])
def test_a_class_without_a_fifth_sample_is_refused(count: int, label: int, samples: int, tmp_path: Path) -> None:
    source = write(tmp_path, count=count)
    told = f"{source}: class {label} has {samples} training samples, and every fifth of a class is held out: it needs"
    with pytest.raises(DataError, match=f"^{re.escape(told)} at least 5; give more, or leave the class out$"):
        load(f"held-out:{source}")


def test_what_is_held_out_twice_needs_five_samples_of_what_is_left(tmp_path: Path) -> None:
    source = write(tmp_path, count=10)
    with pytest.raises(DataError, match="class 0 has 4 training samples"):
        load(f"held-out:held-out:{source}")


@pytest.mark.parametrize("source", ["held-out:", "held-out:nothing", "held-out:npz:"])
def test_an_unknown_source_is_refused_as_without_it(source: str) -> None:
    with pytest.raises(DataError, match=r"unknown data source|needs a path"):
        load(source)
