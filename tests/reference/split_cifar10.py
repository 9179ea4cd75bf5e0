"""Split CIFAR-10 with the reference implementation alone: ``python -m tests.reference.split_cifar10 FOLDER``."""

import json
import time
from pathlib import Path

import click
import numpy as np
import torch

from models.resnet import masked_weights, resnet18

from .config import Config
from .trace import Trace
from .train import Accuracy, Task, evaluate, run

CHANNELS = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2615)}
RECORD = 1 + 3 * 32 * 32
"""Bytes of one image in the binary version: the label, then the red, green and blue planes."""


def load(folder: Path, pattern: str) -> Task:
    """The images (uint8 [S, 3, 32, 32]) and labels of all matching files of the binary version."""
    files = sorted(folder.glob(pattern))
    if not files:
        raise click.UsageError(f"{folder} holds no {pattern}: give the unpacked binary version of CIFAR-10")
    records = np.concatenate([np.fromfile(f, dtype=np.uint8).reshape(-1, RECORD) for f in files])
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def split(data: Task, classes_per_task: int, classes: int = 10) -> list[Task]:
    """Split the samples into tasks of equally many classes, in order of the class number."""
    x, labels = data
    groups = [range(i, i + classes_per_task) for i in range(0, classes, classes_per_task)]
    chosen = [np.isin(labels, list(group)) for group in groups]
    return [(x[c], labels[c]) for c in chosen]


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--recipe", type=click.Choice(["paper", "reference-code"]), default="reference-code", show_default=True)
@click.option("--sparsity", type=click.FloatRange(0, 1, max_open=True), default=0.75, show_default=True)
@click.option("--gradient-sparsity", type=click.FloatRange(0, 1, max_open=True), default=0.8, show_default=True)
@click.option("--data-removal", type=click.FloatRange(0, 1, max_open=True), default=0.3, show_default=True)
@click.option("--replay", type=click.Choice(["finetune", "er", "der", "der++"]), default="der++", show_default=True)
@click.option("--replay-batches", type=click.Choice(["separate", "merged"]), default="separate", show_default=True)
@click.option("--loss-classes", type=click.Choice(["all", "task"]), default="all", show_default=True)
@click.option("--width", type=click.IntRange(1), default=20, show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=5, show_default=True)
@click.option("--buffer-size", type=click.IntRange(1), default=200, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True)
@click.option("--lr", type=float, default=0.03, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--max-steps", type=click.IntRange(1), help="Stop early: a smoke run.")
@click.option("--per-class", type=click.IntRange(1), help="Train on so many samples of each class only: a smoke run.")
def main(folder: Path, width: int, per_class: int | None, **options: object) -> None:
    """Train on the binary version of CIFAR-10 in FOLDER, two classes a task, and print one line of JSON at the end."""
    torch.manual_seed(int(str(options["seed"])))
    model = resnet18(width)
    config = Config(tuple(masked_weights(model)), augment=True, record=False, **CHANNELS, **options)  # type: ignore[arg-type]
    x, labels = load(folder, "data_batch_*.bin")
    first = [np.flatnonzero(labels == c)[:per_class] for c in range(10)]
    kept = np.sort(np.concatenate(first))
    train, test = split((x[kept], labels[kept]), 2), split(load(folder, "test_batch.bin"), 2)
    begin, matrix = time.perf_counter(), []

    def after_task(task: int, trace: Trace) -> None:
        rate = trace.samples_seen / (time.perf_counter() - begin)
        matrix.append(evaluate(trace.network, test[: task + 1], config))
        click.echo(f"task {task + 1}: {matrix[-1]}, {rate:.0f} samples/s with the evaluations", err=True)

    trace = run(model, train, config, classes=10, after_task=after_task)
    click.echo(json.dumps({**options, "width": width, **summary(matrix, trace)}))


def summary(matrix: list[Accuracy], trace: Trace) -> dict[str, object]:
    """Averages after the last task trained, in percent, and what was trained."""
    return {
        "class_il": float(np.mean(matrix[-1].class_il)),
        "task_il": float(np.mean(matrix[-1].task_il)),
        "steps": trace.steps,
        "samples_seen": trace.samples_seen,
        "samples_removed": sum(int((~keep).sum()) for keep in trace.sample_keep),
        "density": {name: float(mask.mean()) for name, mask in trace.masks.items()},
    }


if __name__ == "__main__":
    main()
