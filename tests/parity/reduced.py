"""Artifacts in a minimal build of ONNX Runtime, which reads ORT format alone (docs/portability.md):

    python -m tests.parity.reduced LIBONNXRUNTIME.so HEADERS ARTIFACT...

The artifacts were compiled with ``--ort-format``. Each learns here, from its ``.onnx`` files; then the program of the
Android test (``tests/android/replay.cc``), built against HEADERS, loads every ``.ort`` file in the library, runs each
graph, and learns the same steps. Exit code 0 where all keeps the promise of the comparison (``tests/parity/rows.py``).
"""

import dataclasses
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sparcl_compile.runtime.session import kernel_library
from tests.android import phone
from tests.parity import rows, runs, tape
from tests.parity.compare import CLOSE
from tests.parity.environments import installed
from tests.parity.recorder import GRAPHS, LEARNING
from tests.parity.replayers import Replayer
from tests.parity.rows import Row
from tests.runtime.kernels.arm64.machine import Unready, call

ROOT = Path(__file__).resolve().parents[2]
NAME = "reduced to the artifact"
ORT_FORMAT = ".ort"
RUN: Mapping[str, Any] = {
    "data": "digits",
    "tasks": 5,
    "epochs": 1,
    "batch_size": 32,
    "buffer_size": 200,
    "learning_rate": 0.02,
    "seed": 7,
    "threads": 1,
}


def recorded(artifact: Path, told: Mapping[str, Any], folder: Path) -> runs.Reference:
    """Let an artifact learn here, and have the tapes of it name its files in ORT format.

    Raises:
        Unready: it does not learn, or has no such files.
    """
    reference = runs.Reference(artifact.stem, folder / artifact.stem, artifact)
    shutil.rmtree(reference.folder, ignore_errors=True)
    options = json.dumps(dict(told))
    runs.run("tests.parity.learn", installed(), artifact, options, reference.recorded, "--tapes")
    for part in (GRAPHS, LEARNING):
        in_ort_format(reference.recorded / part)
    load_the_rest(reference.recorded / GRAPHS, artifact)
    return reference


def in_ort_format(folder: Path) -> None:
    """Let a tape name the files in ORT format; raises Unready where one is not there."""
    lines = [_in_ort_format(parts) for parts in tape.instructions(folder)]
    text = "".join("\t".join(parts) + "\n" for parts in lines)
    (folder / f"{tape.TAPE}.tsv").write_text(text, encoding="utf-8")


def load_the_rest(folder: Path, artifact: Path) -> None:
    """Have a tape load the graphs too that the run did not need: those for other samples, or another use."""
    there = {parts[2] for parts in tape.instructions(folder) if parts[0] == "graph"}
    with (folder / f"{tape.TAPE}.tsv").open("a", encoding="utf-8") as file:
        for path in sorted(set(map(str, artifact.rglob(f"*{ORT_FORMAT}"))) - there):
            print("graph", path, path, 0, CLOSE, sep="\t", file=file)


def loaded(folder: Path) -> int:
    """How many files a tape loads."""
    return len({parts[2] for parts in tape.instructions(folder) if parts[0] == "graph"})


def _in_ort_format(parts: Sequence[str]) -> Sequence[str]:
    if parts[0] != "graph":
        return parts
    kind, graph, path, *others = parts
    file = Path(path).with_suffix(ORT_FORMAT)
    if not file.exists():
        raise Unready(f"{file}: not found; compile the model with --ort-format")
    return (kind, graph, str(file), *others)


def steps(reference: runs.Reference) -> int:
    """The steps of a recorded run."""
    return sum(parts[0] == "mark" for parts in tape.instructions(reference.recorded / LEARNING))


def replayer(library: Path, headers: Path, loader: Sequence[str], folder: Path) -> Replayer:
    """The library with its program; raises Unready where that cannot be built."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "replay"
    call("g++", "-std=c++17", "-O1", f"-I{headers}", "-o", program, phone.SOURCE, "-ldl")
    command = (*loader, str(program), str(library.resolve()))
    return Replayer(NAME, "", command, kernel_library.library(), kernel_library.reason())


@click.command()
@click.argument("library", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("headers", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("artifacts", type=click.Path(path_type=Path, exists=True, file_okay=False), nargs=-1, required=True)
@click.option("--run", "told", default="{}", help="Fields of a RunConfig as JSON, instead of this module's.")
@click.option("--loader", default="", help="The command that a program for the library is started with.")
def main(library: Path, headers: Path, artifacts: Sequence[Path], told: str, loader: str) -> None:
    """Load, run and compare."""
    folder = ROOT / "build/reduced"
    runtime = replayer(library, headers, loader.split(), folder)
    found = [_row(artifact, {**RUN, **json.loads(told)}, runtime, folder) for artifact in artifacts]
    rows.show(found)
    print(f"{library.name}: {library.stat().st_size / 1e6:.2f} MB")
    ran = all(row.equal is not None for row in found)
    sys.exit(0 if ran and all(rows.fine(row, row.class_il or 0.0) for row in found) else 1)


def _row(artifact: Path, told: Mapping[str, Any], runtime: Replayer, folder: Path) -> Row:
    row = Row(artifact.stem, runtime.name, runtime.version)

    def made() -> Row:
        reference = recorded(artifact.resolve(), told, folder)
        found = runs.replayed(reference, runtime, steps(reference), whole=True)
        note = f"{loaded(reference.recorded / GRAPHS)} files loaded"
        return dataclasses.replace(found, note="; ".join(filter(None, (note, found.note))))

    return runs.tried(row, made)


if __name__ == "__main__":
    try:
        main()
    except Unready as error:
        print(error, file=sys.stderr)
        sys.exit(2)
