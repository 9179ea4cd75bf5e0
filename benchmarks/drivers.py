"""What a learner costs in each language: ``python -m benchmarks.drivers [--network resnet18]``, on one thread.

All learn one artifact and the same samples, in turns. A row has the medians: milliseconds until a learner is open (from
the beginning of the process, in the browser of the page), of the first step, which opens the sessions, and of a step of
32 samples; the processor time of a step, over all threads, which says more than the other on a machine that has much
else to do; and the largest memory of the process. What is missing on a machine is said in the row's place.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
import numpy as np
from safetensors.numpy import load_file, save_file

from models.export import COLOUR, build, export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.settings.options import CompileOptions
from tests.java import jvm
from tests.js import tools
from tests.runtime.kernels.arm64.machine import Unready
from tests.support.story import DATA, compiled

Cost = dict[str, float]
Measure = Callable[[Path, Path, int], Cost]
"""Measures one process with an artifact, samples and so many epochs."""
COLUMNS: Mapping[str, str] = {
    "start": "open, ms",
    "first": "first step, ms",
    "step": "step, ms",
    "busy": "processor, ms a step",
    "memory": "memory, MB",
}
SAMPLES = "samples.safetensors"
CLASSES = (0, 1, 2)
PHOTOS = 96
"""Samples of 3x32x32 for the ResNet: as their values cost nothing, they are noise."""
SMALL = ("-Xmx32m", "-XX:MaxDirectMemorySize=1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A JVM with a small heap, beside which the state lies, and the first of its two compilers, as Android's is."""


def in_python(artifact: Path, samples: Path, epochs: int) -> Cost:
    """The cost of a learner in a Python of its own."""
    command = (sys.executable, "-m", "benchmarks.one_learner", str(artifact), str(samples), str(epochs))
    return _told(*command, str(time.time()), at=Path.cwd())


def in_javascript(runtime: str) -> Measure:
    """The function that measures a runtime of JavaScript."""

    def measured(artifact: Path, samples: Path, epochs: int) -> Cost:
        if reason := tools.missing(runtime):
            raise Unready(reason)
        return _told("node", "dist/test/cost.js", runtime, str(artifact), str(samples), str(epochs))

    return measured


def in_java(library: str, *flags: str) -> Measure:
    """The function that measures Java with a build of ONNX Runtime and flags of the JVM."""

    def measured(artifact: Path, samples: Path, epochs: int) -> Cost:
        command = jvm.jvm(library).command("Cost", artifact, samples, epochs)
        place = command.index("java") + 1
        with tempfile.TemporaryDirectory() as state:
            return _told(*command[:place], *flags, *command[place:], state, str(time.time() * 1e3))

    return measured


def _told(*command: str, at: Path = tools.PACKAGE) -> Cost:
    """What a process prints last."""
    found: Cost = json.loads(tools.run(*command, at=at).splitlines()[-1])
    return found


DRIVERS: Mapping[str, Measure] = {
    "Python": in_python,
    "Java": in_java("linux"),
    "Java, small": in_java("linux", *SMALL),
    "Java, Android's build": in_java("android"),
    "Node": in_javascript("onnxruntime-node"),
    "Chromium (WASM)": in_javascript("chromium"),
}


def digits(folder: Path) -> Path:
    """The quickstart's network with images 8x8."""
    artifact = compiled(folder, replay_batches="separate")
    with np.load(folder / DATA) as data:
        rows = np.isin(data["labels"], CLASSES)
        save_file({"x": data["images"][rows], "labels": data["labels"][rows].astype(np.int64)}, folder / SAMPLES)
    return artifact.folder


def resnet18(folder: Path) -> Path:
    """A ResNet-18 of width 20 with images 3x32x32."""
    export(build("resnet18", width=20), COLOUR, folder / "resnet18.onnx")
    compile_model(
        folder / "resnet18.onnx", folder / "resnet18.sparcl", CompileOptions(sparsity=0.8, replay_batches="separate")
    )
    x = np.random.default_rng(0).integers(256, size=(PHOTOS, *COLOUR)).astype(np.uint8)
    save_file({"x": x, "labels": np.arange(PHOTOS) % len(CLASSES)}, folder / SAMPLES)
    return folder / "resnet18.sparcl"


NETWORKS: Mapping[str, tuple[Callable[[Path], Path], int]] = {"digits": (digits, 4), "resnet18": (resnet18, 2)}
"""What makes an artifact and its samples, and the epochs that they are learned for."""


def measured(network: str, turns: int) -> Iterator[tuple[str, Cost | str]]:
    """Yield the costs of all drivers in turns, or what is missing."""
    if not tools.missing():
        tools.build()
    make, epochs = NETWORKS[network]
    with tempfile.TemporaryDirectory() as folder:
        artifact = make(Path(folder))
        count = len(load_file(Path(folder, SAMPLES))["labels"])
        click.echo(f"{network}: {count} samples, {epochs} epochs, {turns} turns", err=True)
        for name in [name for _ in range(turns) for name in DRIVERS]:
            yield name, _cost(name, artifact, Path(folder, SAMPLES), epochs)


def _cost(driver: str, artifact: Path, samples: Path, epochs: int) -> Cost | str:
    """The cost of a driver, or what is missing for it."""
    try:
        return DRIVERS[driver](artifact, samples, epochs)
    except Unready as error:
        return str(error)


@click.command()
@click.option("--network", type=click.Choice(list(NETWORKS)), default="digits", show_default=True)
@click.option("--turns", default=5, show_default=True, help="How often each driver is measured.")
def main(network: str, turns: int) -> None:
    """Print the table, as a page has it."""
    found: dict[str, list[Cost]] = {name: [] for name in DRIVERS}
    notes: dict[str, str] = {}
    for name, cost in measured(network, turns):
        if isinstance(cost, str):
            notes[name] = cost
        else:
            found[name].append(cost)
    click.echo(f"| | {' | '.join(COLUMNS.values())} |\n|---|{'---|' * len(COLUMNS)}")
    for name, costs in found.items():
        click.echo(f"| {name} | {' | '.join(_medians(costs)) if costs else notes[name]} |")


def _medians(costs: list[Cost]) -> Iterator[str]:
    """The medians of the columns; a browser does not tell its processor time."""
    for column in COLUMNS:
        numbers = [cost[column] for cost in costs if column in cost]
        yield f"{statistics.median(numbers):.1f}" if numbers else ""


if __name__ == "__main__":
    main()
