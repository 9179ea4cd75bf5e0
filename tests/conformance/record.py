"""Make the kits anew: ``python -m tests.conformance.record`` compiles, runs and writes them.

Needed when the artifact or what a run computes has changed on purpose (tests/conformance/test_record.py notices).
"""

import dataclasses
import itertools
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import click
import numpy as np
import torch
from safetensors.numpy import save_file

from models.export import export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import read_manifest, read_report, write
from sparcl_compile.interface.onnx_runtime import has_training_build
from sparcl_compile.passes.emitting import first
from sparcl_compile.settings.options import CompileOptions
from tests.conformance import trace
from tests.conformance.kit import ARTIFACT, FOLDER, SAMPLES, TRACE, Kit
from tests.conformance.replay import learn, prepared

CLASSES = 4
SHAPE = (1, 8, 8)
TRAIN, TEST = 24, 10
"""Samples of each class."""
BUILDER = "ort-training"
WORD = 2654435761
"""A factor that spreads numbers over 32 bits (Knuth)."""
WHOLE = ("manifest.json", "manifest.sha256", "report.json")
"""Files that ``write`` makes."""


@dataclasses.dataclass(frozen=True)
class Case:
    """The model's widths, the compile options, the type of the samples, and how the artifact is run.

    Attributes:
        dense: whether the layers are fully connected, and have ``train_first`` for a step's first batch; so small a
            network would not have it by itself.
    """

    widths: Sequence[int]
    options: CompileOptions
    samples: str
    run: Mapping[str, Any]
    dense: bool = False


PORTABLE: Mapping[str, Case] = {
    "der": Case(
        (6, 12, 12),
        CompileOptions(
            sparsity=0.75,
            gradient_sparsity=0.8,
            data_removal=0.3,
            method="der++",
            logit_weight=0.1,
            label_weight=0.5,
            replay_batches="separate",
            momentum=0.9,
        ),
        "uint8",
        {
            "seed": 0,  # no gradient of it stands at a tie, whatever the rounding
            "tasks": 2,
            "epochs": 12,  # a stage of data removal, a tenth of them, presents some samples twice: others never leave
            "batch": 8,
            "buffer": 20,
            "learning_rate": 0.01,
            "augment": 1,
            "class_order_seed": None,
        },
    ),
    "er_channels": Case(
        (6, 12),
        CompileOptions(
            scheme="channel",
            sparsity=0.5,
            gradient_sparsity=0.8,
            data_removal=0.0,
            method="er",
            replay_batches="merged",
            optimizer="adamw",
            recipe="reference-code",
        ),
        "float32",
        {
            "seed": 1,
            "tasks": 3,
            "epochs": 2,
            "batch": 8,
            "buffer": 20,
            "learning_rate": 0.01,
            "augment": 0,
            "class_order_seed": 5,
        },
    ),
    "joint": Case(
        (6, 12),
        CompileOptions(sparsity=0.75, gradient_sparsity=0.8, data_removal=0.3, method="joint"),
        "uint8",
        {
            "seed": 2,
            "tasks": 3,
            "epochs": 6,
            "batch": 8,
            "buffer": 4,
            "learning_rate": 0.01,
            "augment": 0,
            "class_order_seed": None,
        },
    ),
    "er_dense": Case(
        (16, 12),
        CompileOptions(sparsity=0.5, gradient_sparsity=0.0, data_removal=0.3, method="er", momentum=0.9),
        "float32",
        {
            "seed": 4,
            "tasks": 2,
            "epochs": 6,
            "batch": 8,
            "buffer": 12,
            "learning_rate": 0.01,
            "augment": 0,
            "class_order_seed": None,
        },
        dense=True,
    ),
}

FOR_TRAINING = {
    f"{name}_training": dataclasses.replace(case, options=dataclasses.replace(case.options, target=BUILDER))
    for name, case in PORTABLE.items()
    if name == "der"
}
"""Of the target that needs ONNX Runtime's training build."""
CASES: Mapping[str, Case] = {**PORTABLE, **FOR_TRAINING}


def network(widths: Sequence[int], dense: bool = False) -> torch.nn.Module:
    """Hidden layers and a linear classifier; the weights are made by an integer formula."""
    hidden = fully_connected(widths) if dense else convolutions(widths)
    made = torch.nn.Sequential(*hidden, torch.nn.Linear(widths[-1], CLASSES))
    for number, parameter in enumerate(p for p in made.parameters() if p.dim() > 1):
        spread = words(parameter.numel(), number) / 2**31 - 1
        bound = (2.0 / parameter[0].numel()) ** 0.5
        parameter.data = torch.from_numpy((spread * bound).astype(np.float32).reshape(parameter.shape))
    # A classifier's bias is drawn at random as well.
    made[-1].bias.data.zero_()  # type: ignore[operator, union-attr]
    return made


