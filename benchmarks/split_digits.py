"""Split-Digits: every replay setting, dense, sparse, and dense at the sparse row's work, as a table and a picture.

``python -m benchmarks.split_digits`` compiles models/digits_cnn.onnx as ``make demo`` does, under the defaults but for
what a row says, learns the five tasks of two digits each, prints means with standard deviations, and writes
build/bench/split_digits.json and docs/split_digits.png. It takes about ten minutes on one core.
"""

import dataclasses
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.files import write_json
from models.export import MODELS, build, export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.settings.options import CompileOptions

MODEL = Path("models/digits_cnn.onnx")
METHODS: Mapping[str, Mapping[str, Any]] = {
    "der++": {"replay_batches": "separate"},
    "der++ merged": {"replay_batches": "merged"},
}
DENSE = {"sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0}
NARROW = 7
"""Channels of the first layer; the demo's network has 16. Its work for a sample is that of 80 % sparse weights."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: what differs from the defaults.

    Attributes:
        changed: compile options.
        share: of the epochs.
        width: of the network, freshly initialised; None for the demo's file.
        marker: in the picture.
    """

    changed: Mapping[str, Any]
    share: float = 1.0
    width: int | None = None
    marker: str = "o"


ROWS: Mapping[str, Row] = {
    "dense": Row(DENSE),
    "80 % sparse": Row({}, marker="^"),
    "dense, fewer epochs": Row(DENSE, share=0.2, marker="x"),
    "dense, fewer channels": Row(DENSE, width=NARROW, marker="s"),
}
"""By name in the table. The sparse row is the tool's defaults, and the last two are dense weights with its work."""


def learn(row: Row, how: Mapping[str, Any], epochs: int, seed: int, folder: Path) -> dict[str, Any]:
    """One run; returns its result."""
    epochs, model = max(1, round(row.share * epochs)), MODEL
    if row.width is not None:
        model = folder / "narrow.onnx"
        export(build("digits_cnn", row.width), MODELS["digits_cnn"][1], model)
    artifact = compile_model(model, folder / "digits.sparcl", CompileOptions(**how, **row.changed))
    config = RunConfig(
        data="digits",
        learning_rate=artifact.manifest.optimizer.rate_for(epochs),
        epochs=epochs,
        seed=seed,
        threads=1,
    )
    run = Run(load(artifact.folder), config, folder / "run")
    with Reporter(console(), config.tasks, epochs, quiet=True) as reporter:
        return run.train(reporter)


def summary(results: Sequence[Mapping[str, Any]], key: str) -> tuple[float, float]:
    """Mean and standard deviation over the seeds."""
    values = [result[key] for result in results]
    return float(np.mean(values)), float(np.std(values))


@click.command()
@click.option("--epochs", default=20, show_default=True, help="Epochs a task.")
@click.option("--seeds", default=6, show_default=True, help="Seeds, from 0.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench/split_digits.json"))
@click.option("--picture", type=click.Path(path_type=Path), default=Path("docs/split_digits.png"))
def main(epochs: int, seeds: int, output: Path, picture: Path) -> None:
    """Run the grid."""
    results: dict[str, list[dict[str, Any]]] = {}
    for (replay, how), (weights, row) in itertools.product(METHODS.items(), ROWS.items()):
        name = f"{replay}, {weights}"
        with tempfile.TemporaryDirectory() as folder:
            results[name] = [learn(row, how, epochs, seed, Path(folder)) for seed in range(seeds)]
        click.echo(f"{name}: class-IL {summary(results[name], 'class_il')[0]:.1f} %")
    write_json(output, results)
    Console().print(table(results))
    draw(results, picture)


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """One line a setting."""
    columns = ("replay, weights", "class-IL %", "by seed", "task-IL %", "forgetting", "training GFLOPs (true)")
    made = Table(*columns, box=None)
    for name, runs in results.items():
        class_il, *rest = (
            "{:.1f} ± {:.1f}".format(*summary(runs, key)) for key in ("class_il", "task_il", "forgetting")
        )
        seeds = ", ".join(f"{run['class_il']:.2f}" for run in runs)
        flops = np.mean([run["training_flops"]["true_sparse"] for run in runs]) / 1e9
        made.add_row(name, class_il, seeds, *rest, f"{flops:.1f}")
    return made


def draw(results: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Class-IL accuracy against training FLOPs, a panel a replay method, a marker and a colour a row."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(METHODS), figsize=(8, 3.6), sharey=True, layout="constrained")
    for replay, panel in zip(METHODS, panels, strict=True):
        for weights, row in ROWS.items():
            runs = results[f"{replay}, {weights}"]
            flops = np.mean([run["training_flops"]["true_sparse"] for run in runs]) / 1e9
            mean, deviation = summary(runs, "class_il")
            panel.errorbar(flops, mean, deviation, fmt=row.marker, capsize=3, alpha=0.8, label=weights)
        panel.set(title=replay, xlabel="training GFLOPs (true count)", xlim=(0, None))
    panels[0].set_ylabel("class-incremental accuracy, %")
    figure.suptitle("Split-Digits after five tasks: mean and deviation over seeds")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=len(ROWS), loc="outside lower center")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
