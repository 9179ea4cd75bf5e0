"""Runs an artifact in a runtime and compares with the reference: the same one in the ONNX Runtime that is installed."""

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sparcl_compile.interface.errors import SparclError
from sparcl_compile.runtime.session import kernel_library
from tests.parity import rows, tape
from tests.parity.compare import GraphDifference, compare, graphs, last, of_trace
from tests.parity.environments import installed
from tests.parity.forms import FORMS, STEPS, artifact
from tests.parity.learn import ABOUT, TRACE
from tests.parity.recorder import GRAPHS, LEARNING
from tests.parity.replayers import Replayer
from tests.runtime.kernels.arm64.machine import Unready

ORT, TRAINING = "ort", "ort-training"
CLASS_IL = "class_il"


@dataclasses.dataclass(frozen=True)
class Reference:
    """The recorded run of a form.

    Attributes:
        form: its name.
        folder: of everything that belongs to the form.
        artifact: compiled for the target ``ort``.
    """

    form: str
    folder: Path
    artifact: Path

    @property
    def recorded(self) -> Path:
        """The folder of the trace and the tapes."""
        return self.folder / "reference"


def record(form: str, folder: Path) -> Reference:
    """Compile a form and let it learn here, with its tapes.

    Raises:
        Unready: it fails, or the form needs the kernel library and there is none.
    """
    if FORMS[form].options.compress and kernel_library.library() is None:
        raise Unready(kernel_library.reason())
    below = folder / form
    shutil.rmtree(below, ignore_errors=True)
    below.mkdir(parents=True)
    reference = Reference(form, below, artifact(form, ORT, below))
    learn(installed(), reference.artifact, form, reference.recorded, "--tapes")
    return reference


def learn(python: Path, compiled: Path, form: str, folder: Path, *options: str) -> None:
    """Let an artifact learn in an environment of Python; raises Unready with its last line."""
    run("tests.parity.learn", python, compiled, json.dumps(FORMS[form].told), folder, *options)


def run(module: str, python: Path, *arguments: str | Path) -> None:
    """Run a module in an environment of Python; raises Unready with its last line."""
    done = subprocess.run([python, "-m", module, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unready((done.stderr or done.stdout).strip().splitlines()[-1])


def trace(folder: Path) -> dict[str, Any]:
    """The trace of a run."""
    found: dict[str, Any] = json.loads((folder / TRACE).read_text(encoding="utf-8"))
    return found


def in_python(reference: Reference, runtime: str, python: Path, compiled: Path, note: str = "") -> rows.Row:
    """A whole run in an environment of Python, and for the target ``ort`` each graph by itself; raises Unready."""
    folder = reference.folder / python.parent.parent.name / compiled.stem
    learn(python, compiled, reference.form, folder)
    same = compiled == reference.artifact
    by_graph = alone(reference, python, folder / GRAPHS) if same else []
    found, wanted = trace(folder), trace(reference.recorded)
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    row = rows.Row(reference.form, runtime, about["version"], about["python"], note=note)
    difference = compare(of_trace(found), of_trace(wanted), STEPS)
    return rows.made(row, difference, by_graph, found["end"][CLASS_IL])


def alone(reference: Reference, python: Path, folder: Path) -> list[GraphDifference]:
    """Each graph by itself in an environment of Python; raises Unready."""
    library = kernel_library.library()
    kernels = [library] if library else []
    run("tests.parity.replay", python, reference.recorded / GRAPHS, folder, "0", *kernels)
    return graphs(folder, reference.recorded / GRAPHS)


def replayed(reference: Reference, replayer: Replayer, steps: int, whole: bool) -> rows.Row:
    """The tapes of a run in another runtime.

    Args:
        reference: with the tapes.
        replayer: the runtime.
        steps: how many are compared.
        whole: whether the run goes on to its end, or ends behind these steps.

    Raises:
        Unready: it fails.
    """
    folder = reference.folder / replayer.folder
    replayer.replay(reference.recorded / GRAPHS, folder / GRAPHS)
    replayer.replay(reference.recorded / LEARNING, folder / LEARNING, 0 if whole else steps)
    found, wanted = (tape.results(one / LEARNING) for one in (folder, reference.recorded))
    row = rows.Row(reference.form, replayer.name, replayer.version)
    by_graph = graphs(folder / GRAPHS, reference.recorded / GRAPHS)
    return rows.made(row, compare(found, wanted, steps), by_graph, last(found, CLASS_IL))


def tried(row: rows.Row, make: Callable[[], rows.Row]) -> rows.Row:
    """What ``make`` returns, or the row with the reason why there is nothing."""
    try:
        return make()
    except (Unready, SparclError, ImportError) as error:
        return dataclasses.replace(row, note=str(error))
