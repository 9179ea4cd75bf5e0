"""Rows on steps that move weights in the backward pass: whether they may write over them, in each Python runtime."""

import dataclasses
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.settings.options import CompileOptions
from tests.parity.rows import Row
from tests.runtime.kernels.arm64.machine import Unready
from tests.support.form import write_small

FORM = "written over"
DENSE = CompileOptions(method="finetune", sparsity=0.0, gradient_sparsity=0.0)
MODELS: Mapping[str, CompileOptions] = {
    "mlp": DENSE,
    "depthwise": DENSE,
    "transformer": dataclasses.replace(DENSE, momentum=0.9),
    "resnet": CompileOptions(method="finetune", gradient_sparsity=0.9, optimizer="adamw", weight_decay=0.01),
}
"""Small models whose steps are one batch, so that weights have to wait for their readers."""


def artifacts(folder: Path) -> list[Path]:
    """The models, compiled into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for model, options in MODELS.items():
        write_small(model, folder / f"{model}.onnx", seed=0)
        made.append(folder / f"{model}.sparcl")
        compile_model(folder / f"{model}.onnx", made[-1], options)
    return made


def looked_at(row: Row, python: Path, compiled: Sequence[Path]) -> Row:
    """The row with what ``tests.parity.written_over`` finds in an environment of Python; raises Unready."""
    done = subprocess.run([python, "-m", "tests.parity.written_over", *compiled], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unready((done.stderr or done.stdout).strip().splitlines()[-1])
    about, *found = done.stdout.splitlines()
    version, _, release = about.partition(" ")
    return dataclasses.replace(
        row,
        version=version,
        python=release,
        equal=not found,
        loss_difference=0.0,
        graphs=len(compiled),
        bits=len(compiled) - len({line.partition(":")[0] for line in found}),
        note="; ".join(found),
    )
