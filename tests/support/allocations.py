"""The most bytes that a session's run holds at one time, counted by an allocator of our own: ``allocations.c``."""

import ctypes
import dataclasses
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import numpy as np
import onnx_ir as ir
import pytest

from benchmarks.contestants import Setting
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.runtime.session import sessions
from sparcl_compile.runtime.session.engine import device_copy
from tests.support.cli import measured

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).with_suffix(".c")
COMPILER = "cc"
IN_A_PROCESS_OF_ITS_OWN = """
from pathlib import Path
from tests.support.allocations import counted
print(counted(Path({folder!r})))
"""
OF_A_CONTESTANT = """
from pathlib import Path
from benchmarks.contestants import Setting, compiled
from tests.support.allocations import counted_step
print(counted_step({setting}, Path({folder!r}), {batch}))
"""


def check_tools() -> None:
    """Skip the test where the allocator cannot be built, or cannot be given to the runtime."""
    if sys.platform != "linux" or shutil.which(COMPILER) is None:
        pytest.skip("needs Linux and a C compiler")
    if importlib.util.find_spec("onnxruntime.training"):
        pytest.skip("the training build (1.19.2) lets no library reach the environment of its sessions")


def most_bytes_of_a_step(setting: Setting, batch: int, folder: Path) -> int:
    """The most bytes that a training step of an artifact holds in a run, feeds and state apart."""
    build(folder)
    code = OF_A_CONTESTANT.format(setting=as_code(setting), folder=str(folder), batch=batch)
    return measured(code, ROOT)


def as_code(setting: Setting) -> str:
    """The setting as Python code."""
    changed = {f.name: getattr(setting, f.name) for f in dataclasses.fields(setting) if f.name != "make"}
    return f"Setting(make=compiled, **{changed!r})"


def counted_step(setting: Setting, folder: Path, batch: int) -> int:
    """:func:`most_bytes_of_a_step` in the process that is for it: the second step."""
    library = watching(folder)
    with mock.patch.object(sessions, "_share_arena"):
        step = setting.make(setting, batch, 1, folder)
        step()
        library.begin()
        step()
    return int(library.largest())


def build(folder: Path) -> None:
    """Build the allocator in a folder."""
    subprocess.run([COMPILER, "-O1", "-shared", "-fPIC", "-o", folder / "allocations.so", SOURCE], check=True)


def watching(folder: Path) -> ctypes.CDLL:
    """The allocator of a folder, which the sessions of this process take from now on."""
    library = ctypes.CDLL(str(folder / "allocations.so"))
    library.largest.restype = ctypes.c_int64
    ort.SessionOptions().register_custom_ops_library(str(folder / "allocations.so"))
    return library


def most_bytes(model: ir.Model, feeds: Mapping[str, np.ndarray], folder: Path) -> int:
    """The most bytes that one run of a graph holds, feeds and results apart.

    The runtime has one allocator for a whole process, so the run has a process of its own.
    """
    build(folder)
    ir.save(model, folder / "watched.onnx")
    np.savez(folder / "feeds.npz", **feeds)  # type: ignore[arg-type]
    return measured(IN_A_PROCESS_OF_ITS_OWN.format(folder=str(folder)), ROOT)


def counted(folder: Path) -> int:
    """:func:`most_bytes` in the process that is for it: the second run, with the first one's results for its own."""
    library = watching(folder)
    with mock.patch.object(sessions, "_share_arena"), np.load(folder / "feeds.npz") as feeds:
        session = ort.InferenceSession(str(folder / "watched.onnx"), sessions.session_options(1))
        wanted = [value.name for value in session.get_inputs()]
        values = {name: device_copy(feeds[name]) for name in wanted}
    names = [value.name for value in session.get_outputs()]
    results = session.run_with_ort_values(names, values)
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in zip(names, results, strict=True):
        binding.bind_ortvalue_output(name, value)
    library.begin()
    session.run_with_iobinding(binding)
    return int(library.largest())
