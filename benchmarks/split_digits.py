"""Split-Digits: every replay setting, dense and sparse, several seeds, as a table and a picture.

``python -m benchmarks.split_digits`` compiles models/digits_cnn.onnx as ``make demo`` does, under the defaults but for
what a row says, learns the five tasks of two digits each, prints means with standard deviations, and writes
build/bench/split_digits.json and docs/split_digits.png. It takes about three minutes on one core.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import numpy as np
from rich.console import Console
from rich.table import Table

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.settings.options import CompileOptions

MODEL = Path("models/digits_cnn.onnx")
METHODS: Mapping[str, Mapping[str, Any]] = {"der++": {}, "der++ merged": {"replay_batches": "merged"}}
COLOURS = ("tab:red", "tab:orange")
DENSE = {"sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0}
SPARSITIES: Mapping[str, Mapping[str, Any]] = {
    "dense": DENSE,
    "80 % sparse": {},
}
"""The compile options, by name in the table; the sparse ones are the tool's defaults."""


def learn(options: CompileOptions, epochs: int, seed: int, folder: Path) -> dict[str, Any]:
    """One run; returns its result."""
    artifact = compile_model(MODEL, folder / "digits.sparcl", options)
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
@click.option("--seeds", default=3, show_default=True, help="Seeds, from 0.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench/split_digits.json"))
@click.option("--picture", type=click.Path(path_type=Path), default=Path("docs/split_digits.png"))
def main(epochs: int, seeds: int, output: Path, picture: Path) -> None:
    """Run the grid."""
    results: dict[str, list[dict[str, Any]]] = {}
    for replay, how in METHODS.items():
        for sparsity, changed in SPARSITIES.items():
            name = f"{replay}, {sparsity}"
            with tempfile.TemporaryDirectory() as folder:
                results[name] = [learn(CompileOptions(**how, **changed), epochs, s, Path(folder)) for s in range(seeds)]
            click.echo(f"{name}: class-IL {summary(results[name], 'class_il')[0]:.1f} %")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    Console().print(table(results))
    draw(results, picture)


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    """One line a setting."""
    made = Table("replay, sparsity", "class-IL %", "task-IL %", "forgetting", "training GFLOPs (true)", box=None)
    for name, runs in results.items():
        columns = [summary(runs, key) for key in ("class_il", "task_il", "forgetting")]
        flops = np.mean([run["training_flops"]["true_sparse"] for run in runs]) / 1e9
        made.add_row(name, *[f"{mean:.1f} ± {deviation:.1f}" for mean, deviation in columns], f"{flops:.1f}")
    return made


def draw(results: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Class-IL accuracy against training FLOPs, a colour a replay method, a marker a sparsity."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for replay, colour in zip(METHODS, COLOURS, strict=True):
        for sparsity, marker in zip(SPARSITIES, ("o", "^"), strict=True):
            runs = results[f"{replay}, {sparsity}"]
            flops = np.mean([run["training_flops"]["true_sparse"] for run in runs]) / 1e9
            mean, deviation = summary(runs, "class_il")
            axes.errorbar(flops, mean, deviation, color=colour, marker=marker, capsize=3, label=f"{replay}, {sparsity}")
    axes.set(xlabel="training GFLOPs (true count)", ylabel="class-incremental accuracy, %", xlim=(0, None))
    axes.set_title("Split-Digits after five tasks: mean and deviation over seeds")
    axes.legend(fontsize=8, ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
