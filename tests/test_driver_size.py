"""The size of a driver: its lines that compute a number, and those that another language has to write.

A line computes a number where it holds arithmetic, an order of two numbers, or a call that reduces or makes numbers (of
NumPy, of the module math, ``sum``, ``min`` and the like). What only formats a text does not count, nor do ``|`` of two
types or dicts, ``+`` beside a literal text, list or tuple, and what turns a number into another type or shape.

A line of code is one that is neither blank nor a comment nor part of a docstring or of an import. A driver in another
language has to write what ``runtime/driver`` holds, the engine and the tables of samples. What opens sessions so that
they take little memory, finds the kernel library and maps the state's file (the rest of ``runtime/session``) comes with
its ONNX Runtime and its safetensors, or can be left out. Where samples come from, and how a run is shown, is its own
affair. A learner has more to write (``LEARNER``): its calls, the task under way, names and budgets. Its readers of
samples, the files of its state, the check of its options and its reports are not counted there.
"""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DRIVER = ROOT / "runtime" / "driver"
WRITTEN = (DRIVER, ROOT / "runtime" / "session" / "engine.py", ROOT / "runtime" / "data" / "tables.py")
LEARNER = [
    ROOT / "runtime" / "learner" / f"{name}.py" for name in ("learner", "standing", "course", "classes", "budget")
]
COMPUTING, CODE, OF_A_LEARNER = 40, 400, 500
"""The limits: below."""

ARITHMETIC = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult),
    *(ast.LShift, ast.RShift, ast.BitAnd, ast.BitXor),
)
ORDER = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
MODULES = ("np", "numpy", "math")
NO_NUMBERS = ("asarray", "ascontiguousarray", "broadcast_to", "ndarray", "dtype")
"""Functions of these modules that make no numbers."""
FUNCTIONS = ("sum", "min", "max", "abs", "round", "divmod", "pow")
METHODS = (
    *("sum", "mean", "min", "max", "any", "all", "argmax", "argmin", "argsort", "cumsum", "prod", "std", "var", "dot"),
    *("round", "clip", "sort", "searchsorted", "bincount"),
)
LITERALS = (ast.JoinedStr, ast.List, ast.Tuple)


def computing(source: str) -> list[int]:
    """The numbers of the lines that compute a number, from 1."""
    return sorted({node.lineno for node in _walk(ast.parse(source)) if _computes(node)})


def _walk(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Every expression and statement, but for what stands in a text."""
    if isinstance(node, ast.JoinedStr):
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _walk(child)


def _computes(node: ast.expr | ast.stmt) -> bool:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ARITHMETIC) and not any(map(_is_literal, (node.left, node.right)))
    if isinstance(node, ast.AugAssign):
        return isinstance(node.op, ARITHMETIC) and not _is_literal(node.value)
    if isinstance(node, ast.Compare):
        return any(isinstance(op, ORDER) for op in node.ops)
    return isinstance(node, ast.Call) and _is_reduction(node.func)


def _is_literal(node: ast.expr) -> bool:
    return isinstance(node, LITERALS) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_reduction(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in FUNCTIONS
    if not isinstance(function, ast.Attribute):
        return False
    if isinstance(function.value, ast.Name) and function.value.id in MODULES:
        return function.attr not in NO_NUMBERS
    return function.attr in METHODS


def code_lines(source: str) -> int:
    """The number of lines of code in a file."""
    skipped = {line for node in ast.walk(ast.parse(source)) for line in _lines(node) if _is_no_code(node)}
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    used = {line for one in tokens if one.type not in nothing for line in range(one.start[0], one.end[0] + 1)}
    return len(used - skipped)


def _is_no_code(node: ast.AST) -> bool:
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return text or isinstance(node, ast.Import | ast.ImportFrom)


def _lines(node: ast.AST) -> range:
    return range(getattr(node, "lineno", 1), (getattr(node, "end_lineno", 0) or 0) + 1)


def files(*places: Path) -> list[Path]:
    return [path for place in places for path in ([place] if place.suffix else sorted(place.glob("*.py")))]


def test_hardly_a_line_of_the_driver_computes_a_number() -> None:
    found = {path.name: computing(path.read_text(encoding="utf-8")) for path in files(DRIVER)}
    assert {"interpreter.py", "loop.py", "trainer.py"} <= found.keys()
    assert found["interpreter.py"], "nothing is found any more"
    assert sum(map(len, found.values())) < COMPUTING, found


def test_a_driver_in_another_language_is_small() -> None:
    found = {path.name: code_lines(path.read_text(encoding="utf-8")) for path in files(*WRITTEN)}
    assert {"interpreter.py", "engine.py", "tables.py"} <= found.keys()
    assert sum(found.values()) < CODE, found


def test_a_learner_is_small_beside_its_driver() -> None:
    found = {path.name: code_lines(path.read_text(encoding="utf-8")) for path in LEARNER}
    assert 300 < sum(found.values()) < OF_A_LEARNER, found


MADE_UP = '''
import math
import numpy as np

def current_batch(labels, mask):
    """Weights of 1 / N, which a driver must not compute: 1 + 1."""
    weight = np.full(len(labels), 1.0 / len(labels), np.float32)
    text = f"{1 / 3} of {len(labels) + 1} " + "samples"
    names = [*mask] + [text]
    return weight.astype(np.float64), names, np.asarray(mask)

def remove(self, share, samples):
    target = math.floor(share * samples + 0.5)
    self.removed += target
    self.text += "x"
    done = self.at <= self.progress
    finite = np.isfinite(self.loss).all()
    largest = max(self.losses)
    order: int | None = self.order[::2]
    return sum(
        self.loss[label]
        for label in order
    )
'''


def test_the_lines_of_a_made_up_driver_are_counted() -> None:
    lines = MADE_UP.splitlines()
    assert [lines[number - 1].strip() for number in computing(MADE_UP)] == [
        "weight = np.full(len(labels), 1.0 / len(labels), np.float32)",
        "target = math.floor(share * samples + 0.5)",
        "self.removed += target",
        "done = self.at <= self.progress",
        "finite = np.isfinite(self.loss).all()",
        "largest = max(self.losses)",
        "return sum(",
    ]


def test_the_driver_that_computed_by_itself_is_above_the_limit() -> None:
    assert len(computing("\n".join(["x = a * b"] * COMPUTING))) >= COMPUTING
    assert code_lines("\n".join(["x = a"] * CODE)) >= CODE


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ('"""Docstring\n\nof three."""\nx = 1\n', 1),
        ("import os\nfrom a import (\n    b,\n)\n\n# comment\nx = 1  # more\n", 1),
        ('def f():\n    """Text."""\n    return (\n        1\n    )\n', 4),
        ('X = 1\n"""What X is."""\n', 1),
        ('x = """a\nb"""\n', 2),
        ("\n\n", 0),
    ],
)
def test_lines_of_code(source: str, wanted: int) -> None:
    assert code_lines(source) == wanted
