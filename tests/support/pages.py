"""The code blocks of pages, and the marker in front of each that says what becomes of it in a test.

| marker | the block |
|---|---|
| ``<!-- runs -->``, ``<!-- runs: exit 2 -->`` | runs, behind those above it on the page, and ends with that exit code |
| ``<!-- runs with a, b -->`` | the same, where the packages ``a`` and ``b`` are installed |
| ``<!-- file a.toml -->`` | is written to that file, for the blocks below it |
| ``<!-- runs in tests/a.py -->`` | is run by the test of that name |
| ``<!-- read: reason -->`` | does not run, for that reason: only its syntax is checked |

A block of the language ``text`` is a figure and has none.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<marker>[^\n]*?) -->\n *)?```(?P<language>\w*)\n(?P<script>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
RUNS = re.compile(r"runs(?:: exit (?P<code>\d+))?(?: with (?P<packages>[\w, ]+))?")
MARKERS = (
    RUNS,
    re.compile(r"file (?P<file>[\w.]+)"),
    re.compile(r"runs in (?P<test>tests/\S+\.py)"),
    re.compile(r"read: (?P<reason>.+)"),
)
INTERPRETERS = {"bash": ("bash", "-euo", "pipefail", "-c"), "python": (sys.executable, "-c")}


@dataclass(frozen=True)
class Block:
    """A block of a page: its text and what its marker says, by the words of ``MARKERS``; ``line`` counts from 1."""

    script: str
    language: str = "bash"
    marker: str = "runs"
    line: int = 0

    @property
    def told(self) -> Mapping[str, str]:
        """What the marker says beside its kind."""
        found = (pattern.fullmatch(self.marker) for pattern in MARKERS)
        return next(({name: value for name, value in one.groupdict().items() if value} for one in found if one), {})

    @property
    def runs(self) -> bool:
        """Whether the block runs where its page does."""
        return RUNS.fullmatch(self.marker) is not None

    @property
    def code(self) -> int:
        """The exit code that the block promises."""
        return int(self.told.get("code", 0))

    @property
    def missing(self) -> list[str]:
        """The packages that the block needs and this environment has not."""
        names = re.findall(r"\w+", self.told.get("packages", ""))
        return [name for name in names if importlib.util.find_spec(name) is None]


def blocks(text: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    return [
        Block(
            textwrap.dedent(found["script"]),
            found["language"],
            found["marker"] or "",
            text.count("\n", 0, found.start("language")) + 1,
        )
        for found in BLOCK.finditer(text)
    ]


def runnable_blocks(text: str) -> list[Block]:
    """The blocks that run where the page does, in order."""
    return [block for block in blocks(text) if block.runs]


def run(block: Block, folder: Path, scripts: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a block in a folder, with the console scripts of an environment first on the path, behind ``given`` lines."""
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = [*INTERPRETERS[block.language], given + block.script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def syntax_fault(block: Block, folder: Path) -> str:
    """What is wrong with a block's syntax; nothing where nothing is, or where its reader is missing."""
    read = READERS[block.language]
    try:
        return read(block.script, folder)
    except (SyntaxError, tomllib.TOMLDecodeError) as error:
        return str(error)


def _python(script: str, _: Path) -> str:
    compile(script, "block", "exec")
    return ""


def _toml(script: str, _: Path) -> str:
    tomllib.loads(script)
    return ""


def _by_program(program: str, option: str, name: str) -> Callable[[str, Path], str]:
    """A reader that is a program: it takes a file, and says on its standard error what is wrong with it."""

    def read(script: str, folder: Path) -> str:
        if shutil.which(program) is None:
            return ""
        (folder / name).write_text(script, encoding="utf-8")
        done = subprocess.run([program, option, name], cwd=folder, capture_output=True, text=True)
        return done.stderr if done.returncode else ""

    return read


def _java(script: str, _: Path) -> str:
    """Only that its brackets meet: what a block means, javac says in the test that its marker names."""
    return "" if script.count("{") == script.count("}") else "brackets do not meet"


READERS: Mapping[str, Callable[[str, Path], str]] = {
    "bash": _by_program("bash", "-n", "block.sh"),
    "python": _python,
    "toml": _toml,
    "js": _by_program("node", "--check", "block.mjs"),
    "java": _java,
}
"""By language what reads it."""
