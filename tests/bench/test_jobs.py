"""The runs that a grid asks for, and their names: results of the same name are taken for those of the same run."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
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


OUTSIDE = """<ir_version: 8, opset_import: ["" : 17]> g (float[4] x) => (float[4] y) {
    c = Constant <value = float[4] {1, 2, 3, 4}> ()
    y = Add (x, c)
}"""


@pytest.mark.parametrize("constant", [False, True])
def test_weights_beside_the_model_are_in_the_name(constant: bool, tmp_path: Path, grid: Grid) -> None:
    model = onnx.parser.parse_model(OUTSIDE if constant else OUTSIDE.replace("x, c", "x, w"))
    weights_of = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    if constant:
        model.graph.node[0].attribute[0].t.CopyFrom(weights_of)
    else:
        model.graph.initializer.append(weights_of)
    onnx.save(
        model,
        tmp_path / "wide.onnx",
        save_as_external_data=True,
        location="wide.data",
        size_threshold=0,
        convert_attribute=constant,
    )
    weights = (tmp_path / "wide.data").read_bytes()

    def name() -> str:
        return Jobs(grid).finals(CELL, 0.1)[0].name

    first = name()
    (tmp_path / "wide.data").write_bytes(weights[::-1])
    assert name() != first
    (tmp_path / "wide.data").write_bytes(weights)
    assert name() == first
    (tmp_path / "wide.data").unlink()
    assert name() != first  # which its compilation refuses


@pytest.mark.parametrize("file", ["wide.onnx", "wide.onnxtxt", "wide.json", "wide.textproto"])
def test_what_is_no_model_has_a_name_as_well(file: str, tmp_path: Path, grid: Grid) -> None:
    (tmp_path / file).write_bytes(b"no model")
    of_it = dataclasses.replace(grid, models={"wide": tmp_path / file})
    assert Jobs(of_it).finals(CELL, 0.1)[0].name.startswith("dense_wide_noise_")


@pytest.mark.parametrize(
    ("running", "epochs", "planned"),
    [
        ({"epochs": 20}, 1, 20),
        ({}, 1, 5),
        ({"epochs": 20}, None, None),
        ({"epochs": 1}, 1, None),
        ({}, 5, None),
        ({"epochs": 20, "batch-size": 4}, 1, None),
    ],
)
def test_a_trial_of_other_epochs_knows_those_of_the_run(
    running: dict[str, Any], epochs: int | None, planned: int | None, grid: Grid
) -> None:
    cell = dataclasses.replace(CELL, running=running)
    made = Jobs(dataclasses.replace(grid, choose=Choose(epochs, (0,))))
    assert [job.planned_epochs for job in made.trials(cell)[0.1]] == [planned]
    assert [job.planned_epochs for job in made.finals(cell, 0.1)] == [None, None]
