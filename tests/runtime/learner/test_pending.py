"""Observed samples that wait: on disk as in memory, whatever was taken, and wherever a kill came."""

from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.runtime import tensor_files
from sparcl_compile.runtime.learner.folder import Labelled, StateFolder
from sparcl_compile.runtime.learner.pending import Pending

FORM = (1, 2, 2)


def sample(number: int) -> np.ndarray:
    return np.full(FORM, number, np.uint8)


def held(pending: Pending) -> list[tuple[int, str]]:
    return [(int(x[0, 0, 0]), name) for x, name in zip(pending.samples, pending.names, strict=True)]


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path)


def test_what_waits_is_there_again(folder: StateFolder) -> None:
    pending = Pending(folder, 0)
    for number, name in enumerate("abac"):
        pending.add(sample(number), name)
    assert held(Pending(folder, 0)) == [(0, "a"), (1, "b"), (2, "a"), (3, "c")]


def test_what_a_task_has_taken_is_dropped_though_the_file_has_it(folder: StateFolder) -> None:
    pending = Pending(folder, 0)
    for number, name in enumerate("abac"):
        pending.add(sample(number), name)
    x, names = pending.take()
    assert (x[:, 0, 0, 0].tolist(), names, pending.taken) == ([0, 1, 2, 3], list("abac"), 4)
    assert held(Pending(folder, 4)) == []  # killed before ``forget``, behind the state
    assert len(held(Pending(folder, 0))) == 4  # killed before the state
    pending.forget()
    assert list(folder.path.iterdir()) == []
    pending.add(sample(9), "z")
    assert held(Pending(folder, 4)) == [(9, "z")]


def test_what_comes_behind_a_task_follows_what_it_has_taken(folder: StateFolder) -> None:
    pending = Pending(folder, 3)
    pending.add(sample(1), "a")
    assert held(Pending(folder, 3)) == [(1, "a")]
    assert folder.read_pending() is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 1])}, "no samples with labels"),
        ({"labels": np.array([7])}, "a label has no name"),
        ({"labels": np.array([-1])}, "a label has no name"),
        ({"x": np.zeros((1, 2, 2), np.uint8)}, "no samples with labels"),
        ({"x": np.zeros((1, 1, 2, 2), np.float64)}, "no samples with labels"),
    ],
)
def test_tensors_that_are_no_samples(change: dict[str, np.ndarray], message: str, folder: StateFolder) -> None:
    arrays = {"x": sample(0)[None], "labels": np.array([0]), **change}
    tensor_files.sealed(arrays, {"names": '["a"]', "first": "0"}).write(folder.path / "pending.safetensors")
    with pytest.raises(CheckpointError, match=rf"pending.safetensors: is damaged \(.*{message}"):
        Pending(folder, 0)


@pytest.mark.parametrize("texts", [{"names": "7"}, {"names": "[7]"}, {"names": "["}, {"first": "x"}, {"first": "-1"}])
def test_texts_that_are_no_names(texts: dict[str, str], folder: StateFolder) -> None:
    whole = {"names": '["a"]', "first": "0", **texts}
    arrays = {"x": sample(0)[None], "labels": np.array([0])}
    tensor_files.sealed(arrays, whole).write(folder.path / "pending.safetensors")
    with pytest.raises(CheckpointError, match="is damaged"):
        Pending(folder, 0)


def test_samples_of_a_task_are_named_by_their_content(folder: StateFolder) -> None:
    samples = Labelled(sample(3)[None], np.array([0]), ("a",))
    name = folder.write_samples(samples)
    assert folder.write_samples(samples) == name
    found = folder.read_samples(name)
    np.testing.assert_array_equal(found.x, samples.x)
    assert (found.names, found.first) == (("a",), 0)
    folder.tidy({"learning": {"file": name}})
    assert [path.name for path in folder.path.iterdir()] == [name]
    folder.tidy({"learning": None})
    assert list(folder.path.iterdir()) == []


def test_what_a_kill_left_half_written_is_removed(folder: StateFolder) -> None:
    for name in (".pending.safetensors.new.abcdefgh", ".samples-0123456789abcdef.safetensors.new.abcd_f12"):
        (folder.path / name).touch()
    (folder.path / "mine.txt").touch()
    with folder.held():
        assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "mine.txt"]
    assert [path.name for path in folder.path.iterdir()] == ["mine.txt"]
