"""The parts of the Java driver by themselves, and what the linters say of it."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.java.jvm import FETCH, SOURCES, Jvm
from tests.runtime.kernels.arm64.machine import call


def test_the_parts_by_themselves(linux: Jvm, tmp_path: Path) -> None:
    done = linux.tried("UnitTests", tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.fullmatch(r"[5-9]\d tests, 0 failed\n", done.stdout)
