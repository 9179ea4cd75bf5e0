"""The evidence for the learning rates of a run that names none: dense and sparse training under several rates.

``python -m benchmarks.learning_rates`` trains three models on two kinds of data, digits (images) and windows of a
made-up motion sensor (series), 3 and 20 epochs a task, three seeds. Accuracies are those on held-out *training*
samples: a test set chooses nothing here. Each run's result is a file in benchmarks/results/learning_rates, kept with
the sources; the command makes what is missing, one run at a time on one core, and prints the table of all.
"""

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from torch import nn

from models.export import DIGIT, export
from models.small import digits_cnn, mlp
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data import digits, split
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.settings.options import CompileOptions

RESULTS = Path(__file__).parent / "results" / "learning_rates"
WINDOW = (3, 1, 32)
ACTIVITIES = 8
NOISE = 0.5

Samples = tuple[np.ndarray, np.ndarray]


def series_cnn() -> nn.Module:
    """Three convolutions along the time of [N, 3, 1, 32], without normalisation."""
    layers: list[nn.Module] = []
    for channels, out, stride in ((WINDOW[0], 32, 1), (32, 48, 2), (48, 64, 2)):
        layers += [nn.Conv2d(channels, out, (1, 5), (1, stride), padding=(0, 2)), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, ACTIVITIES))


def digit_samples() -> tuple[Samples, Samples]:
    """The training digits of the source ``digits``, of which every fifth of a class is held out."""
    data = digits.load("digits")
    return split.stratified(data.x_train, data.y_train)


def windows(count: int, seed: int) -> Samples:
    """So many windows of each activity: two harmonics of its own, a direction of gravity, and noise."""
    shape, random = np.random.default_rng(99), np.random.default_rng(seed)
    frequency, size = shape.uniform(0.8, 6.0, (ACTIVITIES, 2)), shape.uniform(0.2, 1.2, (ACTIVITIES, 3, 2))
    gravity, time = 0.4 * shape.normal(size=(ACTIVITIES, 3, 1)), np.arange(WINDOW[2]) / 16
    labels = np.repeat(np.arange(ACTIVITIES), count)
    phase = random.uniform(0, 2 * np.pi, (len(labels), 1, 2)) + 0.7 * np.arange(3)[:, np.newaxis]
    speed = random.normal(1.0, 0.08, (len(labels), 1, 1, 1))
    angle = 2 * np.pi * frequency[labels][:, np.newaxis, :, np.newaxis] * speed * time + phase[..., np.newaxis]
    waves = (size[labels][..., np.newaxis] * np.sin(angle)).sum(axis=2)
    loud = random.normal(1.0, 0.2, (len(labels), 1, 1))
    made = loud * waves + gravity[labels] + random.normal(0.0, NOISE, waves.shape)
    return made[:, :, np.newaxis].astype(np.float32), labels


@dataclass(frozen=True)
class Setting:
    """A model, the shape of its samples, training and held-out samples, the number of tasks, and the rates to try."""

    model: Callable[[], nn.Module]
    shape: tuple[int, int, int]
    samples: Callable[[], tuple[Samples, Samples]]
    tasks: int
    rates: tuple[float, ...]


PLAIN_RATES = (0.03, 0.05, 0.1, 0.15, 0.2)
"""For networks without normalisation."""
SETTINGS: Mapping[str, Setting] = {
    "digits_cnn": Setting(digits_cnn, DIGIT, digit_samples, 5, (0.03, 0.1, 0.3, 0.5, 0.8)),
    "digits_mlp": Setting(lambda: mlp(96), DIGIT, digit_samples, 5, PLAIN_RATES),
    "sensor_cnn": Setting(series_cnn, WINDOW, lambda: (windows(200, 1), windows(60, 2)), 4, PLAIN_RATES),
}
OLD: Mapping[str, Any] = {"loss_classes": "all", "replay_batches": "separate"}
"""Those of the results that are there."""
DENSE: Mapping[str, Any] = {"sparsity": 0.0, "gradient_sparsity": 0.0, "data_removal": 0.0}
FALLING = ", falling"
CONSTANT: Mapping[str, Any] = {"rate_decay": 0.0}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "dense": {**OLD, **DENSE, **CONSTANT},
    "sparse": {**OLD, **CONSTANT},
    "sparse, unscaled": {**OLD, "scaling": "none", **CONSTANT},
    f"dense{FALLING}": {**OLD, **DENSE},
    f"sparse{FALLING}": OLD,
}
"""The compile options. Those at a constant rate train on batches of 32; the last ones are the tool's defaults but
for these two."""
EPOCHS = (3, 20)
SEEDS = 3


