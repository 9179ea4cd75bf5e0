"""Training step time of the target ``ort`` against ``ort-training``, interleaved.

``python -m benchmarks.targets`` compiles each model for both targets, dense, masked and so on, lets the steps take
turns and prints the speed of ``ort`` relative to ``ort-training``: above 1 is faster. It is run where the training
build is installed, which computes standard operators as the stock package of its version does; ``--stock PYTHON`` names
an interpreter with the stock package, whose step of ``ort`` takes turns as a third one. Each step has a process of its
own.

The ratio is the median of the ratios of the rounds: what slows a machine down for a while slows all steps of a round.
On one thread seconds are those of the thread that runs the step, without the time in which other programs had its core;
on several they are those of the clock on the wall.
"""

import contextlib
import dataclasses
import sys
import tempfile
import warnings
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import artifact_folder, compile_to
from benchmarks.files import write_json
from benchmarks.processes import Turns, in_turns
from benchmarks.turns import FORMS, setting_of

MODELS = (("resnet18", 64), ("resnet18", 20), ("depthwise", 128), ("mlp", 1024), ("transformer", 96))
"""Models of ``contestants.NETS`` with their widths."""
SMALL, MORE = ("mlp",), 4
"""Models whose steps are short, and how many times as many rounds they have."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: seconds a step, and the speed of ``ort`` relative to ``ort-training``.

    Attributes:
        model: with its width.
        form: of ``FORMS``.
        ort_training: seconds of the target ``ort-training``.
        ort: of ``ort`` in the same build.
        stock: of ``ort`` in the stock package; None where none is given.
        ratio: of the speeds, in the same build.
        stock_ratio: of the speeds, in the stock package.
    """

    model: str
    form: str
    ort_training: float
    ort: float
    stock: float | None
    ratio: float
    stock_ratio: float | None


def row_of(net: str, width: int, form: str, rounds: int, threads: int, stock: str | None) -> tuple[Row, list[str]]:
    """Time the steps of one model in one form; also the versions that ran."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for target in ("ort-training", "ort"):
            setting = setting_of(net, width, form, target)
            compile_to(setting, artifact_folder(setting, Path(folder)))
        places = [(sys.executable, "ort-training"), (sys.executable, "ort"), *([(stock, "ort")] if stock else [])]
        arguments = (
            (python, "benchmarks.turns", net, width, form, target, threads, folder) for python, target in places
        )
        steps = [stack.enter_context(contextlib.closing(Turns(*one))) for one in arguments]
        seconds = in_turns(steps, rounds)[..., 0]
        versions = [step.made for step in steps]
    medians = [float(np.median(one)) for one in seconds]
    ratios = [float(np.median(seconds[0] / one)) for one in seconds[1:]]
    third, speed = (medians[2], ratios[1]) if stock else (None, None)
    return Row(f"{net}-w{width}", form, medians[0], medians[1], third, ratios[0], speed), versions


@click.command()
@click.option("--repeats", default=15, show_default=True, help="Timed steps of each; of a small model four times that.")
@click.option("--threads", default=1, show_default=True, help="Threads of each.")
@click.option("--only", multiple=True, metavar="TEXT", help="Measure rows with this text in their names alone.")
@click.option("--stock", metavar="PYTHON", help="An interpreter with the stock onnxruntime.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench/targets.json"))
def main(repeats: int, threads: int, only: tuple[str, ...], stock: str | None, output: Path) -> None:
    """Measure one training step of every model and form for both targets."""
    warnings.filterwarnings("ignore")
    names = [(net, width, form) for net, width in MODELS for form in FORMS]
    wanted = [name for name in names if not only or any(text in f"{name[0]}-w{name[1]}-{name[2]}" for text in only)]
    table = Table("model", "form", "ort-training ms", "ort ms", "stock ms", "ratio", "stock ratio", box=None)
    rows, versions = [], list[str]()
    for name in wanted:
        row, versions = row_of(*name, repeats * (MORE if name[0] in SMALL else 1), threads, stock)
        rows.append(row)
        seconds = (_number(one, 1e3, 1) for one in (row.ort_training, row.ort, row.stock))
        table.add_row(row.model, row.form, *seconds, *(_number(one, 1.0, 2) for one in (row.ratio, row.stock_ratio)))
        write_json(output, rows)
    Console().print(table)
    _print_means(rows, versions, output)


def _number(value: float | None, factor: float, digits: int) -> str:
    return "" if value is None else f"{value * factor:.{digits}f}"


def _print_means(rows: list[Row], versions: list[str], output: Path) -> None:
    stock = [row.stock_ratio for row in rows if row.stock_ratio is not None]
    click.echo(f"ONNX Runtime of the steps: {', '.join(versions)}")
    click.echo(f"mean ratio {np.mean([row.ratio for row in rows]):.2f}" + (f", {np.mean(stock):.2f}" if stock else ""))
    click.echo(f"written to {output}")


if __name__ == "__main__":
    main()
