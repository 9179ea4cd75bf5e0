"""The table of a grid that is not finished: what is there, dashes for the rest, and nothing learned."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from sparcl_compile.bench import plots, pool
from sparcl_compile.bench.bench import Line, grid_so_far
from sparcl_compile.bench.grid import Grid
from sparcl_compile.bench.jobs import Job, Jobs
from sparcl_compile.bench.reading import read_grid
from sparcl_compile.bench.results import Results
from sparcl_compile.bench.summary import summary
from sparcl_compile.interface import locks
from sparcl_compile.interface.errors import GridError
from tests.support.cli import call, check_refused, contents, done, write_data, write_model

GRID = """seeds = [0, 1]

[models]
zoo = "{model}"

[data]
noise = "{data}"

[run]
tasks = 2
lr = [0.05, 0.2]

[rows.dense]
compile = {{sparsity = 0}}

[rows.sparse]
compile = {{sparsity = 0.75}}

[rows.static]
compile = {{mask-policy = "static"}}
run = {{lr = "sparse"}}
"""
RUNS = 2 * 2 + 3 * 2
"""Two rates are tried for two rows, and three rows are learned from two seeds."""


class Begun:
    """A grid, and results of it that no run has made."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "grid.toml"
        self.path.write_text(GRID.format(model=write_model(folder), data=write_data(folder)), encoding="utf-8")
        self.folder = folder / "grid.bench"
        self.grid: Grid = read_grid(self.path)
        self.jobs, self.results = Jobs(self.grid), Results(self.folder)

    def trials(self, row: int, rate: float) -> list[Job]:
        return self.jobs.trials(self.grid.cells[row])[rate]

    def finals(self, row: int, rate: float) -> list[Job]:
        return self.jobs.finals(self.grid.cells[row], rate)

    def end(self, jobs: Iterable[Job], *accuracies: float | None) -> None:
        """Write the results of runs; those without an accuracy have failed."""
        for job, class_il in zip(jobs, accuracies, strict=True):
            failure = "the loss is nan" if class_il is None else None
            result = None if class_il is None else outcome(class_il, job.rate)
            self.results.write({"name": job.name, "failure": failure, "result": result, "churn": {"w": 0.5}})

    def lines(self) -> tuple[tuple[Line, ...], list[str]]:
        told: list[str] = []
        return grid_so_far(self.grid, self.folder, told.append), told


def outcome(class_il: float, rate: float | None) -> dict[str, object]:
    return {
        "class_il": class_il,
        "task_il": 90.0,
        "forgetting": 1.0,
        "accuracy_matrix": [[class_il, None], [class_il, class_il]],
        "training_flops": {"true_sparse": 2e9},
        "training_seconds": 3.0,
        "sparsity": {"overall": 0.75, "per_layer": {"w": 0.75}},
        "config": {"learning_rate": rate},
    }


@pytest.fixture
def begun(tmp_path: Path) -> Begun:
    """The trials of dense weights with one of their two runs, and one trial of sparse ones."""
    made = Begun(tmp_path)
    made.end([*made.trials(0, 0.05), *made.trials(0, 0.2)], 50.0, 60.0)
    made.end(made.finals(0, 0.2)[:1], 70.0)
    made.end(made.trials(1, 0.2), 40.0)
    return made


def rows(text: str) -> dict[str, list[str]]:
    """The cells of the first table by the name of the row, without model and data."""
    table = text.partition("# Learning rates")[0]
    cells = [line.strip("| \n").split(" | ") for line in table.splitlines() if " | zoo | noise | " in line]
    return {row: rest for row, _, _, *rest in cells}


def test_runs_to_come_are_dashes_and_means_are_of_what_is_there(begun: Begun) -> None:
    lines, _ = begun.lines()
    text = summary(lines)
    assert rows(text) == {
        "dense": ["0.2", "70.0", "70.0, -", "90.0", "1.0", "2"],
        "sparse": ["-", "-", "-, -", "-", "-", "-"],
        "static": ["-", "-", "-, -", "-", "-", "-"],
    }
    assert " 5 of 6 runs are to come, each a dash.\n" in text
    assert "| dense | zoo | noise | 0.2 | 0.05: 50.0 (50.0); 0.2: 60.0 (60.0) |" in text
    assert "| sparse | zoo | noise | - | 0.05: - (-); 0.2: 40.0 (40.0) |" in text


