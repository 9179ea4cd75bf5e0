"""What a learner costs in each language: ``python -m benchmarks.drivers [--turns 5]``, on one artifact and one thread.

The drivers take turns. A row has the medians: milliseconds until a learner is open (from the beginning of the process,
in the browser of the page), of the first step, which opens the sessions, and of a step of 32 samples; and the largest
memory of the process. What is missing on a machine is said in the row's place.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import numpy as np
from safetensors.numpy import load_file, save_file

from tests.js import tools
from tests.runtime.kernels.arm64.machine import Unready
from tests.support.story import DATA, compiled

Cost = dict[str, float]
COLUMNS: Mapping[str, str] = {
    "start": "open, ms",
    "first": "first step, ms",
    "step": "step, ms",
    "memory": "memory, MB",
}
SAMPLES = "samples.safetensors"
CLASSES = (0, 1, 2)
THIS = "benchmarks.drivers"


def in_this_process(artifact: Path, samples: Path, began: float) -> Cost:
    """The cost of a learner in this process, which began at a time."""
    import resource  # here and below: what is imported counts

    from sparcl_compile.runtime.learner.learner import Learner

    tensors, times = load_file(samples), []
    with tempfile.TemporaryDirectory() as state, Learner.open(artifact, state, threads=1, batch=32) as learner:
        opened = time.time()
        learner.learn(tensors["x"], tensors["labels"], epochs=4, progress=lambda _: times.append(time.time()))
    steps = np.diff([opened, *times]) * 1e3
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"start": (opened - began) * 1e3, "first": steps[0], "step": float(np.median(steps[1:])), "memory": memory}


def in_python(artifact: Path, samples: Path) -> Cost:
    """The cost of a learner in a Python of its own."""
    command = [sys.executable, "-m", THIS, "--own", str(artifact), str(samples), str(time.time())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unready(done.stderr.strip().splitlines()[-1])
    found: Cost = json.loads(done.stdout)
    return found


def in_javascript(runtime: str) -> Callable[[Path, Path], Cost]:
    """The function that measures a runtime of JavaScript."""

    def measured(artifact: Path, samples: Path) -> Cost:
        if reason := tools.missing(runtime):
            raise Unready(reason)
        found: Cost = json.loads(tools.run("node", "dist/test/cost.js", runtime, artifact, samples))
        return found

    return measured


DRIVERS: Mapping[str, Callable[[Path, Path], Cost]] = {
    "Python": in_python,
    "Node": in_javascript("onnxruntime-node"),
    "Chromium (WASM)": in_javascript("chromium"),
}


def prepared(folder: Path) -> tuple[Path, Path]:
    """An artifact and its samples."""
    artifact = compiled(folder)
    with np.load(folder / DATA) as data:
        rows = np.isin(data["labels"], CLASSES)
        save_file({"x": data["images"][rows], "labels": data["labels"][rows].astype(np.int64)}, folder / SAMPLES)
    return artifact.folder, folder / SAMPLES


def table(turns: int) -> None:
    """Measure all drivers in turns, and print the medians."""
    if not tools.missing():
        tools.build()
    found: dict[str, list[Cost]] = {name: [] for name in DRIVERS}
    notes: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        given = prepared(Path(folder))
        for name in [name for _ in range(turns) for name in DRIVERS]:
            try:
                found[name].append(DRIVERS[name](*given))
            except Unready as error:
                notes[name] = str(error)
    print(f"{'':16}", *(f"{title:>16}" for title in COLUMNS.values()))
    for name, costs in found.items():
        medians = [statistics.median(cost[column] for cost in costs) for column in COLUMNS] if costs else []
        print(f"{name:16}", *(f"{median:16.1f}" for median in medians), "" if costs else notes[name])


@click.command()
@click.option("--turns", default=5, show_default=True, help="How often each driver is measured.")
@click.option("--own", nargs=3, hidden=True, help="Measure this process: artifact, samples, beginning.")
def main(turns: int, own: tuple[str, str, str] | None) -> None:
    """Print the table."""
    if own:
        print(json.dumps(in_this_process(Path(own[0]), Path(own[1]), float(own[2]))))
    else:
        table(turns)


if __name__ == "__main__":
    main()
