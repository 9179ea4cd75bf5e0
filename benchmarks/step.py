"""Training step time, interleaved: PyTorch, ONNX Runtime's own dense step, SparseProp, and this tool's forms.

``python -m benchmarks.step`` prints a table and writes build/bench/step.json. One step is forward, backward and SGD on
one batch of 32 images of 3x32x32 by a ResNet-18; the last rows are three smaller models, each with its own dense steps
to compare with; SparseProp has rows where it is installed. Each contestant runs in a process of its own, as a user's
does: one pool of memory for all of them would cost the sparse forms 5 to 8 % of their ratio. A few at a time take turns
with their model's dense steps, so that a noisy machine disturbs all alike; the median of a contestant's times counts,
and its ratios are to the dense steps of its own turns. Peak memory is that of a process which only runs this
contestant's step (benchmarks/alone.py), its libraries included; beside it stand what the libraries alone take and what
the compiler estimates for activations, gradients, state and feeds together.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from benchmarks.alone import BATCH
from benchmarks.contestants import BASELINES, CONTESTANTS, QUICK, RESNET, WIDTH, Setting, artifact_folder
from benchmarks.files import write_json
from benchmarks.processes import Turns, in_turns
from sparcl_compile.interface.artifact import read_report

AT_ONCE = 6
"""Contestants that are there at once beside their dense steps: of ResNet-18 with width 64 three to four gigabytes."""
WALL, PROCESSOR = 0, 1
"""The clocks of benchmarks/stepper.py."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table and of step.json."""

    name: str
    model: str
    scheme: str
    sparsity: float
    gradient_sparsity: float
    samples_per_second: float
    ratio_to_pytorch: float | None
    ratio_to_ort_dense: float | None
    peak_memory_bytes: int
    imports_bytes: int
    estimated_bytes: int | None


@dataclasses.dataclass(frozen=True)
class Times:
    """Median seconds of a contestant's step, and of the dense steps it took turns with, by their suffixes."""

    step: float
    baselines: Mapping[str, float]


def measure(settings: Sequence[Setting], repeats: int, threads: int, folder: Path) -> dict[str, Times]:
    """Time every contestant, a group after the other."""
    times: dict[str, Times] = {}
    for group in groups(settings):
        times |= times_of(group, steps_of(group, repeats, threads, folder))
    return times


def groups(settings: Sequence[Setting]) -> list[list[Setting]]:
    """The contestants by model, so many at a time, each time behind the dense steps of the model."""
    found = []
    for model in dict.fromkeys(s.model for s in settings):
        own = [s for s in settings if s.model == model]
        dense = [s for s in own if s.name.endswith(BASELINES)]
        others = [s for s in own if s not in dense]
        found += [[*dense, *others[at : at + AT_ONCE]] for at in range(0, max(1, len(others)), AT_ONCE)]
    return found


def steps_of(group: Sequence[Setting], repeats: int, threads: int, folder: Path) -> dict[str, float]:
    """Median seconds a step of each contestant, which take turns after a round that does not count.

    One thread is timed by the processor's clock, which stands still while a neighbour runs.
    """
    with contextlib.ExitStack() as stack:
        places = [(setting.name, BATCH, threads, folder, "", setting.width) for setting in group]
        made = (Turns(sys.executable, "benchmarks.stepper", *arguments) for arguments in places)
        seconds = in_turns([stack.enter_context(contextlib.closing(one)) for one in made], repeats)
    clock = PROCESSOR if threads == 1 else WALL
    return {setting.name: float(np.median(of[:, clock])) for setting, of in zip(group, seconds, strict=True)}


def times_of(group: Sequence[Setting], seconds: Mapping[str, float]) -> dict[str, Times]:
    """The times of a group, each beside those of its dense steps."""
    dense = {end: seconds[s.name] for end in BASELINES for s in group if s.name.endswith(end)}
    return {s.name: Times(seconds[s.name], dense) for s in group}


@dataclasses.dataclass(frozen=True)
class Memory:
    """A contestant's memory in bytes: the peak of its process, its imports, and the compiler's estimate."""

    peak: int
    imports: int
    estimate: int | None