def test_no_rate_is_taken_before_all_trials_are_there(begun: Begun) -> None:
    """The one trial that is there would win; the other, once it is there, does."""
    begun.end(begun.finals(1, 0.2), 1.0, 2.0)
    begun.end(begun.finals(2, 0.2), 3.0, 4.0)
    assert [line.rate for line in begun.lines()[0]] == [0.2, None, None]
    begun.end(begun.trials(1, 0.05), 45.0)
    begun.end(begun.finals(1, 0.05), 61.0, 63.0)
    lines, _ = begun.lines()
    assert [line.rate for line in lines] == [0.2, 0.05, 0.05]
    assert rows(summary(lines))["sparse"][1:3] == ["62.0 ± 1.0", "61.0, 63.0"]


def test_the_runs_are_counted(begun: Begun) -> None:
    assert begun.lines()[1] == [f"4 of {RUNS} runs are there"]


def test_a_row_that_has_failed_is_not_to_come(begun: Begun) -> None:
    begun.end(begun.trials(1, 0.2), None)
    begun.end(begun.trials(1, 0.05), None)
    lines, told = begun.lines()
    assert (
        rows(summary(lines))["sparse"] == rows(summary(lines))["static"] == ["-", "-", "failed, failed", "-", "-", "-"]
    )
    assert " 1 of 6 runs are to come, each a dash.\n" in summary(lines)
    assert told == [f"5 of {RUNS - 4} runs are there"]


def test_the_table_of_a_finished_grid_is_that_of_the_command_that_learned_it(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun.end(begun.trials(1, 0.05), 45.0)
    for row, rate in enumerate((0.2, 0.05, 0.05)):
        begun.end(begun.finals(row, rate), 61.0, 63.0)
    monkeypatch.setattr(pool, "outcomes", None)
    so_far = done("bench", begun.path, "--so-far")
    assert so_far.err == f"{RUNS} of {RUNS} runs are there\n"
    assert "to come" not in so_far.out
    assert so_far.out == done("bench", begun.path).out == (begun.folder / "summary.md").read_text(encoding="utf-8")


def test_nothing_is_learned_and_the_table_and_the_plots_are_written(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "outcomes", None)
    before = contents(begun.folder)
    shown = done("bench", begun.path, "--so-far", "--plots")
    assert contents(begun.folder).keys() - before.keys() == {"summary.md", *(f"{name}.png" for name in plots.PLOTS)}
    assert (begun.folder / "summary.md").read_text(encoding="utf-8") == shown.out


def test_it_works_beside_a_command_that_learns(begun: Begun) -> None:
    with locks.writing(begun.folder / locks.FILE, begun.folder, GridError):
        assert "70.0, -" in done("bench", begun.path, "--so-far").out
        check_refused(call("bench", begun.path), "is in use by")


def test_a_folder_without_any_run_is_refused_and_not_made(tmp_path: Path) -> None:
    begun = Begun(tmp_path)
    check_refused(call("bench", begun.path, "--so-far"), "grid.bench: has no run of this grid yet; learn some of it")
    assert not begun.folder.exists()


def test_a_cluster_has_nothing_to_do(begun: Begun) -> None:
    refused = call("bench", begun.path, "--so-far", "--dask", "tcp://localhost:1")
    check_refused(refused, "--dask tcp://localhost:1: has nothing to learn beside --so-far; leave one of the two out")


def test_a_damaged_result_is_named(begun: Begun) -> None:
    name = begun.finals(0, 0.2)[0].name
    begun.results.file(name).write_text("{", encoding="utf-8")
    check_refused(call("bench", begun.path, "--so-far"), f"{name}.json: is damaged")
