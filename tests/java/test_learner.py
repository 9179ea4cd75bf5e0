"""The learner of Java: what it keeps, how it goes on, what it refuses, and that Python goes on with it."""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.errors import CheckpointError
from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.session import kernel_library
from tests.java import support
from tests.java.jvm import FETCH, Jvm
from tests.java.support import Java, differing, files, progress, python, tensors
from tests.runtime.kernels.arm64.machine import call

KILLS = int(os.environ.get("KILLS", "3"))
EPOCHS = 3
STEPS = 21
"""Of a task: its 60 samples in batches of 8, a few of which are left out in the last epoch."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("java")
    for task in range(3):
        support.samples(made, task)
    return made


@pytest.fixture(scope="module")
def artifact(folder: Path) -> Path:
    return support.compiled(folder)


@pytest.fixture(scope="module")
def begun(linux: Jvm, artifact: Path, folder: Path) -> Java:
    """A learner that has learnt its first task."""
    java = Java(linux, artifact, folder / "begun")
    found = java.call(folder / "task0.safetensors", "learn", epochs=EPOCHS)
    assert (found["reason"], found["steps"], len(found["losses"])) == ("done", STEPS, STEPS)
    return java


def copy(java: Java, state: Path) -> Java:
    shutil.copytree(java.state, state)
    return Java(java.jvm, java.artifact, state)


def test_a_task_that_is_learnt_leaves_the_state_alone(begun: Java) -> None:
    assert files(begun.state) == ["state.safetensors"]
    found = progress(begun.state)
    assert found["samples"]["classes"] == ["0", "1"]
    assert found["samples"]["classes_by_task"] == [[0, 1]]
    assert (found["counters"]["task"], found["counters"]["step"], found["learning"]) == (1, STEPS, None)


def test_a_task_in_pieces_is_the_same_task(begun: Java, folder: Path, tmp_path: Path) -> None:
    whole, pieces, data = copy(begun, tmp_path / "w"), copy(begun, tmp_path / "p"), folder / "task1.safetensors"
    wanted = whole.call(data, "learn", epochs=EPOCHS)["losses"]
    found = pieces.call(data, "learn", epochs=EPOCHS, steps=5)
    assert found["reason"] == "steps"
    assert files(pieces.state) == ["samples-HASH.safetensors", "state.safetensors"]
    assert {"value.order", "value.position"} <= tensors(pieces.state).keys()
    losses = found["losses"]
    for steps in (3, 11, 100):
        losses += pieces.call(data, "continue", steps=steps)["losses"]
    assert losses == wanted
    assert differing(whole.state, pieces.state) == []
    assert progress(whole.state) == progress(pieces.state)
    assert files(pieces.state) == ["state.safetensors"]


def test_a_listener_may_ask_and_save(begun: Java, folder: Path, tmp_path: Path) -> None:
    """The task is learned as if it had not; only the evaluation's own counts are there besides."""
    alone, asked, data = copy(begun, tmp_path / "alone"), copy(begun, tmp_path / "asked"), folder / "task0.safetensors"
    wanted = alone.call(data, "learn", epochs=2)["losses"]
    assert asked.call(data, "learn", epochs=2, within="predict,evaluate,report,save")["losses"] == wanted
    assert set(differing(alone.state, asked.state)) == {"score.class_correct", "score.class_seen"}


def test_a_listener_may_keep_samples(begun: Java, folder: Path, tmp_path: Path) -> None:
    java = copy(begun, tmp_path / "s")
    made = java.call(folder / "task0.safetensors", "learn", epochs=1, steps=3, within="keep")
    assert (made["reason"], made["steps"]) == ("steps", 3)
    assert "pending.safetensors" in files(java.state)


def test_a_run_goes_from_python_to_java_and_back(linux: Jvm, artifact: Path, folder: Path, tmp_path: Path) -> None:
    """The same orders, masks and buffer as a run that stays in Python, and losses within 1e-3."""
    first, second = (folder / f"task{task}.safetensors" for task in range(2))
    alone, mixed = tmp_path / "alone", tmp_path / "mixed"
    java = Java(linux, artifact, mixed)
    wanted = python(artifact, alone, first, "learn", EPOCHS) + python(artifact, alone, second, "learn", EPOCHS)
    losses = python(artifact, mixed, first, "learn", EPOCHS, 5)
    losses += java.call(first, "continue", steps=12)["losses"]
    losses += python(artifact, mixed, first, "continue", EPOCHS)
    losses += java.call(second, "learn", epochs=EPOCHS, steps=7)["losses"]
    losses += python(artifact, mixed, second, "continue", EPOCHS)
    assert len(losses) == len(wanted) == 2 * STEPS
    assert np.abs(np.subtract(losses, wanted)).max() < 1e-3
    assert progress(mixed) == progress(alone)
    exact = [name for name, array in tensors(alone).items() if array.dtype != np.float32 or "mask" in name]
    assert {"buffer.x", "buffer.labels", "buffer.seen"} < set(exact)
    assert not {"epoch.loss", *differing(alone, mixed)} - {"epoch.loss"} & set(exact)


