"""The parts of the Java driver by themselves, what the linter says of it, and how much of it there is."""

import re
import shutil
from pathlib import Path

import pytest

from tests.java.jvm import SOURCES, Jvm
from tests.runtime.kernels.arm64.machine import call

MAIN = SOURCES / "src" / "main" / "java" / "sparcl"
DRIVER = ("Engine", "Interpreter", "Loop", "Rows", "Values")
"""What every driver has to write, as tests/test_driver_size.py says: it holds state and values, interprets the program,
and has tables of samples. What reads and checks an artifact, and what opens sessions, is counted there neither."""
LINES = 500
MAX_LINES = 300
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
NO_CODE = re.compile(r"|(?:import|package) .*")
"""Lines that are blank or an import; one with a bracket alone counts."""


def code_lines(source: str) -> int:
    """The number of lines of code in a file."""
    return sum(NO_CODE.fullmatch(line.strip()) is None for line in COMMENT.sub("", source).splitlines())


def test_the_parts_by_themselves(linux: Jvm, tmp_path: Path) -> None:
    done = linux.tried("UnitTests", tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.fullmatch(r"[5-9]\d tests, 0 failed\n", done.stdout)


def test_checkstyle_finds_nothing() -> None:
    if shutil.which("checkstyle") is None:
        pytest.skip("checkstyle: not found; on Debian, apt install checkstyle")
    call("checkstyle", "-c", SOURCES / "checkstyle.xml", SOURCES / "src")


def test_the_driver_is_small() -> None:
    found = {name: code_lines((MAIN / f"{name}.java").read_text(encoding="utf-8")) for name in DRIVER}
    assert sum(found.values()) < LINES, found


@pytest.mark.parametrize("path", sorted(SOURCES.rglob("*.java")), ids=lambda path: path.name)
def test_a_file_can_be_read_in_one_go(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_it_uses_no_reflection_and_nothing_but_onnx_runtime() -> None:
    """Only packages of Java 8 that Android has, and ONNX Runtime."""
    allowed = re.compile(r"import (?:java\.(?:io|net|nio|security|text|util)|ai\.onnxruntime)\.")
    text = "".join(path.read_text(encoding="utf-8") for path in MAIN.glob("*.java"))
    imports = re.findall(r"^import .*$", text, re.MULTILINE)
    assert imports
    assert all(map(allowed.match, imports))
    others = r"\bjava\.(?!io|net|nio|security|text|util)\w+\.|\bjavax\.|\bsun\.(?!java\.command)"
    assert not re.search(rf"reflect|Class\.forName|getDeclared|setAccessible|{others}", COMMENT.sub("", text))


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("package a;\nimport b;\n\n/** A.\n * B. */\nclass C {\n    int d; // e\n    // f\n}\n", 3),
        ("x(\n);\n})\n", 3),
        ("/* a */ int b; /* c */\n", 1),
    ],
)
def test_lines_of_code(source: str, wanted: int) -> None:
    assert code_lines(source) == wanted
