"""sparcl-bench from end to end: a tiny grid that is killed, resumed, spread over a cluster, told and drawn."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sparcl_compile.bench import plots, pool, work
from sparcl_compile.bench.bench import Line
from sparcl_compile.bench.jobs import Job, Jobs
from sparcl_compile.bench.reading import read_grid
from sparcl_compile.bench.results import Results
from tests.support.cli import (
    ENVIRONMENT,
    arrays,
    call,
    check_refused,
    contents,
    done,
    read_json,
    write_data,
    write_model,
)

CLOCK = ("samples_per_second", "training_seconds")
"""Results in which two equal runs may differ."""
GRID = """seeds = [0, 1]

[models]
zoo = "{model}"

[data]
noise = "{data}"

[compile]
init = "fresh"
gradient-sparsity = 0.0

[run]
tasks = 2
epochs = 1
batch-size = 8
buffer = 10
lr = [0.05, 0.2]

[rows.dense]
compile = {{sparsity = 0}}

[rows.sparse.compile]
sparsity = 0.75
"""
UNLIMITED = GRID.replace("[compile]", "[compile]\nstep-limit = 0.0")
"""Under a largest step no rate diverges."""
TRIALS, FINALS = 4, 4


def write_grid(folder: Path, text: str = GRID) -> Path:
    path = folder / "grid.toml"
    path.write_text(text.format(model=write_model(folder), data=write_data(folder)), encoding="utf-8")
    return path


def runs(folder: Path) -> dict[str, dict[str, Any]]:
    """The outcomes by name, but for their times."""
    found = {path.stem: read_json(path) for path in sorted((folder / "runs").glob("*.json"))}
    for outcome in found.values():
        for key in CLOCK:
            outcome["result"].pop(key)
    return found


def runs_of(folder: Path) -> list[dict[str, Any]]:
    """The outcomes as they lie in the files."""
    return [read_json(path) for path in sorted((folder / "runs").glob("*.json"))]


class Whole:
    """A grid, and its results from one go."""

    def __init__(self, folder: Path) -> None:
        self.grid = write_grid(folder)
        self.folder = folder / "grid.bench"
        self.outcome = done("bench", self.grid, "--cores", "1", "--plots")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("grid"))


def check_same(folder: Path, whole: Whole) -> None:
    assert runs(folder) == runs(whole.folder)
    assert (folder / "summary.md").read_text() == (whole.folder / "summary.md").read_text()
    assert not (folder / "work").exists()


def test_a_file_a_run_with_its_settings_and_no_path_of_the_data(whole: Whole) -> None:
    found = runs(whole.folder)
    assert len(found) == TRIALS + FINALS
    assert sum(outcome["trial"] for outcome in found.values()) == TRIALS
    for name, outcome in found.items():
        assert name == outcome["name"]
        assert name.startswith(f"{outcome['row']}_zoo_noise_{'trial_' if outcome['trial'] else ''}lr0.")
        assert outcome["result"]["config"]["data"] == "noise"
        assert outcome["result"]["seed"] == outcome["seed"] == outcome["result"]["options"]["seed"]
        assert outcome["result"]["config"]["learning_rate"] == outcome["learning_rate"]
        assert str(whole.grid.parent) not in json.dumps(outcome)


def test_the_table_has_mean_deviation_and_every_seed(whole: Whole) -> None:
    text = (whole.folder / "summary.md").read_text(encoding="utf-8")
    assert whole.outcome.out == text
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(("| dense", "| sparse"))]
    assert [line[0] for line in lines] == ["dense", "sparse", "dense", "sparse"]
    for line in lines[:2]:
        ended = [one for one in runs(whole.folder).values() if one["row"] == line[0] and not one["trial"]]
        found = [one["result"]["class_il"] for one in sorted(ended, key=lambda one: one["seed"])]
        assert line[3] == f"{ended[0]['learning_rate']:g}"
        assert line[4] == f"{np.mean(found):.1f} ± {np.std(found):.1f}"
        assert line[5] == ", ".join(f"{one:.1f}" for one in found)
        flops = [one["result"]["training_flops"]["true_sparse"] / 1e9 for one in ended]
        assert line[8].startswith(f"{np.mean(flops):.4g} ±")


def test_the_rate_is_the_best_on_held_out_samples(whole: Whole) -> None:
    found = runs(whole.folder).values()
    for row in ("dense", "sparse"):
        tried = {one["learning_rate"]: one["result"]["class_il"] for one in found if one["trial"] and one["row"] == row}
        assert set(tried) == {0.05, 0.2}
        best = min(rate for rate, value in tried.items() if value == max(tried.values()))
        assert {one["learning_rate"] for one in found if not one["trial"] and one["row"] == row} == {best}


def test_the_test_set_chooses_nothing(whole: Whole, tmp_path: Path) -> None:
    """Another test set: the trials are the same to the last digit, the runs of the table are not."""
    grid = write_grid(tmp_path)
    samples = arrays()
    write_data(tmp_path, x_test=255 - samples["x_test"], y_test=samples["y_test"][::-1])
    done("bench", grid, "--cores", "1")
    # The data's path is part of a run's name: their own folder differs.
    results = [
        {
            (one["row"], one["trial"], one["seed"], one["learning_rate"]): one["result"]["accuracy_matrix"]
            for one in runs(folder).values()
        }
        for folder in (whole.folder, tmp_path / "grid.bench")
    ]
    one, other = results
    assert one.keys() == other.keys()
    assert {key: value for key, value in one.items() if key[1]} == {k: v for k, v in other.items() if k[1]}
    assert one != other


def test_the_plots_are_pictures(whole: Whole) -> None:
    for name in plots.PLOTS:
        assert (whole.folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def drawn(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """By name of a plot its axes, from the results that are there already."""
    folder = Path(shutil.copytree(whole.folder, tmp_path_factory.mktemp("drawn") / "grid.bench"))
    lines: list[Line] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plots, "draw", lambda found, _: lines.extend(found) or [])
        done("bench", whole.grid, "-o", folder, "--plots")
    made = {name: Figure().add_subplot() for name in plots.PLOTS}
    for name, axes in made.items():
        plots.PLOTS[name](axes, lines)
    return made


def seeds_of(whole: Whole, row: str) -> list[dict[str, Any]]:
    """The runs of a row, one a seed, as their files have them."""
    return [one for one in runs_of(whole.folder) if (one["row"], one["trial"]) == (row, False)]


@pytest.mark.parametrize(("plot", "cost"), [("flops", "training_flops"), ("seconds", "training_seconds")])
def test_accuracy_is_drawn_against_what_it_cost(plot: str, cost: str, whole: Whole, drawn: Mapping[str, Any]) -> None:
    for row, bar in zip(("dense", "sparse"), drawn[plot].containers, strict=True):
        found = [one["result"] for one in seeds_of(whole, row)]
        costs = [one[cost]["true_sparse"] if plot == "flops" else one[cost] for one in found]
        point, _, (deviation,) = bar.lines
        middle, values = point.get_xydata()[0], [one["class_il"] for one in found]
        assert middle == pytest.approx([np.mean(costs), np.mean(values)])
        (low, high) = deviation.get_segments()[0][:, 1]
        assert (low, high) == pytest.approx((middle[1] - np.std(values), middle[1] + np.std(values)))
        assert bar.get_label() == row


def test_accuracy_is_drawn_over_the_tasks(whole: Whole, drawn: Mapping[str, Any]) -> None:
    """The mean over the tasks so far, of the first task alone at first."""
    for row, curve in zip(("dense", "sparse"), drawn["tasks"].lines, strict=True):
        found = np.array([one["result"]["accuracy_matrix"] for one in seeds_of(whole, row)], float)
        wanted = [found[:, 0, 0].mean(), found[:, 1, :].mean()]
        assert curve.get_xydata().tolist() == [[1, pytest.approx(wanted[0])], [2, pytest.approx(wanted[1])]]


@pytest.mark.parametrize("plot", ["sparsity", "churn"])
def test_masked_layers_are_drawn_in_order(plot: str, whole: Whole, drawn: Mapping[str, Any]) -> None:
    (curve,) = drawn[plot].lines  # the dense row has no masks
    found = seeds_of(whole, "sparse")
    each = [one["churn"] if plot == "churn" else one["result"]["sparsity"]["per_layer"] for one in found]
    assert curve.get_xdata().tolist() == list(range(1, len(each[0]) + 1))
    assert curve.get_ydata() == pytest.approx(np.mean([list(one.values()) for one in each], axis=0))


def test_the_churn_is_a_share_of_each_masked_layer(whole: Whole) -> None:
    for outcome in runs(whole.folder).values():
        assert outcome["churn"].keys() == outcome["result"]["sparsity"]["per_layer"].keys()
        # Seven exchanges of half a percent of all weights, where a quarter is kept, in each of two tasks.
        assert all(0.0 < share < 0.5 for share in outcome["churn"].values())


def test_a_finished_grid_learns_nothing_again(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "outcomes", lambda *_: pytest.fail("a run was made again"))
    folder = Path(shutil.copytree(whole.folder, tmp_path / "copy"))
    before = contents(folder)
    assert done("bench", whole.grid, "-o", folder).out == whole.outcome.out
    assert contents(folder) == before


def test_runs_under_the_defaults_of_an_older_version_are_told(whole: Whole, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / "copy"))
    assert "other defaults" not in done("bench", whole.grid, "-o", folder).err
    older = [path for path in (folder / "runs").iterdir() if "_trial_" not in path.name][:2]
    for path in older:
        outcome = json.loads(path.read_bytes())
        outcome["result"]["options"] |= {"loss_classes": "all", "an_option_of_then": 1}
        path.write_text(json.dumps(outcome))
    said = done("bench", whole.grid, "-o", folder).err
    assert "note: 2 runs that are there already were learned under other defaults: " in said
    assert "--loss-classes all (today: balanced); remove them from " in said
    for path in older:
        path.unlink()
    assert "other defaults" not in done("bench", whole.grid, "-o", folder).err


def test_another_seed_makes_its_own_runs_alone(whole: Whole, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / "copy"))
    grid = tmp_path / "grid.toml"
    grid.write_text(whole.grid.read_text(encoding="utf-8").replace("seeds = [0, 1]", "seeds = [0, 1, 2]"))
    outcome = done("bench", grid, "-o", folder, "--cores", "1")
    assert "4 of 6 runs are there already" in outcome.err
    assert len(runs(folder)) == TRIALS + FINALS + 2


def start(grid: Path, folder: Path, cores: int) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    code = "from sparcl_compile.cli import bench_command; bench_command()"
    command = [sys.executable, "-c", code, str(grid), "-o", str(folder), "--cores", str(cores)]
    root = str(Path(__file__).resolve().parents[2])
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1", "PYTHONPATH": root}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, text=True)


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    return [int(one) for one in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def check_gone(workers: list[int]) -> None:
    """Check that the workers end, within a minute, after their bench."""
    assert workers
    for _ in range(600):
        if not any(map(lives, workers)):
            return
        time.sleep(0.1)
    pytest.fail("a worker outlives its bench")


def test_a_row_takes_the_rate_that_another_has_chosen(whole: Whole, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / "copy"))
    grid = tmp_path / "grid.toml"
    row = '[rows.static]\nrun = {lr = "sparse"}\ncompile = {sparsity = 0.75, mask-policy = "static"}\n'
    grid.write_text(f"{whole.grid.read_text(encoding='utf-8')}\n{row}")
    assert f"{FINALS} of {FINALS + 2} runs are there already" in done("bench", grid, "-o", folder, "--cores", "1").err
    made, whole_grid = ([one for one in runs(part).values() if not one["trial"]] for part in (folder, whole.folder))
    rates = {row: {one["learning_rate"] for one in made if one["row"] == row} for row in ("static", "sparse")}
    assert rates["static"] == rates["sparse"]
    assert len(made) == len(whole_grid) + 2


def test_killed_and_resumed_it_ends_in_the_same_summary(whole: Whole, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    with start(whole.grid, folder, 2) as bench:
        assert bench.stderr is not None
        for _ in range(TRIALS + 1):
            assert bench.stderr.readline()
        workers = children(bench.pid)
        bench.send_signal(signal.SIGKILL)
        bench.wait(timeout=60)
    assert 0 < len(runs(folder)) < TRIALS + FINALS
    assert not (folder / "summary.md").exists()
    check_gone(workers)
    done("bench", whole.grid, "-o", folder, "--cores", "2")
    check_same(folder, whole)


class Killed(BaseException):
    """Stands for the end of the process: nothing in the program catches it."""


def test_a_run_that_was_killed_in_the_middle_goes_on_from_its_checkpoint(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = read_grid(whole.grid)
    job = Jobs(grid).finals(grid.cells[1], 0.2)[0]
    steps: list[int] = []

    def die(self: object, task: int, *_: object) -> None:
        steps.append(task)
        if task == 1:
            raise Killed

    monkeypatch.setattr(work.Orphan, "step", die)
    with pytest.raises(Killed):
        work.perform(job, 1, tmp_path / "work", os.getpid())
    first = len(steps)
    monkeypatch.setattr(work.Orphan, "step", lambda self, task, *_: steps.append(task))
    outcome = work.perform(job, 1, tmp_path / "work", os.getpid())
    assert set(steps[first:]) == {1}
    monkeypatch.undo()
    again = work.perform(job, 1, None, os.getpid())
    for one in (outcome, again):
        for key in CLOCK:
            one["result"].pop(key)
    assert outcome == again


def test_a_worker_whose_bench_is_gone_ends(tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        raise Killed

    monkeypatch.setattr(os, "_exit", leave)
    grid = read_grid(whole.grid)
    job = Jobs(grid).finals(grid.cells[0], 0.2)[0]
    with pytest.raises(Killed):
        work.perform(job, 1, tmp_path, owner=2**30)
    assert codes == [1]


def test_a_rate_that_diverges_is_not_chosen(tmp_path: Path) -> None:
    text = UNLIMITED.replace("[0.05, 0.2]", "[0.05, 1e30]").replace("seeds = [0, 1]", "seeds = [0]")
    outcome = done("bench", write_grid(tmp_path, text), "--cores", "1")
    assert outcome.err.count(": failed: ") == 2
    lines = [line for line in outcome.out.splitlines() if "1e+30" in line]
    assert len(lines) == 2
    assert all("1e+30: - (failed)" in line for line in lines)
    again = done("bench", tmp_path / "grid.toml", "--cores", "1")
    assert again.out == outcome.out


def test_every_rate_of_every_row_diverges(tmp_path: Path) -> None:
    text = UNLIMITED.replace("[0.05, 0.2]", "[1e29, 1e30]")
    outcome = done("bench", write_grid(tmp_path, text), "--cores", "1", "--plots")
    lines = outcome.err.splitlines()[-2:]
    for line, row in zip(lines, ("dense", "sparse"), strict=True):
        told = (
            f"row {row} (zoo, noise): failed: a trial failed under every learning rate of row {row} (the loss became "
        )
        assert line.startswith(told)
        assert line.endswith("; lower lr (now 1e+29)); add smaller ones")
        assert f"| {row} | zoo | noise | - | - | failed, failed | - | - | - |" in outcome.out
    assert outcome.out == (tmp_path / "grid.bench" / "summary.md").read_text(encoding="utf-8")
    assert len(runs_of(tmp_path / "grid.bench")) == TRIALS
    again = done("bench", tmp_path / "grid.toml", "--cores", "1")
    assert (again.out, again.err.splitlines()[-2:]) == (outcome.out, lines)


def test_a_row_without_a_rate_that_works_fails_with_those_that_take_it_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = UNLIMITED.replace("seeds = [0, 1]", "seeds = [0]").replace("lr = [0.05, 0.2]\n", "")
    text += (
        '\n[rows.sparse.run]\nlr = [1e29, 1e30]\n[rows.static]\nrun = {{lr = "sparse"}}\ncompile = {{sparsity = 0.5}}\n'
    )
    outcome = done("bench", write_grid(tmp_path, text), "--cores", "1")
    told = [line for line in outcome.err.splitlines() if line.startswith("row ")]
    assert [line.partition(": failed: ")[0] for line in told] == ["row sparse (zoo, noise)", "row static (zoo, noise)"]
    assert all("a trial failed under every learning rate of row sparse (" in line for line in told)
    for row in ("sparse", "static"):
        assert f"| {row} | zoo | noise | - | - | failed | - | - | - |" in outcome.out
    finals = [one for one in runs_of(tmp_path / "grid.bench") if not one["trial"]]
    assert [one["row"] for one in finals] == ["dense"]
    assert finals[0]["result"] is not None


def test_the_line_of_a_failure_says_what_a_grid_has(tmp_path: Path) -> None:
    text = UNLIMITED.replace("[0.05, 0.2]", "1e30").replace("seeds = [0, 1]", "seeds = [0]")
    done("bench", write_grid(tmp_path, text), "--cores", "1")
    for one in runs_of(tmp_path / "grid.bench"):
        assert "resume" not in one["failure"]
        assert one["failure"].endswith("; lower lr (now 1e+30)")


def test_a_result_without_a_number_is_a_failure_that_is_read_again(
    tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = work.learn
    monkeypatch.setattr(work, "learn", lambda *args: {**learn(*args), "class_il": None})
    grid = read_grid(whole.grid)
    job = Jobs(grid).finals(grid.cells[0], 0.2)[0]
    results = Results(tmp_path)
    results.write(work.perform(job, 1, tmp_path / "work", os.getpid()))
    found = results.read(job.name)
    assert found.result is None
    assert found.failure is not None
    assert found.failure.startswith("the result lacks a number (")
    assert "class_il" in found.failure


def test_a_class_too_small_to_hold_samples_out_is_refused_in_one_line(tmp_path: Path) -> None:
    samples = arrays()
    kept = np.flatnonzero((samples["y_train"] != 4) | (np.cumsum(samples["y_train"] == 4) <= 4))
    grid = write_grid(tmp_path)
    write_data(tmp_path, x_train=samples["x_train"][kept], y_train=samples["y_train"][kept])
    check_refused(call("bench", grid, "--cores", "1"), "class 4 has 4 training samples", "it needs at least 5")
    assert not list(tmp_path.glob("grid.bench/runs/*"))


def test_dask_gives_the_same_numbers(whole: Whole, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is an extra and not installed here")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        done("bench", whole.grid, "-o", tmp_path / "results", "--dask", cluster.scheduler_address)
    check_same(tmp_path / "results", whole)


def test_without_dask_its_option_is_refused(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    outcome = call("bench", whole.grid, "-o", tmp_path / "results", "--dask", "tcp://127.0.0.1:1")
    mend = "pip install 'sparcl-compile[dask]', or leave --dask out to learn on this machine"
    check_refused(outcome, "--dask tcp://127.0.0.1:1: Dask is not installed;", mend)
    assert not (tmp_path / "results").exists()


def test_no_scheduler_at_the_address(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is an extra and not installed here")
    monkeypatch.setattr(pool, "SECONDS", 1)
    outcome = call("bench", whole.grid, "-o", tmp_path / "results", "--dask", "tcp://127.0.0.1:1")
    check_refused(outcome, "--dask tcp://127.0.0.1:1: no Dask scheduler answers there; give the address")
    assert not (tmp_path / "results").exists()


def test_without_matplotlib_plots_are_refused_before_any_run(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = call("bench", whole.grid, "-o", tmp_path / "results", "--plots")
    check_refused(
        outcome, "--plots: matplotlib is not installed; pip install 'sparcl-compile[plots]', or leave --plots"
    )
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--cores", "0"), "--cores 0: give a number from 1"),
        (("--threads", "-1"), "--threads -1: give a number from 1"),
        (("--cores", "2", "--threads", "3"), "--threads 3: are more than the cores that all runs take together, 2"),
        (("--core", "1"), "No such option"),
    ],
)
def test_refused_options(options: tuple[str, ...], told: str, whole: Whole, tmp_path: Path) -> None:
    check_refused(call("bench", whole.grid, "-o", tmp_path / "results", *options), told)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("sparsity = 0.75", "sparsity = 1.75", "line 24: sparsity 1.75: give a number from 0"),
        ("{data}", "digit", "unknown data source 'digit'; give one of digits"),
        ("{data}", "npz:none.npz", "none.npz does not exist"),
        ("tasks = 2", "tasks = 9", "9"),
        ('init = "fresh"', 'dense = ["nothing*"]', "dense nothing* matches"),
    ],
)
def test_refused_grids_leave_nothing_half_written(old: str, new: str, told: str, tmp_path: Path) -> None:
    grid = write_grid(tmp_path, GRID.replace(old, new, 1))
    check_refused(call("bench", grid, "--cores", "1"), told)
    assert not list(tmp_path.glob("grid.bench/runs/*"))
    assert not (tmp_path / "grid.bench" / "summary.md").exists()


def test_a_refusal_in_a_worker_s_process_is_one_line_too(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, GRID.replace('init = "fresh"', 'dense = ["nothing*"]'))
    check_refused(call("bench", grid, "--cores", "2"), "dense nothing* matches")


def test_ctrl_c_ends_it_in_one_line_and_leaves_no_worker(whole: Whole, tmp_path: Path) -> None:
    with start(whole.grid, tmp_path / "results", 2) as bench:
        assert bench.stderr is not None
        assert bench.stderr.readline()
        workers = children(bench.pid)
        bench.send_signal(signal.SIGINT)
        told = bench.stderr.read()
        assert bench.wait(timeout=60) == 130
    end = "error: interrupted; what is finished is kept, and the same command goes on from there\n"
    assert told.endswith(end)
    assert "Traceback" not in told
    check_gone(workers)


def test_names_of_rows_stay_in_the_folder(tmp_path: Path) -> None:
    text = GRID.replace("[rows.dense]", '[rows."../../up / | ü"]').format(model=write_model(tmp_path), data="digits")
    (tmp_path / "grid.toml").write_text(text, encoding="utf-8")
    grid = read_grid(tmp_path / "grid.toml")
    name = Jobs(grid).finals(grid.cells[0], None)[0].name
    assert name.startswith("..-..-up_zoo_noise_seed0_")


def test_a_damaged_result_is_refused_by_its_name(whole: Whole, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / "copy"))
    path = next((folder / "runs").glob("dense*seed1*.json"))
    path.write_bytes(path.read_bytes()[:200])
    check_refused(call("bench", whole.grid, "-o", folder), path, "is damaged", "remove it, and the run is made again")


def test_two_benches_in_one_folder(whole: Whole, tmp_path: Path) -> None:
    from sparcl_compile.interface import locks

    with locks.writing(tmp_path / locks.FILE, tmp_path, lambda holders: pytest.fail(holders)):
        check_refused(call("bench", whole.grid, "-o", tmp_path), f"{tmp_path}: is in use by ", "wait for its end")


def test_names_are_readable_and_their_own(whole: Whole) -> None:
    grid = read_grid(whole.grid)
    jobs = Jobs(grid)
    made: list[Job] = [job for cell in grid.cells for job in jobs.finals(cell, 0.2)]
    made += [job for cell in grid.cells for several in jobs.trials(cell).values() for job in several]
    assert len({job.name for job in made}) == len(made) == TRIALS + FINALS
    assert made[0].name.rpartition("_")[0] == "dense_zoo_noise_lr0.2_seed0"
    assert [job.name for job in Jobs(grid).finals(grid.cells[0], 0.2)] == [job.name for job in made[:2]]


def test_a_changed_model_makes_other_runs(whole: Whole, tmp_path: Path) -> None:
    grid = read_grid(whole.grid)
    before = Jobs(grid).finals(grid.cells[0], None)[0].name
    other = tmp_path / "zoo.onnx"
    other.write_bytes(grid.models["zoo"].read_bytes() + b"\x00")
    changed = Jobs(type(grid)({"zoo": other}, grid.data, grid.seeds, grid.choose, grid.cells))
    assert changed.finals(grid.cells[0], None)[0].name != before
