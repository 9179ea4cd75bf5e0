"""The commands as a user calls them, a tiny model and data for them, and the form of every refusal."""

import dataclasses
import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from click.testing import CliRunner

from sparcl_compile.api.places import artifact_of
from sparcl_compile.cli import (
    bench_command,
    compile_command,
    doctor_command,
    export_command,
    inspect_command,
    opt_command,
    run_command,
)
from tests.support.schema import check_schema
from tests.support.zoo import CLASSES, ZOO

COMMANDS = {
    "compile": compile_command,
    "run": run_command,
    "inspect": inspect_command,
    "export": export_command,
    "opt": opt_command,
    "bench": bench_command,
    "doctor": doctor_command,
}
SCRIPTS = Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SMALL_RUN = ("--tasks", "2", "--epochs", "2", "--batch-size", "8", "--buffer", "10", "--threads", "1")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a command."""

    code: int
    out: str
    err: str


def call(command: str, *args: object) -> Outcome:
    """Run a command in this process; an exception that a user would see as a traceback is raised."""
    result = CliRunner().invoke(COMMANDS[command], [str(arg) for arg in args], prog_name=f"sparcl-{command}")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if command == "compile" and result.exit_code == 0:
        _check_made(args)
    return Outcome(result.exit_code, result.stdout, result.stderr)


def _check_made(args: tuple[object, ...]) -> None:
    """The artifact that ``sparcl-compile`` has made follows the schema; --help and --version make none."""
    if args[-1] not in ("--help", "--version"):
        named = dict(itertools.pairwise(args)).get("-o")
        check_schema(Path(str(named)) if named else artifact_of(Path(str(args[0]))))


def done(command: str, *args: object) -> Outcome:
    """Run a command in this process; it must succeed."""
    outcome = call(command, *args)
    assert outcome.code == 0, outcome
    return outcome


def command_line(command: str, *args: object) -> list[str]:
    """The installed console script with its arguments."""
    return [str(SCRIPTS / f"sparcl-{command}"), *map(str, args)]


def spawn(command: str, *args: object, **settings: Any) -> Outcome:
    """Run a console script in a process of its own."""
    settings = {"env": ENVIRONMENT, "timeout": 120, **settings}
    found = subprocess.run(command_line(command, *args), capture_output=True, text=True, check=False, **settings)
    return Outcome(found.returncode, found.stdout, found.stderr)


def measured(code: str, root: Path) -> int:
    """The number that Python code prints last, in a process of its own that finds the repository's packages."""
    environment = {**ENVIRONMENT, "PYTHONPATH": str(root)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=root)
    assert found.returncode == 0, found.stderr
    return int(found.stdout.split()[-1])


def check_refused(outcome: Outcome, *parts: object, code: int = 2) -> None:
    """One line that starts with ``error:`` and holds these parts, and nothing else on stderr."""
    assert outcome.code == code, outcome
    assert outcome.err.startswith("error: "), outcome
    assert outcome.err.count("\n") == 1, outcome
    assert outcome.err.endswith("\n"), outcome
    for part in parts:
        assert str(part) in outcome.err, outcome


def check_no_compilation(model: Path, options: Sequence[str], parts: Sequence[str]) -> None:
    """A compilation under these options is refused with these words, and nothing is written beside the model."""
    before = contents(model.parent)
    check_refused(call("compile", model, *options, "-o", model.parent / "a.sparcl"), *parts)
    assert contents(model.parent) == before


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder, hidden files included, with checksums of the files."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def write_model(folder: Path, name: str = "cnn_bn") -> Path:
    """A model of the zoo as a file: by default 3x8x8 images, five classes, one layer that masks go on."""
    path = folder / f"{name}.onnx"
    onnx.save(ZOO[name](), path)
    return path


def write_artifact(folder: Path, *options: object, name: str = "cnn_bn") -> Path:
    """The compiled model of the zoo."""
    done("compile", write_model(folder, name), "--sparsity", "0.75", *options)
    return folder / f"{name}.sparcl"


def arrays(count: int = 24, classes: int = CLASSES, shape: tuple[int, ...] = (3, 8, 8)) -> dict[str, np.ndarray]:
    """Noisy images around one mean a class, ``count`` a class for training and 4 for testing."""
    rng = np.random.default_rng(5)
    means = rng.integers(0, 100, size=(classes, shape[0], *[1] * (len(shape) - 1)))
    made = {}
    for part, samples in (("train", count), ("test", 4)):
        y = np.tile(np.arange(classes), samples)
        made[f"x_{part}"] = (means[y] + rng.integers(0, 156, size=(len(y), *shape))).astype(np.uint8)
        made[f"y_{part}"] = y
    return made


def write_data(folder: Path, **changed: np.ndarray) -> str:
    """Data of :func:`arrays`, or other arrays in their place, as the name of a source."""
    path = folder / "data.npz"
    np.savez(path, **{**arrays(), **changed})
    return f"npz:{path}"


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def run_forms(folder: Path, forms: Sequence[str], *options: str) -> None:
    """Compile a residual network once with each of these options and run it: ``FORM.sparcl``, ``FORM.json``."""
    model, data = write_model(folder, "resnet"), write_data(folder)
    for form in forms:
        done("compile", model, *options, form, "-o", folder / f"{form}.sparcl")
        done("run", folder / f"{form}.sparcl", "--data", data, *SMALL_RUN, "--json", folder / f"{form}.json")
