"""One run that begins in Python, is killed, goes on in Java, is killed, and ends in Node, as if it had stayed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.runtime.learner.learner import Learner
from sparcl_compile.runtime.learner.results import Step
from tests.java import jvm
from tests.java.support import Java, files, progress
from tests.js import tools
from tests.runtime.kernels.arm64.machine import Unready
from tests.support.story import DATA, ROOT, compiled

EPOCHS, EACH, TESTED = 5, 24, 180
"""Of a task; training samples of a class; samples of the evaluation."""
TASKS = ((0, 1), (2, 3), (4, 5))
RATE = 0.02
"""Below the artifact's own, at which a rounding parts two runtimes (docs/portability.md)."""
CLOSE, POINTS = 1e-3, 1.0
"""The largest difference of a loss, and of class-IL in percentage points."""
HANGS = {"python": (1, 2), "java": (3, 3)}
"""Where a language is killed in the second task: epoch and number of the step."""
KEEP = "sample_keep"
"""The samples that a task has not left out, as floats."""
Losses = dict[tuple[int, int, int], float]
"""By task, epoch and number of the step."""
Orders = dict[tuple[int, int], list[int]]
"""The order of the samples by task and epoch."""

PYTHON = """
import sys, time
from safetensors.numpy import load_file
from sparcl_compile import Learner
artifact, state, rate, epochs, hang, *parts = sys.argv[1:]
def show(step):
    print("step", step.epoch, step.loss, step.task, step.done, flush=True)
    if (step.task, f"{step.epoch}.{step.done}") == (1, hang):
        print("hangs", flush=True)
        time.sleep(60)
with Learner.open(artifact, state, threads=1, learning_rate=float(rate)) as learner:
    for part in parts:
        given = load_file(part)
        learner.learn(given["x"], given["labels"], epochs=int(epochs), progress=show)
"""


