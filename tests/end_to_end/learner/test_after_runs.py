"""A learner goes on with a finished run and with no other, and no run goes on with what a learner has learned."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sparcl_compile import RunConfig, learn
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.runs.run import Run
from tests.end_to_end.learner.content import digits
from tests.support import story
from tests.support.cli import contents

RUN: dict[str, Any] = {"epochs": 2, "buffer_size": 40, "threads": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with twelve images of each digit."""
    images, labels = load_digits(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:12] for digit in range(10)])
    path = tmp_path_factory.mktemp("few") / "few.npz"
    np.savez(path, x=(images[chosen] * 15).astype(np.uint8).reshape(-1, 8, 8), y=labels[chosen])
    return path


def config_of(few: Path, tasks: int) -> RunConfig:
    return RunConfig(data=f"npz:{few}", tasks=tasks, **RUN)


@pytest.fixture(scope="module")
def finished(artifact: Artifact, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    learn(artifact, config_of(few, 1), folder)
    return folder


@pytest.mark.parametrize("how", [{"epochs": 1}, {"epochs": 2, "steps": 3}, {"epochs": 3, "steps": 2}], ids=str)
def test_a_run_that_a_learner_has_gone_on_with_is_not_resumed(
    how: dict[str, int], artifact: Artifact, few: Path, finished: Path, state: Path
) -> None:
    """Not at its end, in the middle of an epoch, or between two: its counters are no longer those of its tasks."""
    shutil.copytree(finished, state)
    with story.opened(artifact, state) as learner:
        images, _ = digits(artifact, 0, 1, each=8)
        learner.learn(images, [0] * len(images), **how)
        assert learner.tasks == 1 + (not learner.under_way)
    before = contents(state)
    with pytest.raises(CheckpointError, match=r"a learner has gone on with this run; go on with `Learner\.open`, or"):
        learn(artifact, config_of(few, 1), state, resume=True)
    assert contents(state) == before


def test_a_finished_run_that_a_learner_only_looked_at_is_resumed(
    artifact: Artifact, few: Path, finished: Path, state: Path
) -> None:
    shutil.copytree(finished, state)
    with story.opened(artifact, state) as learner:
        learner.predict(digits(artifact, 0, each=2)[0])
        learner.save()
    assert learn(artifact, config_of(few, 1), state, resume=True)["class_il"] > 0.0


def test_a_learner_refuses_a_run_that_has_tasks_left(
    artifact: Artifact, few: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would count the classes and tasks that were not learned yet, and the run would pass over the next of them."""
    train = Run._train_task

    def stop_in_the_second(run: Run, *args: Any) -> None:
        if run.epochs_done:
            raise KeyboardInterrupt
        train(run, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "_train_task", stop_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            learn(artifact, config_of(few, 2), state)
    before = contents(state)
    with pytest.raises(CheckpointError, match="is a run that has learned 1 of its 2 tasks; finish it with sparcl-run"):
        story.opened(artifact, state)
    assert contents(state) == before
    learn(artifact, config_of(few, 2), state, resume=True)
    with story.opened(artifact, state) as learner:
        assert learner.tasks == 2


def test_a_run_sets_a_task_under_way_aside_whole_and_the_next_run_removes_it(
    artifact: Artifact, few: Path, state: Path
) -> None:
    """The samples stay as long as a state names them: a learner on the run in between leaves them, too."""
    images, _ = digits(artifact, 0, 1, each=8)
    with story.opened(artifact, state) as learner:
        learner.learn(images, [0] * len(images), epochs=2, steps=1)
    (state / "samples-train.safetensors").write_text("not a learner's")
    (samples,) = (path.name for path in state.iterdir() if checkpoint.SAMPLES_FILE.fullmatch(path.name))
    learn(artifact, config_of(few, 1), state)
    with story.opened(artifact, state) as learner:
        assert (learner.tasks, learner.under_way) == (1, False)
        learner.save()
    kept = {"samples-train.safetensors", checkpoint.FILE, checkpoint.PREVIOUS}
    assert set(contents(state)) - {".lock"} == {*kept, samples}

    again = Path(shutil.copytree(state, state.with_name("again")))
    (again / checkpoint.PREVIOUS).replace(again / checkpoint.FILE)
    with story.opened(artifact, again) as learner:
        assert (learner.tasks, learner.under_way) == (0, True)

    learn(artifact, config_of(few, 1), state)
    assert set(contents(state)) - {".lock"} == kept
