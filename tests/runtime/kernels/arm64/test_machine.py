"""Messages of `make test-arm64` where it cannot run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.kernels.arm64.machine import TOOLS, Machine, Unready, call, check_tools


def test_tools_that_are_there_are_enough() -> None:
    check_tools(lambda tool: f"/usr/bin/{tool}")


@pytest.mark.parametrize(("tool", "package"), TOOLS.items())
def test_a_missing_tool_is_named_with_its_package(tool: str, package: str) -> None:
    with pytest.raises(Unready, match=f"^{re.escape(tool)}: not found; on Debian, apt install {re.escape(package)}$"):
        check_tools(lambda name: None if name == tool else name)


def test_a_command_that_fails_is_named_with_its_complaint() -> None:
    with pytest.raises(Unready, match=r"the last line$"):
        call(sys.executable, "-c", r"import sys; sys.exit('the first line\nthe last line')")
    assert call(sys.executable, "-c", "print('fine')") == "fine\n"


def test_without_tools_the_command_ends_with_one_line(root: Path) -> None:
    command = [sys.executable, "-m", "tests.runtime.kernels.arm64"]
    done = subprocess.run(command, cwd=root, env={"PATH": "/nonexistent"}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("aarch64-linux-gnu-g++, qemu-aarch64, apt-get, dpkg-deb: not found; on Debian, ")
    assert done.stderr.count("\n") == 1


def test_an_interrupted_download_leaves_nothing_that_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*command: str | Path) -> str:
        raise Unready("no network")

    monkeypatch.setattr("tests.runtime.kernels.arm64.machine.call", fail)
    (tmp_path / "constraints.txt").touch()
    machine = Machine(tmp_path / "arm64", tmp_path / "constraints.txt")
    with pytest.raises(Unready, match="no network"):
        machine.prepare()
    assert not machine.root.exists()
    assert not machine.packages.exists()