@dataclass(frozen=True)
class Key:
    """One run."""

    setting: str
    method: str
    epochs: int
    rate: float
    seed: int

    @property
    def file(self) -> Path:
        """The file of its result."""
        method = self.method.replace(", ", "_")
        return RESULTS / f"{self.setting}-{method}-{self.epochs}-{self.rate}-{self.seed}.json"


def keys() -> list[Key]:
    """All runs; those of the first seed come first."""
    found = []
    for seed, epochs, name, method in itertools.product(range(SEEDS), EPOCHS, SETTINGS, METHODS):
        found += [Key(name, method, epochs, rate, seed) for rate in SETTINGS[name].rates]
    return found


def learn(key: Key, folder: Path) -> dict[str, Any]:
    """One run; returns what is kept of its result."""
    setting = SETTINGS[key.setting]
    (x, y), (x_held, y_held) = setting.samples()
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=x_held, y_test=y_held)
    export(setting.model(), setting.shape, folder / "model.onnx")
    options = CompileOptions(init="fresh", seed=key.seed, **METHODS[key.method])
    artifact = compile_model(folder / "model.onnx", folder / "model.sparcl", options)
    config = RunConfig(
        data=f"npz:{folder / 'data.npz'}",
        learning_rate=key.rate,
        batch_size=None if key.method.endswith(FALLING) else 32,
        tasks=setting.tasks,
        epochs=key.epochs,
        seed=key.seed,
        threads=1,
    )
    run = Run(artifact, config, folder / "run")
    with Reporter(console(), config.tasks, config.epochs, quiet=True) as reporter:
        result = run.train(reporter)
    kept = ("class_il", "task_il", "learning_accuracy", "samples_removed", "seed", "versions")
    return {**{name: result[name] for name in kept}, "options": result["options"]}


def table() -> Table:
    """One line a model, method and number of epochs; a column a rate with the mean and every seed."""
    made = Table("model", "epochs", "weights", "class-IL % by rate: mean (seeds)", box=None)
    for name, epochs, method in itertools.product(SETTINGS, EPOCHS, METHODS):
        made.add_row(name, str(epochs), method, "  ".join(_by_rate(name, method, epochs)))
    return made


def _by_rate(name: str, method: str, epochs: int) -> Iterator[str]:
    """The mean and every seed under each rate that has runs."""
    for rate in SETTINGS[name].rates:
        files = [Key(name, method, epochs, rate, seed).file for seed in range(SEEDS)]
        found = [json.loads(file.read_text(encoding="utf-8"))["class_il"] for file in files if file.exists()]
        if found:
            yield f"{rate}: {np.mean(found):.1f} ({', '.join(f'{one:.0f}' for one in found)})"


@click.command()
@click.option("--most", type=int, help="Make at most so many runs now.  [default: all]")
@click.option("--method", "methods", type=click.Choice(list(METHODS)), multiple=True, help="May be repeated.")
@click.option("--epochs", type=int, help="Only so many epochs a task.")
def main(most: int | None, methods: tuple[str, ...], epochs: int | None) -> None:
    """Make the missing runs, and print the table."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    wanted = [key for key in keys() if key.method in (methods or METHODS) and epochs in (None, key.epochs)]
    for key in [key for key in wanted if not key.file.exists()][:most]:
        with tempfile.TemporaryDirectory() as folder:
            result = learn(key, Path(folder))
        key.file.write_text(json.dumps(result) + "\n", encoding="utf-8")
        click.echo(f"{key.file.stem}: {result['class_il']:.1f} %", err=True)
    Console(width=200).print(table())


if __name__ == "__main__":
    main()
