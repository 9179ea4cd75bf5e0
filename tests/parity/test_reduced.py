from pathlib import Path

import pytest

from tests.parity import reduced, runs, tape
from tests.parity.recorder import LEARNING
from tests.runtime.kernels.arm64.machine import Unready


def written(folder: Path, *graphs: Path, marks: int = 0) -> Path:
    with tape.Writer(folder) as writer:
        for path in graphs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            writer.line("graph", path.stem, path, 1, "close")
        writer.line("run", "order")
        for _ in range(marks):
            writer.line("mark")
    return folder


def test_a_tape_names_the_files_in_ort_format(tmp_path: Path) -> None:
    folder = written(tmp_path / "tape", tmp_path / "order.onnx")
    (tmp_path / "order.ort").touch()
    reduced.in_ort_format(folder)
    wanted = [["graph", "order", str(tmp_path / "order.ort"), "1", "close"], ["run", "order"]]
    assert list(tape.instructions(folder)) == wanted


def test_an_artifact_without_them_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "tape", tmp_path / "order.onnx")
    with pytest.raises(Unready, match=r"order\.ort: not found; compile the model with --ort-format"):
        reduced.in_ort_format(folder)


def test_files_that_the_run_did_not_need_are_loaded_too(tmp_path: Path) -> None:
    artifact = tmp_path / "a.sparcl"
    folder = written(tmp_path / "tape", artifact / "order" / "order.ort", artifact / "eval" / "eval.ort")
    other = artifact / "decay" / "decay.ort"
    other.parent.mkdir()
    other.touch()
    assert reduced.loaded(folder) == 2
    reduced.load_the_rest(folder, artifact)
    assert reduced.loaded(folder) == 3
    assert list(tape.instructions(folder))[-1] == ["graph", str(other), str(other), "0", "close"]


def test_the_steps_of_a_run_are_its_marks(tmp_path: Path) -> None:
    reference = runs.Reference("a", tmp_path, tmp_path / "a.sparcl")
    written(reference.recorded / LEARNING, marks=3)
    assert reduced.steps(reference) == 3
