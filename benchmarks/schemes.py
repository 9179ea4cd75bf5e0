"""The trade-off of the schemes: accuracy on Split CIFAR-10 beside the speed of a training step, at sparsity 0.75.

``python -m benchmarks.schemes`` takes the accuracies that benchmarks.split_cifar10 made, measures the training step of
the same model (ResNet-18 of width 20) in every form, all in turns in one run, prints one table and draws
docs/schemes.png. ``--steps FILE`` takes the speeds of an earlier run instead.
"""

import dataclasses
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from benchmarks.alone import BATCH
from benchmarks.contestants import Setting, compiled, ort_dense, pytorch
from benchmarks.files import write_json
from benchmarks.one_process import measure
from benchmarks.split_cifar10 import RESULTS, SCHEMES, SETTINGS, WIDTH, slug

SPARSITY = 0.75
DENSE = "dense"
FORMS = ("stock kernels", "sparse kernels")
"""The form that runs everywhere, and the form that needs the kernel library."""
MARKERS = dict(zip(FORMS, ("o", "^"), strict=True))

ROWS: Mapping[str, str] = {
    DENSE: "dense",
    "unstructured": "TDM",
    **{scheme: f"TDM, {scheme}" for scheme in (*SCHEMES, "channel")},
}
"""Settings of benchmarks.split_cifar10, by scheme."""


def contestants() -> dict[str, Setting]:
    """Every scheme in the forms that it has, by "scheme, form", and the baselines."""
    made = {"PyTorch": Setting("pytorch-dense", pytorch), "ONNX Runtime": Setting("ort-dense", ort_dense)}
    made[f"{DENSE}, {FORMS[0]}"] = Setting("dense", compiled)
    made[f"{DENSE}, {FORMS[1]}"] = Setting("dense-compressed", compiled, compress=True)
    for scheme in [scheme for scheme in ROWS if scheme != DENSE]:
        name = slug(scheme, 0)
        made[f"{scheme}, {FORMS[0]}"] = Setting(name, compiled, scheme, SPARSITY)
        if scheme != "channel":
            made[f"{scheme}, {FORMS[1]}"] = Setting(f"{name}_c", compiled, scheme, SPARSITY, compress=True)
    # The accuracies were measured with separate batches of replay, between which gradients are stored.
    return {name: dataclasses.replace(setting, width=WIDTH, method="der++") for name, setting in made.items()}


def speeds(repeats: int, threads: int) -> dict[str, float]:
    """Samples a second of every contestant."""
    with tempfile.TemporaryDirectory() as folder:
        steps = {name: one.make(one, BATCH, threads, Path(folder)) for name, one in contestants().items()}
        return {name: BATCH / seconds for name, seconds in measure(steps, repeats, threads).items()}


def accuracies(scheme: str) -> list[tuple[float, float]]:
    """Class-IL and task-IL in percent of the seeds that are done."""
    assert ROWS[scheme] in SETTINGS
    files = sorted(RESULTS.glob(f"{slug(ROWS[scheme], 0)[:-1]}[0-9].json"))
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [(run["class_il"], run["task_il"]) for run in runs]


def mean(values: Sequence[float]) -> float | None:
    """The mean, None of nothing."""
    return sum(values) / len(values) if values else None


def table(found: Mapping[str, float]) -> Table:
    """One line a scheme; speeds as multiples of ONNX Runtime's dense step and of PyTorch's."""
    made = Table("scheme", "class-IL %", "task-IL %", "seeds", *[f"{f}: / ORT, / PyTorch" for f in FORMS], box=None)
    for scheme in ROWS:
        runs = accuracies(scheme)
        columns = [mean([run[place] for run in runs]) for place in (0, 1)]
        cells = ["-" if value is None else f"{value:.1f}" for value in columns]
        made.add_row(scheme, *cells, str(len(runs)), *[_ratios(found, f"{scheme}, {form}") for form in FORMS])
    return made


def _ratios(found: Mapping[str, float], name: str) -> str:
    if name not in found:
        return "-"
    return ", ".join(f"{found[name] / found[base]:.2f}" for base in ("ONNX Runtime", "PyTorch"))


def draw(found: Mapping[str, float], path: Path) -> None:
    """Class-IL accuracy against speed, a colour a scheme, a marker a form."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    points = [(number, scheme, form) for number, scheme in enumerate(ROWS) for form in FORMS]
    for number, scheme, form in points:
        speed, accuracy = found.get(f"{scheme}, {form}"), mean([run[0] for run in accuracies(scheme)])
        if speed is not None and accuracy is not None:
            ratio, label = speed / found["ONNX Runtime"], f"{scheme}, {form}"
            axes.plot(ratio, accuracy, MARKERS[form], color=f"C{number}", linestyle="", label=label)
    axes.set(xlabel="training step, as a multiple of ONNX Runtime's dense speed", xlim=(0, None))
    axes.set(ylabel="class-incremental accuracy, %")
    axes.set_title("Split CIFAR-10, ResNet-18 of width 20, sparsity 0.75")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=120)


@click.command()
@click.option("--repeats", default=15, show_default=True, help="Timed steps of each contestant.")
@click.option("--threads", default=2, show_default=True, help="Threads of each contestant.")
@click.option("--steps", type=click.Path(path_type=Path, exists=True), help="Take the speeds from this file.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build/bench/schemes.json"))
@click.option("--picture", type=click.Path(path_type=Path), default=Path("docs/schemes.png"))
def main(repeats: int, threads: int, steps: Path | None, output: Path, picture: Path) -> None:
    """Measure, print and draw."""
    found = json.loads(steps.read_text(encoding="utf-8")) if steps else speeds(repeats, threads)
    write_json(output, found)
    Console(width=120).print(table(found))
    draw(found, picture)
    click.echo(f"written to {output} and {picture}")


if __name__ == "__main__":
    main()
