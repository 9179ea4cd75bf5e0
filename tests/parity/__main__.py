"""`make parity`: each artifact in every runtime that this machine can have, and what differs (docs/portability.md).

Exit code 0 where everything that ran keeps the promise, 1 where something does not.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from tests.android import phone
from tests.android.package import RUNTIME
from tests.java import replayer
from tests.js import parity as js
from tests.parity import arm64, node, overwriting, rows, runs
from tests.parity.environments import ENVIRONMENTS, Environment, installed, missing, prepared
from tests.parity.forms import FORMS, STEPS, artifact
from tests.parity.replayers import Replayer
from tests.parity.rows import Row
from tests.runtime.kernels.arm64.machine import Unready

ROOT = Path(__file__).resolve().parents[2]
FOLDER, ANDROID, FOUND = ROOT / "build/parity", ROOT / "build/android", ROOT / "build/parity.json"

INSTALLED = "installed"

Prepare = Callable[[], Replayer]
REPLAYERS: Mapping[str, tuple[str, Prepare, bool]] = {
    **{name: (node.VERSION, functools.partial(node.replayer, name, FOLDER / "node"), True) for name in node.PACKAGES},
    "Linux x86_64, C API": (RUNTIME, functools.partial(phone.linux, ANDROID), True),
    arm64.NAME: (arm64.VERSION, arm64.replayer, False),
    "Android x86_64": (RUNTIME, functools.partial(phone.android, "x86_64", ANDROID), True),
    **{
        name: (RUNTIME, functools.partial(replayer.replayer, library), True) for library, name in replayer.NAMES.items()
    },
    "Android arm64": (RUNTIME, functools.partial(phone.android, "arm64", ANDROID), False),
}
"""By name the version, what prepares it, and whether it makes the whole run; an emulated one ends with ``STEPS``."""


def training_row(reference: runs.Reference) -> Row:
    """The artifact of the target ``ort-training``, where the training build is installed."""
    row = Row(reference.form, f"{INSTALLED}, {runs.TRAINING}", "")

    def made() -> Row:
        other = artifact(reference.form, runs.TRAINING, reference.folder)
        return runs.in_python(reference, row.runtime, installed(), other)

    return runs.tried(row, made)


def python_row(reference: runs.Reference, environment: Environment) -> Row:
    """The whole run in an environment of Python."""
    row = Row(reference.form, "onnxruntime", environment.onnxruntime)

    def made() -> Row:
        python = prepared(environment, FOLDER / "envs", ROOT / "constraints.txt")
        return runs.in_python(reference, row.runtime, python, reference.artifact, missing(environment))

    return runs.tried(row, made)


def replayed_row(reference: runs.Reference, name: str) -> Row:
    """The tapes in a runtime of another language."""
    version, prepare, whole = REPLAYERS[name]
    row = Row(reference.form, name, version)
    return runs.tried(row, lambda: runs.replayed(reference, _once(prepare), STEPS, whole))


def driven_row(reference: runs.Reference, name: str) -> Row:
    """The whole run by the driver in JavaScript."""
    return runs.tried(Row(reference.form, name, node.VERSION), lambda: js.driven(reference, name))


@functools.cache
def _once(prepare: Prepare) -> Replayer:
    return prepare()


def form_rows(form: str) -> Iterator[Row]:
    """All rows of an artifact; the first is the reference, without which there is no other."""
    try:
        reference = runs.record(form, FOLDER)
    except Unready as error:
        yield Row(form, INSTALLED, "", note=str(error))
        return
    yield runs.in_python(reference, INSTALLED, installed(), reference.artifact)
    yield training_row(reference)
    yield from (python_row(reference, environment) for environment in ENVIRONMENTS)
    yield from (replayed_row(reference, name) for name in REPLAYERS)
    yield from (driven_row(reference, name) for name in js.RUNTIMES)


def overwriting_rows() -> Iterator[Row]:
    """Whether steps may write over weights, in each environment of Python."""
    compiled = overwriting.artifacts(FOLDER / "overwriting")
    row = Row(overwriting.FORM, INSTALLED, "")
    yield runs.tried(row, lambda: overwriting.looked_at(row, installed(), compiled))
    for environment in ENVIRONMENTS:
        yield overwriting_row(environment, compiled)


def overwriting_row(environment: Environment, compiled: Sequence[Path]) -> Row:
    """The same in one environment."""
    row = Row(overwriting.FORM, "onnxruntime", environment.onnxruntime)

    def made() -> Row:
        python = prepared(environment, FOLDER / "envs", ROOT / "constraints.txt")
        return overwriting.looked_at(row, python, compiled)

    return runs.tried(row, made)


@click.command()
@click.option(
    "--form", "forms", type=click.Choice(list(FORMS)), multiple=True, help="Only this artifact; may be repeated."
)
def main(forms: tuple[str, ...]) -> None:
    """Make the table, and build/parity.json."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    found: list[Row] = []
    kept = True
    for form in forms or FORMS:
        print(f"{form} ...", file=sys.stderr, flush=True)
        made = list(form_rows(form))
        kept = kept and all(rows.fine(row, made[0].class_il or 0.0) for row in made)
        found += made
    if not forms:
        print(f"{overwriting.FORM} ...", file=sys.stderr, flush=True)
        guards = list(overwriting_rows())
        kept = kept and all(rows.fine(row, 0.0) for row in guards)
        found += guards
    rows.show(found)
    print(phone.NOT_SHOWN)
    rows.write(found, FOUND)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    try:
        main()
    except Unready as error:
        print(error, file=sys.stderr)
        sys.exit(2)
