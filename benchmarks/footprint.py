"""What an artifact takes on a device: ``python -m benchmarks.footprint ARTIFACT...``, its size on disk and in memory.

Memory is the peak of a process that learns two tasks from the artifact (benchmarks/one_run.py), and what that process
holds once its modules are imported. ``--python`` runs it in another environment, with the stock ONNX Runtime, say. The
data are random bytes of the model's shape: neither size depends on what they show.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.files import write_json
from sparcl_compile.interface.artifact import load, read_report
from sparcl_compile.interface.manifest import Manifest

A_CLASS = {"train": 40, "test": 4}
"""Samples of each class."""
KINDS = {"onnx": ".onnx", "ort": ".ort", "state": ".safetensors"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table, in bytes.

    Attributes:
        artifact: the name of its folder.
        whole: all its files.
        onnx: its graphs.
        ort: its graphs in ORT format, 0 without them.
        state: the first values of its state.
        imports: of a process that has not begun to learn.
        peak: of that process.
        estimate: of the compiler for the peak without the process around it.
        onnxruntime: the version.
    """

    artifact: str
    whole: int
    onnx: int
    ort: int
    state: int
    imports: int
    peak: int
    estimate: int
    onnxruntime: str


def on_disk(folder: Path) -> dict[str, int]:
    """The bytes of an artifact's files: all of them, and by kind."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    by_kind = {kind: sum(one.stat().st_size for one in files if one.suffix == end) for kind, end in KINDS.items()}
    return {"whole": sum(path.stat().st_size for path in files), **by_kind}


def write_data(manifest: Manifest, folder: Path) -> str:
    """Random bytes of the model's shape, as a source of samples."""
    rng, model = np.random.default_rng(0), manifest.model
    arrays: dict[str, np.ndarray] = {}
    for part, each in A_CLASS.items():
        labels = np.tile(np.arange(model.classes), each)
        arrays[f"x_{part}"] = rng.integers(0, 256, (len(labels), *model.input_shape), np.uint8)
        arrays[f"y_{part}"] = labels
    np.savez(folder / "data.npz", **arrays)
    return f"npz:{folder / 'data.npz'}"


def measured(folder: Path, python: str) -> Row:
    """One artifact; raises CalledProcessError where it cannot learn in that environment."""
    manifest, estimate = load(folder).manifest, read_report(folder).memory.training_bytes
    with tempfile.TemporaryDirectory() as scratch:
        command = [python, "-m", "benchmarks.one_run", str(folder), write_data(manifest, Path(scratch))]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Row(folder.name, **on_disk(folder), **found, estimate=estimate)


def table(rows: list[Row]) -> Table:
    """The rows in megabytes."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("MB")
    for name in ("on disk", ".onnx", ".ort", "state", "imports", "peak", "above imports", "estimate"):
        shown.add_column(name, justify="right")
    for row in rows:
        numbers = (row.whole, row.onnx, row.ort, row.state, row.imports, row.peak, row.peak - row.imports, row.estimate)
        shown.add_row(row.artifact, *(f"{number / 1e6:.1f}" for number in numbers))
    return shown


@click.command()
@click.argument("artifacts", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--python", default=sys.executable, help="The interpreter that learns.  [default: this one]")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Also write the rows as JSON.")
def main(artifacts: tuple[Path, ...], python: str, output: Path | None) -> None:
    """Measure artifacts and print the table."""
    rows = [measured(folder, python) for folder in artifacts]
    Console(width=120).print(table(rows))
    if output is not None:
        write_json(output, rows)


if __name__ == "__main__":
    main()
