"""Times the whole command sparcl-compile, from the start of its process to the end, on models that grow.

``python -m benchmarks.compile_time`` writes each model with fresh weights, compiles it with the default options in a
process of its own, and prints the seconds beside those that the command itself names and the nodes of the training
graph. It writes build/bench/compile_time.json. The last rows are chains of 100, 1,000 and 5,000 layers, which tell how
the time grows.
"""

import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import torch
from rich.console import Console
from torch import nn

from benchmarks.files import write_json
from models.bottleneck import resnet101
from models.densenet import densenet121
from models.export import COLOUR, DIGIT, export
from models.resnet import resnet18, resnet110
from sparcl_compile.cli.report import table
from sparcl_compile.interface.artifact import read_manifest, read_report

PHOTO = (3, 224, 224)
WIDTH = 32
SCRIPT = Path(sys.executable).with_name("sparcl-compile")
SAID = re.compile(r"^Compiled in (\d+\.\d) s to", re.MULTILINE)


def chain(layers: int) -> nn.Module:
    """Linear layers with a ReLU between each two, for [N, 1, 8, 8]."""
    inner = [part for _ in range(layers - 2) for part in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.ReLU(), *inner, nn.Linear(WIDTH, 10))


Made = tuple[Callable[[], nn.Module], tuple[int, int, int]]
"""The function that makes a model, and the shape of one sample."""

MODELS: Mapping[str, Made] = {
    "resnet18-w64": (resnet18, COLOUR),
    "densenet121": (lambda: densenet121(classes=1000), PHOTO),
    "resnet101": (resnet101, PHOTO),
    "resnet110": (resnet110, COLOUR),
    "chain-100": (lambda: chain(100), DIGIT),
    "chain-1000": (lambda: chain(1000), DIGIT),
    "chain-5000": (lambda: chain(5000), DIGIT),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table and of compile_time.json.

    Attributes:
        model: its name.
        parameters: elements.
        nodes: of the training graph.
        seconds: from before the process started until it had ended.
        said_seconds: what the command printed.
        user_seconds: of all cores together.
    """

    model: str
    parameters: int
    nodes: int
    seconds: float
    said_seconds: float
    user_seconds: float


def timed(name: str, file: Path, target: Path) -> Row:
    """Compile a file once, as a user does; raises CalledProcessError when the command fails."""
    before, user = time.perf_counter(), os.times().children_user
    printed = subprocess.run([SCRIPT, file, "-o", target], stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds, user = time.perf_counter() - before, os.times().children_user - user
    (said,) = SAID.findall(printed)
    manifest = read_manifest(target)
    return Row(
        model=name,
        parameters=manifest.model.parameters,
        nodes=sum(read_report(target).passes[-1].ops_after.values()),
        seconds=round(seconds, 2),
        said_seconds=float(said),
        user_seconds=round(user, 2),
    )


def write(name: str, folder: Path) -> Path:
    """Write a model with the weights of seed 0 as ONNX; return the file."""
    make, sample = MODELS[name]
    torch.manual_seed(0)
    export(make(), sample, folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


def fastest(name: str, repeats: int) -> Row:
    """The fastest of several compilations of a model: other programs only ever add to it."""
    with tempfile.TemporaryDirectory() as folder:
        file = write(name, Path(folder))
        return min(
            (timed(name, file, file.with_suffix(".sparcl")) for _ in range(repeats)), key=lambda row: row.seconds
        )


def cells(row: Row) -> tuple[object, ...]:
    """One line of the printed table."""
    times = (f"{seconds:.1f}" for seconds in (row.seconds, row.said_seconds, row.user_seconds))
    return (row.model, f"{row.parameters:,}", f"{row.nodes:,}", *times)


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(MODELS)), help="This model; may be repeated.")
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True, help="The fastest one counts.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench/compile_time.json"))
def main(only: tuple[str, ...], repeats: int, output: Path) -> None:
    """Time the whole command for every model."""
    rows = [fastest(name, repeats) for name in only or MODELS]
    write_json(output, rows)
    columns = ("model", ">parameters", ">nodes", ">seconds", ">as printed", ">user")
    Console().print(table("sparcl-compile MODEL.onnx, the whole command", columns, map(cells, rows)))
    click.echo(f"written to {output}")


if __name__ == "__main__":
    main()