def memory_of(setting: Setting, threads: int, folder: Path) -> Memory:
    """Measure a contestant that has been made in this folder, in a process of its own."""
    arguments = (setting.name, str(setting.width), str(threads), str(folder))
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.alone", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    artifact = artifact_folder(setting, folder)
    estimate = read_report(artifact).memory.training_bytes if artifact.exists() else None
    return Memory(found["peak"], found["imports"], estimate)


def rows(settings: Sequence[Setting], times: Mapping[str, Times], memory: Mapping[str, Memory]) -> list[Row]:
    """Ratios are speeds relative to the dense steps of the same turns: above 1 is faster."""

    def ratio(setting: Setting, end: str) -> float | None:
        taken = times[setting.name]
        return taken.baselines[end] / taken.step if end in taken.baselines else None

    return [
        Row(
            name=s.name,
            model=s.model,
            scheme=s.scheme,
            sparsity=s.sparsity,
            gradient_sparsity=s.gradient_sparsity,
            samples_per_second=BATCH / times[s.name].step,
            ratio_to_pytorch=ratio(s, "pytorch-dense"),
            ratio_to_ort_dense=ratio(s, "ort-dense"),
            peak_memory_bytes=memory[s.name].peak,
            imports_bytes=memory[s.name].imports,
            estimated_bytes=memory[s.name].estimate,
        )
        for s in settings
    ]


@click.command()
@click.option("--width", default=WIDTH, show_default=True, help="Channels of the main ResNet-18's first stage.")
@click.option("--repeats", default=15, show_default=True, help="Timed steps of each contestant.")
@click.option("--threads", default=2, show_default=True, help="Threads of each contestant.")
@click.option("--quick", is_flag=True, help="Five timed steps of few contestants.")
@click.option("--only", multiple=True, metavar="NAME", help="Measure this contestant and no other; may be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench/step.json"))
def main(width: int, repeats: int, threads: int, quick: bool, only: tuple[str, ...], output: Path) -> None:
    """Measure one training step of every contestant."""
    warnings.filterwarnings("ignore")
    settings = [sized(setting, width) for setting in chosen(only or (QUICK if quick else ()))]
    with tempfile.TemporaryDirectory() as folder:
        times = measure(settings, 5 if quick else repeats, threads, Path(folder))
        memory = {setting.name: memory_of(setting, threads, Path(folder)) for setting in settings}
    table = rows(settings, times, memory)
    write_json(output, table)
    _print(Console(), table)
    click.echo(f"written to {output}")


def chosen(only: tuple[str, ...]) -> list[Setting]:
    """The contestants of these names, or all of them; raises UsageError for a name that none has."""
    names = [setting.name for setting in CONTESTANTS]
    if unknown := [name for name in only if name not in names]:
        raise click.UsageError(f"--only {unknown[0]}: give one of {', '.join(names)}")
    return [setting for setting in CONTESTANTS if not only or setting.name in only]


def sized(setting: Setting, width: int) -> Setting:
    """The contestant with another width, if it is one of the main rows."""
    main = setting.net == RESNET and setting.width == WIDTH
    return dataclasses.replace(setting, width=width) if main else setting


def _print(console: Console, table: list[Row]) -> None:
    console.print(f"{'':24}{'s':>6}{'q':>6}{'samples/s':>11}{'/ PyTorch':>11}{'/ ORT dense':>13}", end="")
    console.print(f"{'peak MB':>9}{'imports':>9}{'est. MB':>9}", soft_wrap=True)
    for row in table:
        ratios = [f"{r:.2f}" if r else "-" for r in (row.ratio_to_pytorch, row.ratio_to_ort_dense)]
        estimate = f"{row.estimated_bytes / 1e6:.0f}" if row.estimated_bytes else "-"
        console.print(
            f"{row.name:24}{row.sparsity:6.2f}{row.gradient_sparsity:6.2f}{row.samples_per_second:11.1f}"
            f"{ratios[0]:>11}{ratios[1]:>13}"
            f"{row.peak_memory_bytes / 1e6:9.0f}{row.imports_bytes / 1e6:9.0f}{estimate:>9}",
            highlight=False,
            soft_wrap=True,
        )


if __name__ == "__main__":
    main()