def test_answers_are_python_s(begun: Java, folder: Path) -> None:
    data = folder / "task0.safetensors"
    found = begun.call(data, "predict")
    assert found["classes"] == ["0", "1"]
    assert np.allclose(np.sum(found["probabilities"], axis=1), 1.0, atol=1e-6)
    code = (
        "import json, sys; from safetensors.numpy import load_file; from sparcl_compile import Learner\n"
        "with Learner.open(*sys.argv[1:3]) as learner: found = learner.predict(load_file(sys.argv[3])['x'])\n"
        "print(json.dumps([found.names, found.probabilities.tolist()]))"
    )
    names, probabilities = json.loads(support.in_python(code, begun.artifact, begun.state, data))
    assert found["names"] == names
    assert np.allclose(found["probabilities"], probabilities, atol=1e-5)
    accuracy = begun.call(data, "evaluate")
    assert accuracy["samples"] == support.SAMPLES
    right = np.mean([name == str(row % 2) for row, name in enumerate(names)])
    assert accuracy["accuracy"] == pytest.approx(100 * right)


def test_observed_samples_wait_and_become_a_task(begun: Java, folder: Path, tmp_path: Path) -> None:
    java, data = copy(begun, tmp_path / "s"), folder / "task1.safetensors"
    assert java.call(data, "observe", steps=0)["steps"] == 0
    assert files(java.state) == ["pending.safetensors", "state.safetensors"]
    assert java.call(data, "continue", epochs=1, steps=2)["reason"] == "steps"
    found = progress(java.state)
    assert (found["taken"], found["learning"]["epochs"]) == (support.SAMPLES, 1)
    assert files(java.state) == ["samples-HASH.safetensors", "state.safetensors"]
    assert java.call(data, "continue")["reason"] == "done"
    assert progress(java.state)["samples"]["classes_by_task"] == [[0, 1], [2, 3]]


def test_python_learns_what_java_observed(begun: Java, folder: Path, tmp_path: Path) -> None:
    java, data = copy(begun, tmp_path / "s"), folder / "task1.safetensors"
    java.call(data, "observe", steps=0)
    python(java.artifact, java.state, data, "continue", 1)
    assert progress(java.state)["samples"]["classes"] == ["0", "1", "2", "3"]
    assert (progress(java.state)["taken"], files(java.state)) == (support.SAMPLES, ["state.safetensors"])


def test_it_is_killed_and_goes_on(begun: Java, folder: Path, tmp_path: Path) -> None:
    """At most the epoch under way is lost, the end is the same, and nothing is left over; ``KILLS=50`` kills more."""
    data, epochs, draw, killed = folder / "task1.safetensors", 40, random.Random(1), 0
    whole, started = copy(begun, tmp_path / "whole"), time.monotonic()
    whole.call(data, "learn", epochs=epochs)
    length = time.monotonic() - started
    java = copy(begun, tmp_path / "killed")
    while killed < KILLS:
        under_way = progress(java.state)["learning"]
        if progress(java.state)["counters"]["task"] == 2:
            shutil.rmtree(java.state)
            java = copy(begun, tmp_path / "killed")
            continue
        before = progress(java.state)["counters"]["epoch"]
        call = "continue" if under_way else "learn"
        printed = killed_behind(java.command(data, call, epochs=epochs, losses=1), draw.uniform(0.1, 0.9) * length)
        killed += printed is not None
        now = progress(java.state)["counters"]
        done = epochs if now["task"] == 2 else now["epoch"]
        assert done >= max(before, *(printed or [0]))
    call = "continue" if progress(java.state)["learning"] else "learn"
    if progress(java.state)["counters"]["task"] == 1:
        java.call(data, call, epochs=epochs)
    assert differing(whole.state, java.state) == []
    assert progress(whole.state) == progress(java.state)
    assert files(java.state) == ["state.safetensors"]


