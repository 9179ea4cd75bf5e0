"""Invariants of every step of a real run, checked between the steps of the runtime's trainer."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparcl_compile.interface import program as ops
from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.errors import TrainingError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.interface.program import Event, Program
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.tables import Tables
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.runtime.session.engine import Engine
from tests.runtime.driver import test_interpreter as made_up
from tests.support.cli import write_artifact, write_data

EPOCHS = 20
"""A stage of data removal, a tenth of them, presents every sample twice: fewer epochs spare none."""


@dataclasses.dataclass
class Watched:
    """A finished run and what was seen in it."""

    run: Run
    manifest: Manifest
    calls: list[str] = dataclasses.field(default_factory=list)
    updates: list[tuple[dict[str, int], dict[str, int]]] = dataclasses.field(default_factory=list)
    refreshes: list[dict[str, int]] = dataclasses.field(default_factory=list)
    moved: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
    statistics: list[np.ndarray] = dataclasses.field(default_factory=list)
    presented: list[tuple[int, np.ndarray]] = dataclasses.field(default_factory=list)
    removed: list[tuple[int, int, np.ndarray, int]] = dataclasses.field(default_factory=list)
    weights: int = 0


def array_of(value: Any) -> np.ndarray:
    """A feed as an array of its own."""
    return np.array(value.numpy() if isinstance(value, ort.OrtValue) else value)


def watch(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> Watched:
    artifact = load(write_artifact(folder, "--replay-batches", "separate", *options))
    config = RunConfig(
        data=write_data(folder), learning_rate=0.03, tasks=2, epochs=EPOCHS, batch_size=8, buffer_size=10, threads=1
    )
    run = Run(artifact, config, folder / "run")
    seen = Watched(run, artifact.manifest)
    layers = [layer.weight for layer in artifact.manifest.weights]
    original = Engine.run

    def arrays(suffix: str = "") -> dict[str, np.ndarray]:
        return {name: run.engine.array(name + suffix).copy() for name in layers}

    def counts(suffix: str) -> dict[str, int]:
        return {name: int(np.count_nonzero(array)) for name, array in arrays(suffix).items()}

    def watched(engine: Engine, graph: str, feeds: Any, instead: Any = None) -> Any:
        before = arrays() if graph == "optimizer" else {}
        kept = run.engine.array("sample_keep").copy() if graph == "remove_samples" else None
        result = original(engine, graph, feeds, instead)
        seen.calls.append(graph)
        if graph == "optimizer":
            check_moved(seen, before, arrays(), arrays(".mask"), arrays(".gradient_mask"))
        if graph == "update_masks":
            wanted = dict(zip(layers, array_of(feeds["grow_to"]).tolist(), strict=True))
            seen.updates.append((wanted, counts(".mask")))
            check_subset(arrays(".gradient_mask"), arrays(".mask"))
            assert all(np.all(w[m == 0] == 0) for w, m in zip(arrays().values(), arrays(".mask").values(), strict=True))
        if graph == "update_gradient_masks":
            seen.refreshes.append(counts(".gradient_mask"))
            check_subset(arrays(".gradient_mask"), arrays(".mask"))
        if graph == "train":
            seen.statistics.append(run.engine.array("bn2.mean").copy())
            seen.presented.append((run.trainer["task"], array_of(feeds["sample_id"])))
        if kept is not None:
            gone = np.flatnonzero((kept > 0) & (run.engine.array("sample_keep") == 0))
            seen.removed.append((len(seen.presented), run.trainer["task"], gone, int(result["removed_now"].numpy())))
        return result

    monkeypatch.setattr(Engine, "run", watched)
    with Reporter(console(), 2, EPOCHS, quiet=True) as reporter:
        run.train(reporter)
    return seen


def check_subset(inner: dict[str, np.ndarray], outer: dict[str, np.ndarray]) -> None:
    assert all(np.all(outer[name][inner[name] > 0] == 1) for name in inner)


def check_moved(
    seen: Watched,
    before: dict[str, np.ndarray],
    after: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    moving: dict[str, np.ndarray],
) -> None:
    for name, mask in masks.items():
        changed = before[name] != after[name]
        assert not np.any(changed[moving[name] == 0]), name
        assert np.all(after[name][mask == 0] == 0), name
        seen.weights += int(changed.sum())


RECIPES = ("paper", "reference-code")


@pytest.fixture(scope="module", params=RECIPES)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    patch = pytest.MonkeyPatch()
    # Momentum would move a masked weight if anything let it.
    options = ("--recipe", request.param, "--momentum", "0.9", "--weight-decay", "0.01")
    try:
        return watch(tmp_path_factory.mktemp("run"), patch, *options)
    finally:
        patch.undo()


def test_masked_weights_never_move_and_others_do(seen: Watched) -> None:
    assert seen.calls.count("optimizer") == seen.run.trainer["step"] > 20
    assert seen.weights > seen.run.trainer["step"]


def test_every_mask_update_keeps_what_the_manifest_says(seen: Watched) -> None:
    vectors, names = seen.manifest.program.vectors, [layer.weight for layer in seen.manifest.weights]
    base, grown = (dict(zip(names, vectors[f"level.{level}"], strict=True)) for level in ("base", "grown"))
    assert all(kept == wanted for wanted, kept in seen.updates)
    # Nine updates in the first task; the second one begins with the growth.
    assert [kept for _, kept in seen.updates] == [base] * 9 + [grown] + [base] * 9
    assert grown != base


def test_every_refresh_keeps_what_the_manifest_says(seen: Watched) -> None:
    weights, keep = seen.manifest.weights, seen.manifest.program.vectors["gradient_keep"]
    wanted = {layer.weight: kept for layer, kept in zip(weights, keep, strict=True)}
    assert all(wanted[layer.weight] == layer.updated < layer.shrunk for layer in weights)
    assert seen.refreshes == [wanted] * len(seen.refreshes)
    # At the start of each task, and before the first step after a mask update.
    assert len(seen.refreshes) > seen.run.trainer["task"]


def test_removed_samples_never_come_back(seen: Watched) -> None:
    samples = {0: 72, 1: 48}
    for task, size in samples.items():
        stages = [gone for _, when, gone, _ in seen.removed if when == task]
        totals = np.cumsum([len(gone) for gone in stages])
        assert len(stages) == 4
        assert (totals <= [int(0.3 * size * stage / 4 + 0.5) for stage in (1, 2, 3, 4)]).all()
        assert totals[-1] > 0
    for after, task, gone, asked in seen.removed:
        assert len(gone) == asked
        later = [ids for when, ids in seen.presented[after:] if when == task]
        assert not np.isin(np.concatenate(later), gone).any()
    assert sum(len(gone) for _, _, gone, _ in seen.removed) == seen.run.trainer["samples_removed"]


def test_replayed_samples_count_for_nobody(seen: Watched) -> None:
    replayed = [ids for _, ids in seen.presented if (ids == -1).all()]
    current = [ids for _, ids in seen.presented if (ids >= 0).all()]
    assert len(replayed) + len(current) == len(seen.presented)
    assert sum(map(len, current)) == seen.run.trainer["samples_seen"]
    assert sum(map(len, replayed)) == seen.run.trainer["samples_replayed"] > 0


def test_running_statistics_advance_at_every_micro_step(seen: Watched) -> None:
    pairs = zip(seen.statistics, seen.statistics[1:], strict=False)
    assert all(not np.array_equal(a, b) for a, b in pairs)


def test_measuring_leaves_the_state_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, calls = Engine.run, []

    def checked(engine: Engine, graph: str, feeds: Any, instead: Any = None) -> Any:
        before = {name: engine.array(name).tobytes() for name in engine.state} if graph == "measure" else {}
        result = run(engine, graph, feeds, instead)
        changed = {name for name, content in before.items() if engine.array(name).tobytes() != content}
        assert all(engine._specs[name].role == "measured" for name in changed)
        calls.extend(changed)
        return result

    monkeypatch.setattr(Engine, "run", checked)
    watch(tmp_path, monkeypatch)
    assert calls.count("body.weight.g1") > 18
    assert set(calls) == {"body.weight.g1", "body.weight.g2"}


# A trainer by itself

COUNTERS = {"task": 1, "epoch": 0, "task_step": 4, "done": 0}
DUE = ops.Due("updates", (ops.Run("add", feeds={"a": "done", "b": 0}),))
BLOCKS = {
    "begin_task": (ops.Set("done", 0),),
    "step": (ops.Count("done"), ops.Count("task_step"), DUE),
    "fall": (ops.Fail("the loss became {}", "loss"),),
}


def trainer(loss: float = 0.0) -> Trainer:
    """One whose event of a task is due behind its second step of four."""
    events = {"updates": (Event((1, 2), "all", {}),)}
    options = {"learning_rate": 0.03, "epochs": 1, "total": 4, "loss": np.float64(loss)}
    tables = Tables(made_up.samples(range(5)), [made_up.task(10), made_up.task(20)])
    return Trainer(made_up.FakeEngine(), Program(COUNTERS, {}, BLOCKS, events), tables, options)  # type: ignore[arg-type]


def test_steps_are_made_while_there_are_more() -> None:
    made = trainer()
    made.begin_task()
    assert made.seconds == 0.0
    steps = 0
    while made.more:
        made.step()
        steps += 1
    assert (steps, made["done"], made["task_step"]) == (4, 4, 8)
    assert made.seconds > 0.0


def test_a_trainer_goes_on_from_what_it_gave() -> None:
    one, other = trainer(), trainer()
    one.step()
    one.step()
    given = one.progress()
    assert given["counters"] == {"task": 1, "epoch": 0, "task_step": 6, "done": 2}
    assert given["fired"] == {"updates": 1}
    other.restore(given)
    one.step()
    assert given["fired"] == {"updates": 1}
    assert other.progress() == given
    other.step()
    assert other.progress()["counters"] == one.progress()["counters"]
    engine: Any = other._interpreter._engine
    assert engine.calls == []  # the event has run already


def test_a_new_task_has_its_events_before_it() -> None:
    made = trainer()
    for _ in range(2):
        made.begin_task()
        made.step()
        made.step()
    engine: Any = made._interpreter._engine
    assert [call.feeds["a"].tolist() for call in engine.calls] == [2, 2]


def test_an_error_says_where_it_happened_and_the_mend() -> None:
    made = trainer(loss=float("inf"))
    with pytest.raises(TrainingError) as caught:
        made.call("fall")
    assert str(caught.value) == "the loss became inf in task 2, epoch 1, step 5; lower `learning_rate` (now 0.03)"


def test_values_are_read_by_their_names() -> None:
    made = trainer(loss=2.5)
    made.set({"rows": (4, 2)})
    assert (made["total"], made.number("loss"), made.integers("rows")) == (4, 2.5, [4, 2])
    assert made.result("rows").tolist() == [4, 2]
    with pytest.raises(KeyError, match="'speed'"):
        made["speed"]


def test_who_watches_sees_the_graphs() -> None:
    made, seen = trainer(), []
    made.watch(lambda graph, results: seen.append((graph, list(results))))
    made.step()
    made.step()
    assert seen == [("add", ["sum"])]
