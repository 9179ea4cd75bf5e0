"""The duration that a command prints."""

import re
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sparcl_compile.cli.command import Command, process_seconds, seconds_so_far
from tests.support.cli import spawn


@click.command(cls=Command)
def slow() -> None:
    click.echo(seconds_so_far())


def test_within_another_process_a_command_begins_when_it_is_called() -> None:
    before = time.perf_counter()
    said = float(CliRunner().invoke(slow, [], prog_name="sparcl-slow").stdout)
    assert 0.0 <= said <= time.perf_counter() - before


def test_a_script_begins_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/sparcl-slow"])
    monkeypatch.setattr("sparcl_compile.cli.command.process_seconds", lambda: 12.5)
    assert CliRunner().invoke(slow, [], prog_name="sparcl-slow").stdout == "12.5\n"


def test_a_process_began_before_anything_in_it_ran() -> None:
    code = """import time; began = time.clock_gettime(time.CLOCK_BOOTTIME)
from sparcl_compile.cli.command import process_seconds
said = process_seconds(); print(said - (time.clock_gettime(time.CLOCK_BOOTTIME) - began))"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # The kernel counts in hundredths of a second.
    assert float(found.stdout) > -0.02


def test_without_proc_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert process_seconds() is None


def test_the_compiler_says_what_the_whole_command_took(root: Path, tmp_path: Path) -> None:
    before = time.perf_counter()
    outcome = spawn("compile", root / "models" / "digits_cnn.onnx", "-o", tmp_path / "a.sparcl")
    around = time.perf_counter() - before
    said = re.search(r"Compiled in (\d+\.\d) s to", outcome.out)
    passes = sum(int(ms) for ms in re.findall(r"^\w+ +(\d+) +\d+ +[+\d]", outcome.out, re.MULTILINE)) / 1000
    assert said is not None
    assert passes < float(said[1]) <= around + 0.1
