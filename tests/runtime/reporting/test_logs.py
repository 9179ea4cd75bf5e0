"""The curves of a run: CSV tables, and TensorBoard's events, read back by its own messages."""

import csv
import struct
from pathlib import Path

import pytest

from sparcl_compile.runtime.reporting.logs import TABLES, CsvLog, EventLog, can_write_events
from tests.runtime.reporting.test_history import START, after, epoch

needs_writer = pytest.mark.skipif(not can_write_events(), reason="tensorboardX is not installed")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def logged(folder: Path) -> CsvLog:
    log = CsvLog(folder)
    log.begin(START, 0)
    for number in (1, 2):
        log.epoch(epoch(number))
    log.task(after(1, 2))
    log.epoch(epoch(3, task=2))
    log.task(after(2, 3))
    return log


def test_the_tables(tmp_path: Path) -> None:
    logged(tmp_path / "logs")
    epochs, layers, tasks = (table(tmp_path / "logs" / name) for name in TABLES)
    assert [(row["epochs_done"], row["task"], row["step"], row["loss"]) for row in epochs] == [
        ("1", "1", "10", "0.5"),
        ("2", "1", "20", "0.5"),
        ("3", "2", "30", "0.5"),
    ]
    assert layers[0] == {
        "epochs_done": "1", "task": "1", "epoch": "1", "layer": "w", "sparsity": "0.75", "churn": "0.125",
    }  # fmt: skip
    assert [(row["after_task"], row["on_task"], row["class_accuracy"]) for row in tasks] == [
        ("1", "1", "90.0"),
        ("2", "1", "90.0"),
        ("2", "2", "90.0"),
    ]


def test_a_run_that_goes_on_writes_no_row_twice(tmp_path: Path) -> None:
    log = logged(tmp_path)
    with (tmp_path / "epochs.csv").open("a") as half:
        half.write("4,2,1")
    log.begin(START, 2)
    log.epoch(epoch(3, task=2))
    assert [row["epochs_done"] for row in table(tmp_path / "epochs.csv")] == ["1", "2", "3"]
    assert [row["after_task"] for row in table(tmp_path / "tasks.csv")] == ["1"]


def test_a_new_run_begins_the_tables_anew(tmp_path: Path) -> None:
    logged(tmp_path).begin(START, 0)
    assert [table(tmp_path / name) for name in TABLES] == [[], [], []]


def test_a_layer_s_name_may_have_commas_and_quotes(tmp_path: Path) -> None:
    log = CsvLog(tmp_path)
    log.begin(START, 0)
    one = epoch(1)
    layers = {'a,"b"\n': one.layers["w"]}
    log.epoch(type(one)(**{**vars(one), "layers": layers}))
    assert table(tmp_path / "layers.csv")[0]["layer"] == 'a,"b"\n'


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of all event files: records are a length of 8 bytes, its checksum, the message, and a checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += 12 + length + 4
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@needs_writer
def test_the_events(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "logs")
    log.begin(START, 0)
    log.epoch(epoch(1))
    log.task(after(2, 1))
    log.close()
    found = scalars(tmp_path / "logs")
    assert found["train/loss"] == [(10, 0.5)]
    assert found["sparsity/w"] == [(10, 0.75)]
    assert found["churn/w"] == [(10, 0.125)]
    assert found["class_il/mean"] == [(10, 90.0)]
    assert found["task_il/task_2"] == [(10, 95.0)]


def test_events_that_never_began_can_be_closed(tmp_path: Path) -> None:
    EventLog(tmp_path).close()
    assert not list(tmp_path.iterdir())
