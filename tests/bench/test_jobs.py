"""The runs that a grid asks for, and their names: results of the same name are taken for those of the same run."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sparcl_compile.bench.grid import Cell, Choose, Grid
from sparcl_compile.bench.jobs import Job, Jobs
from sparcl_compile.bench.results import Results
from sparcl_compile.bench.settings import absolute

CELL = Cell("dense", "wide", "noise", {"sparsity": 0.0}, {"epochs": 3, "tasks": 2}, (0.1, 0.3))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("digits", "digits"),
        ("held-out:digits", "held-out:digits"),
        ("npz:a.npz", f"npz:{Path('a.npz').absolute()}"),
        ("held-out:npz:a.npz", f"held-out:npz:{Path('a.npz').absolute()}"),
        ("cifar10:/data", f"cifar10:{Path('/data').absolute()}"),
    ],
)
def test_the_path_of_a_source_holds_everywhere(source: str, found: str) -> None:
    assert absolute(source) == found


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    (tmp_path / "wide.onnx").touch()
    return Grid({"wide": tmp_path / "wide.onnx"}, {"noise": "npz:/a/noise.npz"}, (0, 1), Choose(1, (7, 8)), (CELL,))


def test_trials_have_epochs_and_seeds_of_their_own(grid: Grid) -> None:
    def told(jobs: list[Job]) -> list[tuple[Any, ...]]:
        return [(job.rate, job.seed, job.cell.running["epochs"], job.cell.running["tasks"], job.trial) for job in jobs]

    trials = Jobs(grid).trials(CELL)
    assert {rate: told(jobs) for rate, jobs in trials.items()} == {
        rate: [(rate, seed, 1, 2, True) for seed in (7, 8)] for rate in (0.1, 0.3)
    }
    assert told(Jobs(grid).finals(CELL, 0.3)) == [(0.3, seed, 3, 2, False) for seed in (0, 1)]
    as_the_row = dataclasses.replace(grid, choose=Choose(None, (7,)))
    assert told(Jobs(as_the_row).trials(CELL)[0.1]) == [(0.1, 7, 3, 2, True)]
    assert Jobs(grid).trials(dataclasses.replace(CELL, rates=(0.1,))) == {}


def test_whatever_changes_a_run_changes_its_name(grid: Grid) -> None:
    elsewhere = dataclasses.replace(grid, data={"noise": "npz:/b/noise.npz"})
    sparse = dataclasses.replace(CELL, compiling={"sparsity": 0.5})
    longer = dataclasses.replace(CELL, running={**CELL.running, "epochs": 4})
    made = [
        *Jobs(grid).finals(CELL, 0.1),
        *Jobs(grid).finals(CELL, 0.1 + 1e-9),
        *Jobs(grid).finals(CELL, None),
        *Jobs(grid).finals(sparse, 0.1),
        *Jobs(grid).finals(longer, 0.1),
        *Jobs(elsewhere).finals(CELL, 0.1),
    ]
    assert len({job.name for job in made}) == len(made)
    assert [job.name for job in Jobs(grid).finals(CELL, 0.1)] == [job.name for job in made[:2]]


def test_a_long_name_is_one_that_a_file_can_have_while_it_is_written(grid: Grid, tmp_path: Path) -> None:
    """A run of many options was learned, and its result then could not be written."""
    job, other = Jobs(grid).finals(dataclasses.replace(CELL, row="row, sparsity 0.5, " * 20), 0.1)
    Results(tmp_path).write({"name": job.name, "failure": "none", "result": None})
    assert Results(tmp_path).has(job.name)
    assert job.name != other.name
