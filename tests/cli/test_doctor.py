"""sparcl-doctor: what is there, what is missing with a mend, and an exit code that says whether the tool works."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sparcl_compile.cli import findings
from sparcl_compile.cli.findings import BROKEN, EXTRAS, MISSING, OK, Finding
from sparcl_compile.compiling import kernel_library
from sparcl_compile.interface.errors import RuntimeBuildError
from tests.support.cli import call, done


def found(*args: str) -> dict[str, dict[str, str]]:
    return {one["part"]: one for one in json.loads(done("doctor", "--json", *args).out)}


def test_a_working_installation() -> None:
    parts = found()
    for name in ("Python", "sparcl-compile", "ONNX Runtime", "machine"):
        assert parts[name]["state"] == OK, parts[name]
        assert parts[name]["mend"] == ""
    assert sys.executable in parts["Python"]["found"]
    assert ("stock build" in parts["ONNX Runtime"]["found"]) != ("training build" in parts["ONNX Runtime"]["found"])
    assert "CPUExecutionProvider" in parts["ONNX Runtime"]["found"]
    assert {f"extra {name}" for name in EXTRAS} <= parts.keys()


def test_the_table_and_its_mends(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Finding("A", "is there"), Finding("B", "is not there", MISSING, "pip install 'b>=1'")]
    monkeypatch.setattr(findings, "findings", lambda: made)
    lines = done("doctor").out.splitlines()
    assert [line.split() for line in lines[1:3]] == [["ok", "A", "is", "there"], ["missing", "B", "is", "not", "there"]]
    assert lines[3:] == ["B: pip install 'b>=1'"]
    assert "is there" not in done("doctor", "--quiet").out.replace("not there", "")


def test_what_is_optional_is_no_failure_and_what_is_broken_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "findings", lambda: [Finding("A", "", MISSING, "do")])
    assert call("doctor").code == 0
    monkeypatch.setattr(findings, "findings", lambda: [Finding("A", "", BROKEN, "do"), Finding("B", "")])
    assert call("doctor").code == 1
    assert call("doctor", "--json").code == 1


def test_two_builds_of_the_runtime_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeBuildError("a 1 and b 2 are installed over one another; pip uninstall -y a b, then pip install a")

    monkeypatch.delitem(sys.modules, "sparcl_compile.interface.onnx_runtime")
    monkeypatch.setattr("sparcl_compile.interface.runtime_builds.check_one_build", fail)
    (one,) = findings._runtime()
    assert (one.state, one.mend) == (BROKEN, "pip uninstall -y a b, then pip install a")


class Deaf:
    """An ONNX Runtime whose sessions do not work."""

    class SessionOptions:
        log_severity_level = 0

    @staticmethod
    def InferenceSession(*_: object) -> None:
        raise RuntimeError("no")


def test_a_runtime_that_does_not_compute_is_noticed() -> None:
    assert not findings._adds_up(Deaf)


def test_without_kernels_the_mend_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_library, "installed", lambda: None)
    monkeypatch.setattr(kernel_library, "why_missing", lambda: "the kernels were not built: install a compiler")
    (one,) = findings._kernels()
    assert (one.state, one.found) == (MISSING, "the kernels were not built")
    assert one.mend == "only for --compress: install a compiler"


@pytest.mark.skipif(kernel_library.installed() is None, reason=kernel_library.why_missing())
def test_the_kernels_say_their_instructions() -> None:
    parts = found()
    assert parts["SIMD"]["found"]
    assert Path(parts["sparse kernels"]["found"]).is_file()


NEEDED: list[tuple[str, str]] = [("surely_not_there>=2", "not installed"), ("click>=999", "")]


@pytest.mark.parametrize(("text", "there"), NEEDED)
def test_a_package_that_is_missing_or_too_old_is_broken(text: str, there: str, monkeypatch: pytest.MonkeyPatch) -> None:
    required: Callable[..., list[Requirement]] = lambda extra="": [Requirement(text)]  # noqa: E731
    monkeypatch.setattr(findings, "_required", required)
    *_, one = findings._packages()
    assert one.state == BROKEN
    assert one.mend == f"pip install '{text}'"
    assert there in one.found


def test_a_missing_extra_has_a_command_that_works_without_an_index_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"plots": "surely_not_there>=2"}
    monkeypatch.setattr(findings, "_required", lambda extra="": [Requirement(made.get(extra, "click"))])
    mends = {one.part: one.mend for one in findings._extras()}
    assert mends["extra plots"] == "pip install 'surely_not_there>=2'"
    assert mends["extra torch"] == ""
