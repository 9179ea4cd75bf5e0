"""Small artifacts and samples for the Java learner, and the learner of Python beside it."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from models.export import export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.settings.options import CompileOptions
from tests.conformance.record import network, words
from tests.java.jvm import Jvm

STATE = "state.safetensors"
SAMPLES = 60
"""Of each task."""
CLASSES = 4
RATE = 0.01
"""Far below the artifacts' own, so that what is compared is arithmetic and not chance (docs/portability.md)."""


def compiled(folder: Path, **options: Any) -> Path:
    """An artifact of a small network for images 1x8x8 of four classes."""
    export(network((6, 12)), (1, 8, 8), folder / "network.onnx")
    made = folder / "network.sparcl"
    compile_model(folder / "network.onnx", made, CompileOptions(sparsity=0.75, target="ort", **options))
    return made


def samples(folder: Path, task: int) -> Path:
    """The file with the samples of a task, two classes whose brightness tells them apart."""
    labels = np.arange(SAMPLES) % 2 + 2 * task
    noise = words(SAMPLES * 64, 7 + task).reshape(SAMPLES, 1, 8, 8) % 96
    x = (noise + 50 * labels.reshape(-1, 1, 1, 1)).astype(np.uint8)
    path = folder / f"task{task}.safetensors"
    save_file({"x": x, "labels": labels.astype(np.int64)}, path)
    return path


@dataclasses.dataclass(frozen=True)
class Java:
    """The learner of Java, one process for each call."""

    jvm: Jvm
    artifact: Path
    state: Path

    def command(self, data: Path, call: str, **told: object) -> list[str]:
        options = [f"{name}={value}" for name, value in {"learning_rate": RATE, **told}.items()]
        return self.jvm.command("Teach", self.artifact, self.state, data, call, *options)

    def tried(self, data: Path, call: str, **told: object) -> subprocess.CompletedProcess[str]:
        options = [f"{name}={value}" for name, value in {"learning_rate": RATE, **told}.items()]
        return self.jvm.tried("Teach", self.artifact, self.state, data, call, *options)

    def call(self, data: Path, call: str, **told: object) -> dict[str, Any]:
        """What a call returns, with the losses of its steps as ``losses``."""
        done = self.tried(data, call, losses=1, **told)
        assert done.returncode == 0, done.stderr
        *steps, last = done.stdout.splitlines()
        found: dict[str, Any] = json.loads(last)
        return {**found, "losses": [float(line.split()[2]) for line in steps if line.startswith("step ")]}


PYTHON = """
import sys
from safetensors.numpy import load_file
from sparcl_compile import Learner
artifact, state, data, call, rate, epochs, steps = sys.argv[1:]
given, told = load_file(data), {"steps": int(steps)} if steps else {}
with Learner.open(artifact, state, threads=1, learning_rate=float(rate)) as learner:
    told |= {"epochs": int(epochs), "progress": lambda step: print("step", step.epoch, step.loss)}
    samples = (given["x"], given["labels"]) if call == "learn" else ()
    if call in ("learn", "continue"):
        learner.learn(*samples, **told)
    if call == "observe":
        for sample, label in zip(given["x"], given["labels"], strict=True):
            learner.observe(sample, int(label), epochs=int(epochs), steps=0)
"""


def python(artifact: Path, state: Path, data: Path, call: str, epochs: int, steps: int | None = None) -> list[float]:
    """The losses of a call of the learner of Python, in a process of its own."""
    told = [str(RATE), str(epochs), "" if steps is None else str(steps)]
    printed = in_python(PYTHON, artifact, state, data, call, *told)
    return [float(line.split()[2]) for line in printed.splitlines()]


def in_python(code: str, *arguments: object) -> str:
    """What a program prints that runs in a process of its own."""
    process = begun_in_python(code, *arguments)
    out, complaint = process.communicate()
    assert process.returncode == 0, complaint
    return out


def begun_in_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process with a program."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, env=environment, **pipes)


def progress(state: Path) -> dict[str, Any]:
    """The part of a state that is no tensor, without the time that it took."""
    with safe_open(state / STATE, framework="numpy") as file:
        found: dict[str, Any] = json.loads(file.metadata()["progress"])
    del found["seconds"]
    return found


def tensors(state: Path) -> dict[str, np.ndarray]:
    return load_file(state / STATE)


def differing(one: Path, other: Path) -> list[str]:
    """The tensors of two states that differ, by name."""
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    return [name for name, array in ours.items() if array.tobytes() != theirs[name].tobytes()]


def files(state: Path) -> list[str]:
    return sorted(re.sub("[0-9a-f]{16}", "HASH", path.name) for path in state.iterdir())
