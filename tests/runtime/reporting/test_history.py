"""The recorded points of a run: written as they come, read back, cut where a run goes on."""

from pathlib import Path

import pytest

from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.runtime.reporting.history import FILE, HistoryFile, read_history
from sparcl_compile.runtime.reporting.points import EpochPoint, LayerPoint, TaskPoint

START = TaskPoint(0, 0, 0, (), (), {"w": "AA=="})


def epoch(number: int, task: int = 1) -> EpochPoint:
    layers = {"w": LayerPoint(0.75, 0.125)}
    return EpochPoint(task, number, number, 10 * number, 0.5, 0.1, 0.75, 100 * number, 0, 3, 1.5, layers)


def after(task: int, done: int) -> TaskPoint:
    return TaskPoint(task, done, 10 * done, (90.0,) * task, (95.0,) * task, {"w": "AA=="})


def recorded(folder: Path) -> HistoryFile:
    file = HistoryFile(folder)
    file.begin(START, 0)
    for number in (1, 2):
        file.epoch(epoch(number))
    file.task(after(1, 2))
    file.epoch(epoch(3, task=2))
    return file


def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    recorded(tmp_path).end({"class_il": 1.0, "nothing": float("nan")})
    found = read_history(tmp_path)
    assert found.epochs == (epoch(1), epoch(2), epoch(3, task=2))
    assert found.tasks == (START, after(1, 2))
    assert found.result == {"class_il": 1.0, "nothing": None}


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    recorded(tmp_path).begin(START, 0)
    assert read_history(tmp_path).epochs == ()


@pytest.mark.parametrize(("done", "epochs", "tasks"), [(1, 1, 1), (2, 2, 2), (3, 3, 2)])
def test_a_run_that_goes_on_keeps_what_it_does_not_make_again(
    tmp_path: Path, done: int, epochs: int, tasks: int
) -> None:
    file = recorded(tmp_path)
    file.end({"class_il": 1.0})
    file.begin(after(9, done), done)
    found = read_history(tmp_path)
    assert (len(found.epochs), len(found.tasks), found.result) == (epochs, tasks, None)


def test_a_run_that_was_not_recorded_from_its_start_is_from_there_on(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path)
    file.begin(after(1, 2), 2)
    assert read_history(tmp_path).tasks == (after(1, 2),)


def test_a_line_that_a_killed_process_left_is_no_line(tmp_path: Path) -> None:
    file = recorded(tmp_path)
    with file.path.open("a") as half:
        half.write('{"epoch": {"task"')
    assert len(read_history(tmp_path).epochs) == 3
    file.begin(START, 3)
    file.epoch(epoch(4))
    assert len(read_history(tmp_path).epochs) == 4


@pytest.mark.parametrize(
    "line",
    [
        "nothing\n",
        "{}\n",
        '{"epoch": {}}\n',
        '{"epoch": 3}\n',
        '{"other": {}}\n',
        '{"task": {}, "epoch": {}}\n',
        "[1]\n",
        "\xff\n",
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / FILE).write_bytes(line.encode("latin-1"))
    with pytest.raises(CheckpointError, match="is damaged; remove it"):
        read_history(tmp_path)


def test_a_run_without_a_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="sparcl-run --report FILE"):
        read_history(tmp_path)