def killed_behind(command: list[str], seconds: float) -> list[int] | None:
    """Kill a learner after so many seconds; the epochs of its steps, or None where it ended before."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.communicate(timeout=seconds)
        return None
    except subprocess.TimeoutExpired:
        process.kill()
    lines = [line.split() for line in process.communicate()[0].splitlines()]
    return [int(parts[1]) for parts in lines if len(parts) == 5 and parts[0] == "step"] or [0]


def test_no_observed_sample_is_lost_by_a_kill(begun: Java, folder: Path, tmp_path: Path) -> None:
    java, data = copy(begun, tmp_path / "s"), folder / "task1.safetensors"
    process = subprocess.Popen(java.command(data, "observe", steps=0, told=1), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(3)]
    process.kill()
    process.communicate()
    assert told == ["kept 1\n", "kept 2\n", "kept 3\n"]
    java.call(data, "continue", epochs=1)
    assert progress(java.state)["taken"] >= 3
    assert files(java.state) == ["state.safetensors"]


@pytest.mark.skipif(FETCH not in os.environ, reason="`make test-java` tries it: another artifact has to be compiled")
def test_the_kernel_library_is_used_where_the_weights_are_compressed(linux: Jvm, folder: Path, tmp_path: Path) -> None:
    library = kernel_library.library()
    if library is None:
        pytest.skip(kernel_library.reason())
    artifact = support.compiled(tmp_path, compress=True, select_kernels=False)
    java, data = Java(linux, artifact, tmp_path / "s"), folder / "task0.safetensors"
    refused = java.tried(data, "learn", epochs=1)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "needs sparse kernels; name their library with Options.kernels" in refused.stderr
    java.call(data, "learn", epochs=1, kernels=library)
    wanted = python(artifact, tmp_path / "python", data, "learn", 1)
    shutil.rmtree(java.state)
    assert np.allclose(java.call(data, "learn", epochs=1, kernels=library)["losses"], wanted, atol=1e-5)


@pytest.mark.skipif(FETCH not in os.environ, reason="`make test-java` tries it; the conformance kits run there always")
def test_it_learns_on_the_build_for_android(begun: Java, android: Jvm, folder: Path, tmp_path: Path) -> None:
    here, there = copy(begun, tmp_path / "linux"), copy(begun, tmp_path / "android")
    there = Java(android, there.artifact, there.state)
    data = folder / "task1.safetensors"
    assert here.call(data, "learn", epochs=1)["losses"] == there.call(data, "learn", epochs=1)["losses"]
    assert differing(here.state, there.state) == []


def test_images_of_another_size_get_python_s_answers(begun: Java, folder: Path, tmp_path: Path) -> None:
    numbers = support.words(3 * 20 * 9, 5) % 256
    x = numbers.reshape(3, 20, 9, 1).astype(np.uint8)
    support.save_file({"x": x, "labels": np.zeros(3, np.int64)}, tmp_path / "x.safetensors")
    found = begun.call(tmp_path / "x.safetensors", "predict")["probabilities"]
    code = (
        "import sys; from safetensors.numpy import load_file; from sparcl_compile import Learner\n"
        "with Learner.open(*sys.argv[1:3]) as learner: found = learner.predict(load_file(sys.argv[3])['x'])\n"
        "print(found.probabilities.tolist())"
    )
    wanted = json.loads(support.in_python(code, begun.artifact, begun.state, tmp_path / "x.safetensors"))
    assert np.allclose(found, wanted, atol=1e-5)


def test_the_example_of_the_page_runs(linux: Jvm, artifact: Path, root: Path, tmp_path: Path) -> None:
    page = (root / "docs" / "learner-java.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```java\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "Example.java").write_text(block, encoding="utf-8")
    call(
        "javac",
        "--release",
        "8",
        "-Xlint:all,-options",
        "-cp",
        linux.classes,
        "-d",
        tmp_path,
        tmp_path / "Example.java",
    )
    command = linux.command("Teach", artifact, tmp_path / "state")
    command[command.index("sparcl.Teach")] = "Example"
    command[command.index("-cp") + 1] += f":{tmp_path}"
    assert call(*command).splitlines()[1:] == ["2", "1"]


# What it refuses


def refused(java: Java, data: Path, call: str, **told: object) -> str:
    """The one line of a call that cannot be made."""
    done = java.tried(data, call, **told)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 0), done.stderr
    return done.stderr


def test_a_second_task_while_one_is_under_way(begun: Java, folder: Path, tmp_path: Path) -> None:
    java, data = copy(begun, tmp_path / "s"), folder / "task1.safetensors"
    java.call(data, "learn", epochs=1, steps=1)
    assert "a task is under way; go on with it by learn()" in refused(java, data, "learn")
    java.call(data, "end")
    assert progress(java.state)["samples"]["classes_by_task"] == [[0, 1], [2, 3]]
    assert "no task is under way" in refused(java, data, "end")


@pytest.mark.parametrize("call", ["learn", "continue", "observe", "end", "close"])
def test_what_a_listener_may_not_call(begun: Java, folder: Path, tmp_path: Path, call: str) -> None:
    """It would take the task from under the call that learns; that call ends where its last save was."""
    java, data = copy(begun, tmp_path / "s"), folder / "task1.safetensors"
    line = refused(java, data, "learn", epochs=1, within=call)
    assert f"{java.state}: another call is learning; wait for its end, or return false from its listener" in line
    assert (progress(java.state)["counters"]["step"], progress(java.state)["taken"]) == (STEPS, 0)
    assert java.call(data, "continue")["reason"] == "done"
    assert progress(java.state)["samples"]["classes_by_task"] == [[0, 1], [2, 3]]
    assert files(java.state) == ["state.safetensors"]


def test_a_loss_that_is_no_number(linux: Jvm, folder: Path, tmp_path: Path) -> None:
    """The learner stands where its last save was, and goes on at a lower rate."""
    java, data = Java(linux, support.compiled(tmp_path, step_limit=0.0), tmp_path / "s"), folder / "task1.safetensors"
    java.call(folder / "task0.safetensors", "learn", epochs=EPOCHS)
    line = refused(java, data, "learn", learning_rate=1e30)
    assert re.search(r"the loss became \S+ in task 2, epoch 1, step \d+; lower the learning rate \(now 1.0E30\)$", line)
    assert progress(java.state)["counters"]["step"] == STEPS
    assert java.call(data, "continue")["reason"] == "done"
    assert progress(java.state)["samples"]["classes_by_task"] == [[0, 1], [2, 3]]


EMPTY = "`labels`: one is empty; give each sample a name"


def test_what_cannot_be_written_changes_nothing(linux: Jvm, artifact: Path, tmp_path: Path) -> None:
    lines = linux.run("Lost", artifact, tmp_path / "state").splitlines()
    assert lines == ["true", "true", "[] false 0", "done [a, b] 1", EMPTY, *["true"] * 4]


def test_other_files_in_the_folder_of_a_state_are_left_alone(begun: Java, folder: Path, tmp_path: Path) -> None:
    java = copy(begun, tmp_path / "s")
    others = {"samples-train.safetensors", "photos.new.20261130", ".photos.new.20261130", "readme.txt"}
    left = {".state.safetensors.new.0123abcd", "samples-0123456789abcdef.safetensors"}
    for name in others | left:
        (java.state / name).write_text(name)
    java.call(folder / "task1.safetensors", "learn", epochs=1)
    assert {path.name for path in java.state.iterdir()} == {*others, "state.safetensors"}


def test_the_samples_of_a_state_that_is_set_aside_stay_as_long_as_it_does(
    begun: Java, folder: Path, tmp_path: Path
) -> None:
    java, data = copy(begun, tmp_path / "s"), folder / "task1.safetensors"
    java.call(data, "learn", epochs=2, steps=1)
    aside = (java.state / "state.safetensors").rename(java.state / "state.previous.safetensors")
    kept = ["samples-HASH.safetensors", "state.previous.safetensors"]
    assert "nothing was learnt yet" in refused(java, data, "report")
    assert files(java.state) == kept
    aside.write_bytes(aside.read_bytes()[:1000])  # it may have named anything
    assert "nothing was learnt yet" in refused(java, data, "report")
    assert files(java.state) == kept
    aside.unlink()
    assert "nothing was learnt yet" in refused(java, data, "report")
    assert files(java.state) == []


def test_more_classes_than_the_head_has(begun: Java, folder: Path, tmp_path: Path) -> None:
    java = copy(begun, tmp_path / "s")
    java.call(folder / "task1.safetensors", "observe", steps=0)
    line = refused(java, folder / "task2.safetensors", "learn")
    assert line.endswith("has 4 classes, and all are taken; compile the model again with sparcl-compile --classes 6")
    assert progress(java.state)["samples"]["classes"] == ["0", "1"]


def test_an_option_of_the_state_that_is_another_one(begun: Java, folder: Path) -> None:
    line = refused(begun, folder / "task0.safetensors", "report", seed=5)
    assert "has `seed` 0, this call 5; leave it out, or give another folder as state" in line


def test_an_augmentation_of_other_samples(begun: Java, folder: Path, tmp_path: Path) -> None:
    java = Java(begun.jvm, begun.artifact, tmp_path / "s")
    line = refused(java, folder / "task0.safetensors", "report", augment="jitter_shift_scale")
    assert line == "`augment` jitter_shift_scale: is not for samples of this model; give auto or none"


def test_a_state_inside_of_the_artifact(begun: Java, folder: Path) -> None:
    java = Java(begun.jvm, begun.artifact, begun.artifact / "state")
    assert ": is a compiled artifact or in one; name another place" in refused(
        java, folder / "task0.safetensors", "report"
    )
    assert not java.state.exists()


def test_a_state_of_another_artifact(begun: Java, folder: Path, tmp_path: Path) -> None:
    other = Java(begun.jvm, support.compiled(tmp_path, seed=1), copy(begun, tmp_path / "s").state)
    assert ": is a state of another artifact than " in refused(other, folder / "task0.safetensors", "report")


def as_run(java: Java, tasks: int) -> None:
    """Let a state be that of a run of so many tasks."""
    found = checkpoint.read(java.state)
    checkpoint.save(java.state, found.arrays, found.progress, {**found.identity, "tasks": tasks}, again=False)


def test_a_run_that_has_tasks_left(begun: Java, folder: Path, tmp_path: Path) -> None:
    """In Python's words; with a task under way it is a learner's, whatever it began as."""
    java, data = copy(begun, tmp_path / "s"), folder / "task1.safetensors"
    as_run(java, 2)
    with pytest.raises(CheckpointError, match="is a run that has learned 1 of its 2 tasks; finish it") as error:
        checkpoint.read_learner(java.state, load(java.artifact))
    assert refused(java, data, "report") == str(error.value)
    as_run(java, 1)
    assert java.call(data, "learn", epochs=2, steps=1)["reason"] == "steps"
    as_run(java, 2)
    assert java.call(data, "continue")["reason"] == "done"


def test_a_damaged_state(begun: Java, folder: Path, tmp_path: Path) -> None:
    java = copy(begun, tmp_path / "s")
    path = java.state / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "is damaged (its checksum differs)" in refused(java, folder / "task0.safetensors", "report")
    path.write_bytes(content[:1000])
    assert "is damaged (" in refused(java, folder / "task0.safetensors", "report")


def test_a_damaged_artifact(begun: Java, folder: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "a.sparcl"
    shutil.copytree(begun.artifact, artifact)
    (artifact / "eval" / "eval_model.onnx").write_bytes(b"")
    java = Java(begun.jvm, artifact, tmp_path / "s")
    assert "is damaged (its checksum differs)" in refused(java, folder / "task0.safetensors", "report")
    assert not (tmp_path / "s").exists()


def test_samples_of_another_form(begun: Java, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "floats.safetensors"
    support.save_file({"x": np.zeros((2, 1, 8, 8), np.float32), "labels": np.zeros(2, np.int64)}, path)
    assert "are float32, and this learner's are uint8" in refused(begun, path, "predict")


def test_a_class_that_was_never_learnt(begun: Java, folder: Path) -> None:
    line = refused(begun, folder / "task1.safetensors", "evaluate")
    assert "`2`: is no class of this learner; give one of [0, 1]" in line


def test_two_learners_on_one_state(begun: Java, folder: Path, tmp_path: Path) -> None:
    """Java and Python refuse what the other has, and name it."""
    java, data = copy(begun, tmp_path / "s"), folder / "task0.safetensors"
    holder = subprocess.Popen(java.command(data, "hold"), stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        name = f"is in use by java sparcl.Teach (process {holder.pid} on {socket.gethostname()}, since "
        assert name in refused(java, data, "report")
        code = "import sys; from sparcl_compile import Learner; Learner.open(*sys.argv[1:])"
        with pytest.raises(AssertionError, match=r"is in use by java sparcl\.Teach"):
            support.in_python(code, java.artifact, java.state)
    finally:
        holder.kill()
        holder.communicate()
    assert (java.state / ".lock").exists()
    java.call(data, "report")  # a dead process holds nothing
    assert files(java.state) == ["state.safetensors"]


def test_java_refuses_what_python_holds(begun: Java, folder: Path, tmp_path: Path) -> None:
    java = copy(begun, tmp_path / "s")
    code = (
        "import sys; from sparcl_compile import Learner\n"
        "with Learner.open(*sys.argv[1:3]): print('held', flush=True); input()"
    )
    holder = support.begun_in_python(code, java.artifact, java.state)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert f"(process {holder.pid} on " in refused(java, folder / "task0.safetensors", "report")
    finally:
        holder.kill()
        holder.communicate()