def convolutions(widths: Sequence[int]) -> list[torch.nn.Module]:
    """Convolutions with batch normalisation, averaged over the plane."""
    layers: list[torch.nn.Module] = []
    for number, (into, out) in enumerate(itertools.pairwise((SHAPE[0], *widths))):
        conv = torch.nn.Conv2d(into, out, 3, stride=2 if number == 1 else 1, padding=1, bias=False)
        layers += [conv, torch.nn.BatchNorm2d(out), torch.nn.ReLU()]
    return [*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]


def fully_connected(widths: Sequence[int]) -> list[torch.nn.Module]:
    """Layers without normalisation; no bias, whose first numbers would be drawn."""
    sizes = itertools.pairwise((math.prod(SHAPE), *widths))
    pairs = [(torch.nn.Linear(into, out, bias=False), torch.nn.ReLU()) for into, out in sizes]
    return [torch.nn.Flatten(), *itertools.chain.from_iterable(pairs)]


def words(count: int, seed: int) -> np.ndarray:
    """Pseudo-random integers from 0 to 2**32 - 1, int64."""
    numbers = (np.arange(count, dtype=np.uint64) + np.uint64(1 + 7919 * seed)) * np.uint64(WORD)
    mixed = (numbers ^ (numbers >> np.uint64(13))) * np.uint64(WORD)
    return ((mixed >> np.uint64(16)) & np.uint64(2**32 - 1)).astype(np.int64)


def samples(dtype: str) -> dict[str, np.ndarray]:
    """The brightness tells the class, wherever a sample is cropped or mirrored; all else is noise."""
    made = {}
    for number, (part, count) in enumerate((("train", TRAIN), ("test", TEST))):
        labels = np.arange(CLASSES * count) % CLASSES
        noise = words(len(labels) * math.prod(SHAPE), 100 + number).reshape(len(labels), *SHAPE) % 96
        x = noise + 50 * labels.reshape(-1, 1, 1, 1)
        made[f"x_{part}"] = x.astype(dtype) if dtype == "uint8" else (x / 64).astype(np.float32)
        made[f"y_{part}"] = labels
    return made


def slim(artifact: Path, dtype: str) -> None:
    """Leave out the texts of the passes and the graphs for samples of the other type."""
    manifest, report = read_manifest(artifact), read_report(artifact)
    kept = {
        name: dataclasses.replace(graph, file=graph.file if isinstance(graph.file, str) else {dtype: graph.file[dtype]})
        for name, graph in manifest.graphs.items()
    }
    shutil.rmtree(artifact / "passes")
    files = {
        one for graph in kept.values() for one in ([graph.file] if isinstance(graph.file, str) else graph.file.values())
    }
    for path in artifact.rglob("*.onnx"):
        if path.relative_to(artifact).as_posix() not in files:
            path.unlink()
    for name in WHOLE:
        (artifact / name).unlink()
    write(artifact, dataclasses.replace(manifest, graphs=kept), report)


def record(name: str, folder: Path) -> Kit:
    """Make a kit in a new folder below ``folder``."""
    case, kit = CASES[name], Kit(folder / name)
    kit.folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "network.onnx"
        export(network(case.widths, case.dense), SHAPE, source)
        with mock.patch.object(first, "LEAST", 1 if case.dense else first.LEAST):
            compile_model(source, kit.folder / ARTIFACT, case.options)
        slim(kit.artifact, case.samples)
        save_file(samples(case.samples), kit.folder / SAMPLES)
        found = learn(prepared(kit, case.run, Path(scratch)), case.run)
    (kit.folder / TRACE).write_text(trace.to_text(found), encoding="utf-8")
    return kit


@click.command()
@click.option("--into", type=click.Path(path_type=Path), default=FOLDER, help="Folder; by default that of the kits.")
def main(into: Path) -> None:
    """Record all kits, in place of those that are there; without ONNX Runtime's training build all but its own."""
    for name in CASES:
        if name in FOR_TRAINING and not has_training_build():
            click.echo(f"left {into / name} as it is: it needs the training build (make venv-training)")
            continue
        shutil.rmtree(into / name, ignore_errors=True)
        click.echo(f"wrote {record(name, into).folder}")
    from tests.conformance.record_learner import record_learner  # it takes samples of this module

    click.echo(f"wrote {record_learner(into).folder}")


if __name__ == "__main__":
    main()
