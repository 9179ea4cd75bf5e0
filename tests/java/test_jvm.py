"""What keeps the JVM from running is said in one line, with the way out."""

import re
import shutil
from pathlib import Path

import pytest

from tests.java import jvm
from tests.java.replayer import NAMES
from tests.runtime.kernels.arm64.machine import Unready


def test_tools_that_are_missing_are_named_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool in ("javac", "gcc") else tool)
    line = "javac, gcc: not found; on Debian, apt install gcc openjdk-17-jdk-headless"
    with pytest.raises(Unready, match=f"^{re.escape(line)}$"):
        jvm.jvm("linux", fetch=True)


def test_what_was_not_fetched_is_fetched_by_make_test_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: tool)
    monkeypatch.setattr(jvm, "ANDROID", tmp_path)
    assert jvm.missing(fetch=True) == ""
    assert "`make test-java` fetches it (150 MB)" in jvm.missing(fetch=False)


def test_every_library_is_a_runtime_of_make_parity() -> None:
    assert tuple(NAMES) == jvm.LIBRARIES
