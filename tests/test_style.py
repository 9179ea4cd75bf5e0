"""Conventions that no linter knows: small files; one name for a pass, its file, its test and its line in the docs."""

import ast
import itertools
import re
from pathlib import Path

import pytest

from sparcl_compile.passes import registry
from sparcl_compile.passes.core.phases import Phase

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("sparcl_compile", "passes", "runtime")
LINKS = tuple(ROOT / "sparcl_compile" / link for link in ("passes", "runtime"))
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MODULES = [path for path in FILES if not any(path.is_relative_to(link) for link in LINKS)]
MAX_LINES = 300


def pass_classes(source: str) -> list[str]:
    """The names of the classes of a file that derive from Pass."""
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    return [node.name for node in classes if any(isinstance(b, ast.Name) and b.id == "Pass" for b in node.bases)]


def pass_files(folder: Path) -> dict[str, list[str]]:
    """Path below the folder, without suffix, to the passes that the file defines, for the files that define any."""
    paths = sorted(folder.rglob("*.py"))
    found = {path: pass_classes(path.read_text(encoding="utf-8")) for path in paths}
    return {path.relative_to(folder).with_suffix("").as_posix(): classes for path, classes in found.items() if classes}


PASSES = pass_files(ROOT / "passes")


def documented_passes(page: str) -> dict[tuple[str, str], list[str]]:
    """The first column of each table of passes, by heading and the sentence below it."""
    sections = re.findall(r"^### (\w+)\n\n(.+)\n\n\| pass \|.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    return {(name, line): re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) for name, line, table in sections}


@pytest.mark.parametrize("path", MODULES, ids=[path.relative_to(ROOT).as_posix() for path in MODULES])
def test_a_file_can_be_read_in_one_go(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def repeated(source: str) -> list[int]:
    """The lines of statements that say the same as the one before them."""
    blocks = [
        getattr(node, part, None) for node in ast.walk(ast.parse(source)) for part in ("body", "orelse", "finalbody")
    ]
    pairs = [pair for block in blocks if isinstance(block, list) for pair in itertools.pairwise(block)]
    return [after.lineno for before, after in pairs if ast.dump(before) == ast.dump(after)]


def test_a_statement_said_twice_is_found() -> None:
    assert repeated("if a:\n    check(b)\n    check(b)\ncheck(c)\ncheck(d)\n") == [3]


@pytest.mark.parametrize("path", MODULES, ids=[path.relative_to(ROOT).as_posix() for path in MODULES])
def test_no_statement_stands_twice_in_a_row(path: Path) -> None:
    assert repeated(path.read_text(encoding="utf-8")) == []


BLOCKS = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.Match)
LEVELS = {**dict.fromkeys((*FOLDERS, "benchmarks", "docs", "examples", "models"), 2), "tests": 3}
"""The most levels of blocks in a function. A test has one more: it opens what it tests, and says what that raises."""
DEEPER: dict[str, str] = {
    "sparcl_compile/interface/files.py:made_folder": "in the end each folder goes, whether another one could or not",
    "sparcl_compile/interface/temporary.py:_made": "what is yielded is held, and what is not held is tried again",
}
"""Functions with more levels, each with why it reads better so."""


def nesting(node: ast.AST) -> int:
    """The levels of blocks below a node; ``elif`` stands beside its ``if``, a function within begins anew."""
    parts = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.FunctionDef | ast.ClassDef)]
    beside = [part for part in parts if isinstance(node, ast.If) and isinstance(part, ast.If) and node.orelse == [part]]
    return max((nesting(part) + (isinstance(part, BLOCKS) and part not in beside) for part in parts), default=0)


def deep_functions(source: str, most: int) -> list[str]:
    """The functions with more levels than that, methods and those within others included."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if nesting(node) > most]


NESTED = """
def deep(self):
    with lock:
        for one in ones:
            if one:
                break

def flat():
    if a:
        pass
    elif b:
        pass
    elif c:
        def inner():
            while d:
                try:
                    e()
                finally:
                    f()
"""


def test_levels_are_counted() -> None:
    assert deep_functions(NESTED, 2) == ["deep"]
    assert deep_functions(NESTED, 1) == ["deep", "inner"]


@pytest.mark.parametrize("folder", LEVELS)
def test_functions_have_few_levels(folder: str) -> None:
    paths = [path for path in sorted((ROOT / folder).rglob("*.py")) if not any(map(path.is_relative_to, LINKS))]
    found = {path: deep_functions(path.read_text(encoding="utf-8"), LEVELS[folder]) for path in paths}
    deeper = [f"{path.relative_to(ROOT).as_posix()}:{name}" for path, names in found.items() for name in names]
    assert deeper == [name for name in DEEPER if name.startswith(f"{folder}/")]


@pytest.mark.parametrize("name", PASSES)
def test_a_file_holds_one_pass_of_its_name(name: str) -> None:
    assert PASSES[name] == [Path(name).name.title().replace("_", "")]


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_has_a_test(name: str) -> None:
    path = ROOT / "tests" / "passes" / name
    assert path.with_name(f"test_{path.name}.py").is_file()


def test_the_docs_list_every_pass_below_its_phase() -> None:
    page = (ROOT / "docs" / "passes.md").read_text(encoding="utf-8")
    assert documented_passes(page) == {
        (str(phase).capitalize(), phase.value): [file.rpartition(".")[2] for file in files]
        for phase, files in registry.FILES.items()
    }


def test_a_phase_s_folder_says_what_its_docs_say() -> None:
    for number, phase in enumerate(Phase, start=1):
        docstring = ast.get_docstring(ast.parse((ROOT / "passes" / str(phase) / "__init__.py").read_text()))
        assert docstring == f"Phase {number}: {phase.value}"


def test_the_registry_has_every_pass_and_its_folder() -> None:
    found = {f"{phase}/{file.replace('.', '/')}" for phase, files in registry.FILES.items() for file in files}
    assert found == set(PASSES)


@pytest.mark.parametrize("name", PASSES)
def test_a_pass_has_the_phase_of_its_folder(name: str) -> None:
    one = registry.pass_class(Path(name).name)
    assert one.name == Path(name).name
    assert str(one.phase) == Path(name).parts[0]


def test_a_second_pass_in_a_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "insert_masks.py").write_text("class InsertMasks(Pass): ...\nclass Other(Pass): ...\nclass Free: ...\n")
    (tmp_path / "density.py").write_text("def densities(): ...\n")
    assert pass_files(tmp_path) == {"insert_masks": ["InsertMasks", "Other"]}
