"""Checkpoints with a right checksum and wrong content."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.runtime import checkpoint
from tests.support.cli import SMALL_RUN, call, check_refused, contents, done, write_artifact, write_data

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    artifact = write_artifact(folder)
    done("run", artifact, "--data", write_data(folder), *SMALL_RUN)
    return folder


def changed(made: Path, tmp_path: Path, change: Callable[[Arrays, Any], object]) -> list[object]:
    """The arguments by which the changed checkpoint is used."""
    folder = Path(shutil.copytree(made / "cnn_bn.run", tmp_path / "run"))
    found = checkpoint.read(folder)
    change(found.arrays, found.progress)
    checkpoint.save(folder, found.arrays, found.progress, found.identity)
    return ["--checkpoint", folder]


WRONG: dict[str, tuple[Callable[[Arrays, Any], object], str]] = {
    "more": (lambda arrays, _: arrays.update(more=np.zeros(2)), "'more' is no state"),
    "fewer": (lambda arrays, _: arrays.pop("fc.bias"), "'fc.bias' is missing"),
    "longer": (lambda arrays, _: arrays.update({"fc.bias": np.zeros(6, np.float32)}), "a length of 6 where 5 is due"),
    "axes": (lambda arrays, _: arrays.update({"fc.bias": np.zeros((5, 1), np.float32)}), "2 axes, the manifest 1"),
    "type": (lambda arrays, _: arrays.update({"fc.bias": np.zeros(5)}), "'fc.bias' is float64"),
    "rows": (lambda arrays, _: arrays.update({"buffer.labels": np.zeros(9, np.int64)}), " is due"),
    "no counters": (lambda _, progress: progress.pop("counters"), "missing required field counters"),
    "other counters": (lambda _, progress: progress["counters"].pop("step"), "not those of the program"),
    "a text": (lambda _, progress: progress["counters"].update(step="7"), "$.counters"),
    "below 0": (lambda _, progress: progress["counters"].update(step=-1), "below 0"),
    "events": (lambda _, progress: progress["fired"].update(more=1), "not those of the program"),
    "seconds": (lambda _, progress: progress.update(seconds=float("nan")), "seconds"),
    "no rates": (lambda _, progress: progress.update(learning_rates=[]), "learning rate"),
    "a rate": (lambda _, progress: progress["learning_rates"][0].update(learning_rate=-1), "no number above 0"),
    "samples": (lambda _, progress: progress["samples"].update(classes=7), "$.samples.classes"),
    "unknown": (lambda _, progress: progress.update(more=1), "unknown field more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_content_that_no_run_has(name: str, made: Path, tmp_path: Path) -> None:
    change, message = WRONG[name]
    place = changed(made, tmp_path, change)
    before = contents(tmp_path)
    resume = call("run", made / "cnn_bn.sparcl", "--data", f"npz:{made / 'data.npz'}", *SMALL_RUN, "--resume", *place)
    export = call("export", made / "cnn_bn.sparcl", "-o", tmp_path / "a.onnx", *place)
    for outcome in (resume, export):
        check_refused(outcome, "state.safetensors: is damaged", message, "start the run again, without ")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("tasks", [3, 10**18])
def test_more_tasks_than_the_run_has_are_a_learners(tasks: int, made: Path, tmp_path: Path) -> None:
    place = changed(made, tmp_path, lambda _, progress: progress["counters"].update(task=tasks))
    run = ["run", made / "cnn_bn.sparcl", "--data", f"npz:{made / 'data.npz'}", *SMALL_RUN, "--resume", *place]
    check_refused(call(*run), "a learner has gone on with this run", "without --resume")


@pytest.mark.parametrize("counters", [{"task": 1, "epoch": 2}, {"task": 2, "epoch": 1}])
def test_a_place_beyond_the_run(counters: dict[str, int], made: Path, tmp_path: Path) -> None:
    place = changed(made, tmp_path, lambda _, progress: progress["counters"].update(counters))
    run = ["run", made / "cnn_bn.sparcl", "--data", f"npz:{made / 'data.npz'}", *SMALL_RUN, "--resume", *place]
    check_refused(call(*run), "it stands at task", "of 2 tasks with 2 epochs")


def test_more_events_than_there_are(made: Path, tmp_path: Path) -> None:
    place = changed(made, tmp_path, lambda _, progress: progress["fired"].update(removals=99))
    run = ["run", made / "cnn_bn.sparcl", "--data", f"npz:{made / 'data.npz'}", *SMALL_RUN, "--resume", *place]
    check_refused(call(*run), "99 events of 4 have run")


@pytest.mark.parametrize("progress", [[], 7, None, "text"])
def test_no_table_at_all(progress: Any, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(made / "cnn_bn.run", tmp_path / "run"))
    found = checkpoint.read(folder)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_begins", lambda _: False)
        checkpoint.save(folder, found.arrays, progress, found.identity)
    check_refused(call("export", made / "cnn_bn.sparcl", "--checkpoint", folder), "is damaged (it holds no run)")
    # What cannot be read is not thrown away by a new run.
    kept = (folder / "state.safetensors").read_bytes()
    done("run", made / "cnn_bn.sparcl", "--data", f"npz:{made / 'data.npz'}", *SMALL_RUN, "--checkpoint", folder)
    assert (folder / "state.previous.safetensors").read_bytes() == kept


def test_a_sound_checkpoint_goes_on(made: Path, tmp_path: Path) -> None:
    place = changed(made, tmp_path, lambda *_: None)
    run = ["run", made / "cnn_bn.sparcl", "--data", f"npz:{made / 'data.npz'}", *SMALL_RUN, "--resume", *place]
    done(*run)
    done("export", made / "cnn_bn.sparcl", "-o", tmp_path / "a.onnx", *place)