@pytest.fixture(scope="module")
def java_machine() -> jvm.Jvm:
    try:
        return jvm.jvm("linux")
    except Unready as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def artifact(built: None, java_machine: jvm.Jvm, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The artifact, beside it a file of samples for each task, and one of all that Node is told of."""
    folder = tmp_path_factory.mktemp("languages")
    made = compiled(folder)
    with np.load(folder / DATA) as data:
        images, labels = data["images"], data["labels"].astype(np.int64)
    rows = [np.sort(np.concatenate([np.flatnonzero(labels == one)[:EACH] for one in task])) for task in TASKS]
    tested = np.flatnonzero(labels < 6)[-TESTED:]
    for name, chosen in {**{f"task{task}": own for task, own in enumerate(rows)}, "tested": tested}.items():
        save_file({"x": images[chosen], "labels": labels[chosen]}, folder / f"{name}.safetensors")
    whole = np.concatenate([rows[2], tested])
    save_file({"x": images[whole], "labels": labels[whole]}, folder / "node.safetensors")
    return made


def part(artifact: Artifact, name: str) -> Path:
    return artifact.folder.parent / f"{name}.safetensors"


def stayed(artifact: Artifact, state: Path) -> tuple[Losses, Orders, float]:
    """The run that nobody kills and that stays in Python."""
    losses: Losses = {}
    orders: Orders = {}
    with Learner.open(artifact, state, learning_rate=RATE, threads=1) as learner:

        def watch(step: Step) -> None:
            losses[step.task, step.epoch, step.done] = step.loss
            orders[step.task, step.epoch] = learner._standing.active().trainer.integers("order")

        for task in range(len(TASKS)):
            given = load_file(part(artifact, f"task{task}"))
            learner.learn(given["x"], given["labels"], epochs=EPOCHS, progress=watch)
        tested = load_file(part(artifact, "tested"))
        return losses, orders, learner.evaluate(tested["x"], tested["labels"]).accuracy


def killed(command: Sequence[str]) -> Losses:
    """Run a learner until it hangs, kill it, and return the losses that it told."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "hangs\n"))
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return dict(told(lines))


def told(lines: Sequence[str]) -> Iterator[tuple[tuple[int, int, int], float]]:
    for line in lines:
        word, epoch, loss, task, done = line.split()
        assert word == "step"
        yield (int(task), int(epoch), int(done)), float(loss)


def in_python(artifact: Artifact, state: Path) -> Losses:
    """The first task, and the second until the process is killed."""
    parts = [str(part(artifact, f"task{task}")) for task in range(2)]
    epoch, done = HANGS["python"]
    given = (str(artifact.folder), str(state), str(RATE), str(EPOCHS), f"{epoch}.{done}")
    return killed([sys.executable, "-c", PYTHON, *given, *parts])


def in_node(artifact: Artifact, state: Path, *orders: Sequence[Any]) -> list[dict[str, Any]]:
    given = (artifact.folder, state, part(artifact, "node"), json.dumps(orders), str(RATE))
    found: list[dict[str, Any]] = json.loads(tools.run("node", "dist/test/turns.js", *given))
    return found


def losses_of(ended: Sequence[dict[str, Any]]) -> Losses:
    """Of the calls of Node that learn."""
    return {(task, epoch, done): loss for one in ended for task, epoch, done, loss in one.get("made", ())}


def check_standing(state: Path, language: str, orders: Orders) -> None:
    """The state is at the beginning of the epoch in which its learner was killed, or in it with the right order."""
    epoch, _ = HANGS[language]
    counters, tensors = progress(state)["counters"], load_file(state / "state.safetensors")
    assert (counters["task"], counters["epoch"]) == (1, epoch)
    if "value.order" in tensors:
        assert tensors["value.order"].tolist() == orders[1, epoch]
    assert [name for name in files(state) if name != ".lock"] == ["samples-HASH.safetensors", "state.safetensors"]


def test_three_languages_and_two_kills(artifact: Artifact, java_machine: jvm.Jvm, tmp_path: Path) -> None:
    wanted, orders, class_il = stayed(artifact, tmp_path / "stayed")
    state = tmp_path / "changed"
    losses = in_python(artifact, state)
    check_standing(state, "python", orders)
    losses |= in_java(java_machine, artifact, state, orders)
    check_standing(state, "java", orders)
    ended = in_node(artifact, state, ("learn", None, None, {"steps": 2}))
    losses |= losses_of(ended)
    assert load_file(state / "state.safetensors")["value.order"].tolist() == orders[1, HANGS["java"][0]]
    third = 2 * EACH
    ended = in_node(
        artifact,
        state,
        ("learn", None, None, {}),
        ("learn", 0, third, {"epochs": EPOCHS}),
        ("evaluate", third, third + TESTED),
    )
    losses |= losses_of(ended)
    assert losses.keys() == wanted.keys()
    assert max(abs(losses[step] - loss) for step, loss in wanted.items()) < CLOSE
    assert ended[-1]["accuracy"] == pytest.approx(class_il, abs=POINTS)
    assert class_il > 100 / len(TASKS)  # it has learned more than its last task
    check_same(tmp_path / "stayed", state)


def in_java(machine: jvm.Jvm, artifact: Artifact, state: Path, orders: Orders) -> Losses:
    """Two steps of the epoch that was lost, and then on until the process is killed."""
    java, nothing = Java(machine, artifact.folder, state), part(artifact, "task1")
    java.call(nothing, "continue", learning_rate=RATE, steps=2)
    check_standing(state, "python", orders)
    assert "value.order" in load_file(state / "state.safetensors")
    epoch, done = HANGS["java"]
    told = {"learning_rate": RATE, "losses": 1, "hang": f"{epoch}.{done}"}
    return killed(java.command(nothing, "continue", **told))


def check_same(one: Path, other: Path) -> None:
    """Masks, buffer, counters and all that is no float are equal, and nothing is left over."""
    ours, theirs = (load_file(state / "state.safetensors") for state in (one, other))
    assert ours.keys() == theirs.keys()
    exact = {name for name, array in ours.items() if array.dtype.kind in "biu" or "mask" in name or name == KEEP}
    assert {"buffer.x", "buffer.labels", "buffer.seen", KEEP} < exact
    assert any("mask" in name for name in exact)
    for name, array in ours.items():
        if name in exact:
            np.testing.assert_array_equal(theirs[name], array, err_msg=name)
        else:
            np.testing.assert_allclose(theirs[name], array, rtol=1e-3, atol=1e-3, err_msg=name)
    assert progress(one) == progress(other)
    assert files(other) == ["state.safetensors"]
