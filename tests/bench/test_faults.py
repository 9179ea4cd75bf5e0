"""Mistakes that show only while a grid is learned: one line that names the row, and a mend that works there."""

import dataclasses
import os
from pathlib import Path

import pytest

from sparcl_compile.api.compiling import compile_model
from sparcl_compile.bench import work
from sparcl_compile.bench.grid import Cell
from sparcl_compile.bench.jobs import Job, Jobs
from sparcl_compile.bench.reading import read_grid
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import GridError
from sparcl_compile.runtime import checkpoint as checkpoints
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import call, check_refused, contents, done, write_data, write_model

GRID = """[models]
zoo = "{model}"

[data]
noise = "{data}"

[run]
tasks = 2
epochs = 1
batch-size = 8
buffer = 10

[rows.fault]
"""


def write(folder: Path, fault: str = "") -> Path:
    path = folder / "grid.toml"
    path.write_text(GRID.format(model=write_model(folder), data=write_data(folder)) + fault, encoding="utf-8")
    return path


FAULTS = [
    ("run = {tasks = 19}", "tasks 19: npz:", "classes; give a number from 1 to"),
    ("run = {lr = 1e300}", "lr 1e+300: steps have a limit", "give at most 16777216"),
    ('compile = {method = "icarl"}\nrun = {buffer = 2}', "buffer 2: the artifact's method keeps", "give at least"),
    ('compile = {freeze = ["nix*"]}', "nix* matches no parameter"),
    ("compile = {classes = 2}", "classes"),
    ('run = {augment = "jitter_shift_scale"}', "augment jitter_shift_scale: does not suit samples of layout"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0])
def test_the_row_is_named_and_options_have_the_names_of_the_file(fault: tuple[str, ...], tmp_path: Path) -> None:
    outcome = call("bench", write(tmp_path, fault[0]), "--cores", "1")
    check_refused(outcome, "error: row fault (zoo, noise): ", *fault[1:])
    assert not any(field in outcome.err for field in ("learning_rate", "buffer_size", "`"))
    assert not list(tmp_path.glob("grid.bench/runs/*"))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    grid = read_grid(write(tmp_path))
    return Jobs(grid).finals(grid.cells[0], None)[0]


@pytest.mark.parametrize("damage", ["model.sparcl/manifest.json", "run/state.safetensors"])
def test_what_is_left_of_a_run_is_mended_by_removing_it(
    damage: str, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "grid.bench" / "work"
    with monkeypatch.context() as patched:
        patched.setattr(work.Orphan, "step", die)
        with pytest.raises(KeyboardInterrupt):
            work.perform(job, 1, folder, os.getpid())
    (folder / job.name / damage).write_bytes(b"{")
    outcome = call("bench", tmp_path / "grid.toml", "--cores", "1")
    check_refused(outcome, "row fault (zoo, noise): ", f"; remove {folder / job.name}, and the run begins anew")
    assert outcome.err.count(";") == 1
    for path in sorted((folder / job.name).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert "fault" in done("bench", tmp_path / "grid.toml", "--cores", "1").out


def test_another_process_in_the_folder_of_a_run_ends_the_grid(job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    told = r"^row fault \(zoo, noise\): .* is in use by .*; wait for its end$"
    with checkpoints.held(folder / job.name / "run"), pytest.raises(GridError, match=told):
        work.perform(job, 1, folder, os.getpid())


def test_results_are_not_written_into_an_artifact(tmp_path: Path) -> None:
    grid, artifact = write(tmp_path), tmp_path / "a.sparcl"
    compile_model(write_model(tmp_path), CompileOptions(), artifact)
    before = contents(tmp_path)
    for folder in (artifact, artifact / "deeper"):
        check_refused(
            call("bench", grid, "-o", folder), folder, "is a compiled artifact or inside of one", "name another"
        )
    assert contents(tmp_path) == before


def test_a_model_that_cannot_be_compiled_is_named_with_its_row(tmp_path: Path) -> None:
    grid = write(tmp_path)
    (model,) = tmp_path.glob("*.onnx")
    model.write_bytes(b"")
    check_refused(call("bench", grid, "--cores", "1"), f"row fault (zoo, noise): {model} is empty: export the model")


@pytest.fixture(scope="module")
def digits(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    place = tmp_path_factory.mktemp("a") / "a.sparcl"
    return compile_model(root / "models" / "digits_cnn.onnx", CompileOptions(), place)


@pytest.mark.parametrize(("planned", "size"), [(None, 8), (1, 8), (20, 32)])
def test_a_short_trial_has_the_batches_of_the_run_that_it_chooses_for(
    planned: int | None, size: int, digits: Artifact
) -> None:
    """A task of the digits has 288 samples: the largest batch that gives it 100 steps in 20 epochs is 32."""
    cell = Cell("a", "m", "digits", {}, {"epochs": 1}, (0.1, 0.3))
    made = work._config(Job("", cell, 0, 0.1, True, Path(), "digits", planned), digits, threads=1)
    batch = made.batch_size or dataclasses.replace(made).completed(1437, 0.1)[1]
    assert (made.epochs, batch) == (1, size)


def test_the_errors_of_a_grid_are_of_one_kind(job: Job, tmp_path: Path) -> None:
    broken = dataclasses.replace(job, source=f"npz:{tmp_path / 'none.npz'}")
    with pytest.raises(GridError, match=r"^row fault \(zoo, noise\): npz:.*none.npz"):
        work.perform(broken, 1, tmp_path / "work", os.getpid())
