"""The findings of sparcl-doctor: a line each about Python, ONNX Runtime, the kernels, the machine and the packages."""

import dataclasses
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Literal

from packaging.requirements import Requirement
from rich.text import Text

from sparcl_compile.cli.report import console, table
from sparcl_compile.interface.cores import usable_cores
from sparcl_compile.interface.errors import RuntimeBuildError
from sparcl_compile.interface.runtime_builds import STOCK, TRAINING, installed_builds, named, training_mend
from sparcl_compile.interface.version import __version__

State = Literal["ok", "missing", "broken"]
OK: State = "ok"
MISSING: State = "missing"
"""Something that only some uses need is not there."""
BROKEN: State = "broken"
"""The tool cannot work so."""
COLOURS = {OK: "green", MISSING: "yellow", BROKEN: "bold red"}
PACKAGE = "sparcl-compile"
OLDEST, NEWEST = (3, 11), (3, 14)
EXTRAS = {
    "parquet": "reads data from parquet:TABLE",
    "dask": "sparcl-bench --dask",
    "plots": "sparcl-bench --plots",
    "tensorboard": "sparcl-run --log-dir writes TensorBoard events",
    "torch": "exports models from PyTorch",
}
"""Optional parts of the installation, and what each is for."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: its name.
        found: what is there.
        state: whether it is as it should be.
        mend: the command or the sentence that helps; empty where nothing is wanting.
    """

    part: str
    found: str
    state: State = OK
    mend: str = ""

    def plain(self) -> dict[str, Any]:
        """The finding as JSON-ready data."""
        return dataclasses.asdict(self)


def findings() -> list[Finding]:
    """Look at everything, in the order in which one would mend it."""
    return [_python(), *_packages(), *_runtime(), *_kernels(), *_machine(), *_extras()]


def is_broken(found: Sequence[Finding]) -> bool:
    """Whether the tool cannot work."""
    return any(one.state == BROKEN for one in found)


def _python() -> Finding:
    there = f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return Finding("Python", there)
    fitting = " to ".join(f"{major}.{minor}" for major, minor in (OLDEST, NEWEST))
    return Finding("Python", there, BROKEN, f"make an environment with Python {fitting} and install it there")


def _packages() -> Iterator[Finding]:
    """The tool itself, and the packages without which it cannot work."""
    yield Finding(PACKAGE, f"{__version__}, {os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}")
    if not _required():
        yield Finding("packages", "unknown", MISSING, "install it with pip, so that its requirements can be looked at")
    wanting = [one for one in _required() if one.name != STOCK and not _holds(one)]
    for one in wanting:
        yield Finding(one.name, _version(one.name) or "not installed", BROKEN, _install([one]))


def _required(extra: str = "") -> list[Requirement]:
    """The requirements of the installation, always or for one extra."""
    try:
        every = [Requirement(text) for text in requires(PACKAGE) or ()]
    except PackageNotFoundError:
        return []
    if not extra:
        return [one for one in every if one.marker is None or one.marker.evaluate({"extra": ""})]
    return [one for one in every if one.marker and not one.marker.evaluate({"extra": ""}) and _is_for(one, extra)]


def _is_for(one: Requirement, extra: str) -> bool:
    return one.marker is not None and one.marker.evaluate({"extra": extra})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _holds(one: Requirement) -> bool:
    there = _version(one.name)
    return bool(there) and one.specifier.contains(there, prereleases=True)


def _install(wanting: Sequence[Requirement]) -> str:
    """A command that works whether or not this package comes from an index."""
    return "pip install " + " ".join(f"'{one.name}{one.specifier}'" for one in wanting)


def _runtime() -> Iterator[Finding]:
    """ONNX Runtime: its build, whether it computes, and whether the target ort-training can be had."""
    builds = installed_builds()
    try:
        from sparcl_compile.interface.onnx_runtime import has_training_build, ort

        computed = _adds_up(ort)
    except RuntimeBuildError as error:
        reason, _, mend = str(error).partition("; ")
        yield Finding("ONNX Runtime", reason, BROKEN, mend)
        return
    kind = "training build" if has_training_build() else "stock build"
    there = f"{named(builds) or ort.__version__}, {kind}, {', '.join(ort.get_available_providers())}"
    fault = f"pip install --force-reinstall {' '.join(builds) or STOCK}"
    yield Finding("ONNX Runtime", there, *(() if computed else (BROKEN, fault)))
    if has_training_build():
        yield Finding("target ort-training", "its gradient builder is there")
    else:
        mend = (
            f"only for --target ort-training: in an environment of its own {training_mend(builds).partition(': ')[2]}"
        )
        yield Finding("target ort-training", f"needs {TRAINING[0]}; the default target does not", MISSING, mend)


SUM = """<ir_version: 10, opset_import: ["" : 18]>
sum (float[2] a) => (float[2] b) { b = Add (a, a) }"""


def _adds_up(ort: Any) -> bool:
    """Whether ONNX Runtime loads and runs a graph."""
    import numpy as np
    from onnx.parser import parse_model

    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(parse_model(SUM).SerializeToString(), options, ["CPUExecutionProvider"])
        return bool((session.run(None, {"a": np.ones(2, np.float32)})[0] == 2.0).all())
    except RuntimeError:
        return False


def _kernels() -> Iterator[Finding]:
    """The library of sparse kernels and the instructions that it computes with here."""
    from sparcl_compile.compiling.kernel_library import installed, instructions, why_missing

    path = installed()
    if path is None:
        reason, _, mend = why_missing().partition(": ")
        yield Finding("sparse kernels", reason, MISSING, f"only for --compress: {mend or 'unset SPARCL_KERNELS'}")
        return
    yield Finding("sparse kernels", str(path))
    yield Finding("SIMD", instructions(path))


def _machine() -> Iterator[Finding]:
    yield Finding("machine", f"{platform.system()} {platform.machine()}, {usable_cores()} cores, {_memory()}")


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "memory unknown"
    return f"{size / 2**30:.1f} GiB of memory"


def _extras() -> Iterator[Finding]:
    for extra, purpose in EXTRAS.items():
        asked = _required(extra)
        wanting = [one for one in asked if not _holds(one)]
        if wanting or not asked:
            text = _install(wanting) if wanting else f"install {PACKAGE} again: it does not know this extra yet"
            yield Finding(f"extra {extra}", f"not installed; {purpose}", MISSING, text)
        else:
            there = ", ".join(f"{one.name} {_version(one.name)}" for one in asked)
            yield Finding(f"extra {extra}", f"{there}; {purpose}")


def print_findings(found: Sequence[Finding]) -> None:
    """Print the findings as a table, the mends below it, in colours on a terminal."""
    target = console()
    rows = [(one.state, one.part, one.found) for one in found]
    if rows:
        target.print(table("sparcl-doctor", ("", "", ""), rows))
    for one in found:
        if one.mend:
            target.print(Text(f"{one.part}: ", style=COLOURS[one.state]).append(one.mend, "default"), soft_wrap=True)
