"""Training step time of the target ``ort`` against ``ort-training``, interleaved.

``python -m benchmarks.targets`` compiles each model for both targets, dense and masked, lets the steps take turns and
prints the speed of ``ort`` relative to ``ort-training``: above 1 is faster. Both run in the ONNX Runtime that is
installed, which must be the training build; it computes standard operators as the stock package of its version does.

The ratio is the median of the ratios of the rounds: what slows a machine down for a while slows both steps of a round.
On one thread seconds are those of the thread that runs the step, without the time in which other programs had its core;
on several they are those of the clock on the wall.
"""

import dataclasses
import json
import tempfile
import time
import warnings
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.alone import BATCH
from benchmarks.contestants import Setting, compiled
from benchmarks.step import in_turns

MODELS = (("resnet18", 64), ("resnet18", 20), ("depthwise", 128), ("mlp", 1024), ("transformer", 96))
"""Models of ``contestants.NETS`` with their widths."""
FORMS = (
    ("dense", {"sparsity": 0.0}),
    ("masked", {"scheme": "unstructured", "sparsity": 0.75}),
    ("stored", {"sparsity": 0.0, "method": "der++"}),
    ("compressed", {"scheme": "unstructured", "sparsity": 0.9, "compress": True}),
)
"""What is compared of each model; ``stored`` keeps gradients between the batches of a step."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: seconds a step for both targets, and the speed of ``ort`` relative to the other."""

    model: str
    form: str
    ort_training: float
    ort: float
    ratio: float


def pair(net: str, width: int, form: str, repeats: int, threads: int) -> Row:
    """Time both targets' steps of one model in one form."""
    given = dict(FORMS)[form]
    settings = {
        target: Setting(f"{form}-{target}", compiled, net=net, width=width, target=target, **given)  # type: ignore[arg-type]
        for target in ("ort-training", "ort")
    }
    with tempfile.TemporaryDirectory() as folder:
        steps = {name: one.make(one, BATCH, threads, Path(folder)) for name, one in settings.items()}
        seconds = in_turns(steps, repeats, time.thread_time if threads == 1 else time.perf_counter)
    theirs, ours = (np.array(seconds[target]) for target in ("ort-training", "ort"))
    return Row(
        f"{net}-w{width}", form, float(np.median(theirs)), float(np.median(ours)), float(np.median(theirs / ours))
    )


@click.command()
@click.option("--repeats", default=15, show_default=True, help="Timed steps of each.")
@click.option("--threads", default=1, show_default=True, help="Threads of each.")
@click.option("--only", multiple=True, metavar="TEXT", help="Measure rows with this text in their names alone.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench/targets.json"))
def main(repeats: int, threads: int, only: tuple[str, ...], output: Path) -> None:
    """Measure one training step of every model and form for both targets."""
    warnings.filterwarnings("ignore")
    names = [(net, width, form) for net, width in MODELS for form, _ in FORMS]
    wanted = [name for name in names if not only or any(text in f"{name[0]}-w{name[1]}-{name[2]}" for text in only)]
    found = [pair(*name, repeats, threads) for name in wanted]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps([dataclasses.asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
    table = Table("model", "form", "ort-training ms", "ort ms", "ratio", box=None)
    for row in found:
        table.add_row(row.model, row.form, f"{row.ort_training * 1e3:.1f}", f"{row.ort * 1e3:.1f}", f"{row.ratio:.2f}")
    Console().print(table)
    click.echo(f"mean ratio {np.mean([row.ratio for row in found]):.2f}; written to {output}")


if __name__ == "__main__":
    main()
