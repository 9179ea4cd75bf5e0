"""The memory in a learner's report is this process's own."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sparcl_compile.runtime.learner import report

LARGE = 400 * 2**20
STARTED_BY_A_LARGE_PROCESS = f"""
import subprocess, sys
held = bytearray({LARGE})
held[::4096] = b"x" * len(held[::4096])
own = "from sparcl_compile.runtime.learner.report import _process_bytes; print(_process_bytes())"
print(subprocess.run([sys.executable, "-c", own], capture_output=True, text=True, check=True).stdout)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells a process's own memory")
def test_memory_of_what_started_the_process_does_not_count(root: Path) -> None:
    command = [sys.executable, "-c", STARTED_BY_A_LARGE_PROCESS]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert 0 < int(found.stdout) < LARGE


def test_a_system_without_that_file_tells_the_maximum(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "STATUS", tmp_path / "none")
    found = report._process_bytes()
    assert found is not None
    assert found >= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_system_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "STATUS", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert report._process_bytes() is None
