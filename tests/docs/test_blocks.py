"""Every code block of every page runs in a test, or says why not and is read at least."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs.generate.site import OUTSIDE
from tests.support.pages import MARKERS, READERS, Block, blocks, run, runnable_blocks, syntax_fault
from tests.test_readme import COMMANDS, EVERYWHERE, OPTION, section

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted({*OUTSIDE, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))})
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
RUNNING = [page for page in PAGES if page != "README.md" and runnable_blocks(TEXTS[page])]
"""The pages whose blocks run here; those of the README run in ``tests/test_readme.py``."""
PHOTOS = ("apple", "bread", "cheese", "dates")
HIDDEN = re.compile(r"(?<=\n\n) {4,}((?:sparcl-[a-z]+|python|make|cmake|pip|npm|git) .*)$", re.MULTILINE)
"""A command in an indented block, before which no marker can stand."""
CALL = re.compile(r"\b(sparcl-[a-z]+)\b((?:[^\n;|&#]|\\\n)*)")
SAMPLES = """
import numpy as np
from sklearn.datasets import load_digits
from sparcl_compile import CompileOptions, compile_model
compile_model("models/digits_cnn.onnx", CompileOptions(), "model.sparcl")
samples, labels = load_digits().images[:64].astype("uint8"), load_digits().target[:64].astype(str)
samples, labels, sample, label = samples[labels < "4"], labels[labels < "4"], samples[0], labels[0]
"""
TORCH = """
import torch
from torch import nn
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(7200, 3))
"""
KERAS = """
import keras
import numpy as np
x = np.zeros((4, 16), np.float32)
model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(3)])
"""
SKLEARN = """
import pathlib, numpy as np, skl2onnx
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
x, y = load_iris(return_X_y=True)
classifier = MLPClassifier((32,), max_iter=5, early_stopping=False).fit(x, y)
"""
GIVEN = {
    ("docs/learner.md", "runs"): SAMPLES,
    ("docs/exporting.md", "runs with torch"): TORCH,
    ("docs/exporting.md", "runs with tensorflow, tf2onnx"): KERAS,
    ("docs/exporting.md", "runs with skl2onnx"): SKLEARN,
}
"""What a reader has already: the lines before a block, by its page and its marker."""


def write_photos(folder: Path) -> None:
    """Photos of several sizes, each class of one colour: what the reader of the tutorial brings."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(PHOTOS):
        (folder / name).mkdir(parents=True)
        for photo in range(24):
            pixels = rng.integers(0, 90, (*rng.integers(40, 90, 2), 3), dtype=np.uint8)
            pixels[..., number % 3] += 100
            pixels[: 20 * (number == 3)] += 60
            Image.fromarray(pixels).save(folder / name / f"{photo}.jpg")


@pytest.mark.parametrize("page", RUNNING)
def test_the_blocks_run_in_order(page: str, root: Path, console_scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(root / "models")
    write_photos(tmp_path / "photos")
    left_out: set[str] = set()
    for block in blocks(TEXTS[page]):
        if "file" in block.told:
            (tmp_path / block.told["file"]).write_text(block.script, encoding="utf-8")
        elif block.runs and block.missing:
            left_out |= {*block.missing}
        elif block.runs:
            done = run(block, tmp_path, console_scripts, GIVEN.get((page, block.marker), ""))
            assert done.returncode == block.code, f"{block.script}\n{done.stdout}\n{done.stderr}"
    AFTERWARDS.get(page, lambda _: None)(tmp_path)
    if left_out:
        pytest.skip(f"blocks that need {', '.join(sorted(left_out))} were left out; the others ran")


def the_curves_are_told(folder: Path) -> None:
    """What the page about looking promises is there."""
    assert all(f"| `{path.name}`" in TEXTS["docs/looking.md"] for path in (folder / "logs").glob("*.csv"))
    assert {path.name for path in folder.glob("*.html")} == {"digits.html", "run.html", "again.html"}


AFTERWARDS: dict[str, Callable[[Path], None]] = {"docs/looking.md": the_curves_are_told}
"""By page what has to be true behind its blocks."""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_becomes_of_it(page: str) -> None:
    for block in blocks(TEXTS[page]):
        where = f"{page}:{block.line}"
        assert block.language, f"{where}: a block has a language, or is text"
        known = any(marker.fullmatch(block.marker) for marker in MARKERS)
        assert known == (block.language != "text"), f"{where}: {block.marker or 'no marker'}"
    hidden = HIDDEN.findall(TEXTS[page])
    assert not hidden, f"{page}: a command in an indented block: {hidden[0]}"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_can_be_read(page: str, tmp_path: Path) -> None:
    for block in blocks(TEXTS[page]):
        if block.language in READERS:
            assert not syntax_fault(block, tmp_path), f"{page}:{block.line}"


@pytest.mark.parametrize("page", PAGES)
def test_a_test_that_a_block_names_is_about_its_page(page: str, root: Path) -> None:
    for block in blocks(TEXTS[page]):
        if "test" in block.told:
            test = root / block.told["test"]
            assert Path(page).name in test.read_text(encoding="utf-8"), f"{page}:{block.line}"


@pytest.mark.parametrize("page", PAGES)
def test_options_of_our_commands_exist(page: str) -> None:
    """In each block, those that cannot run included."""
    for block in (one for one in blocks(TEXTS[page]) if one.language in ("bash", "text")):
        for command, words in CALL.findall(block.script):
            assert command in COMMANDS, f"{page}:{block.line}"
            offered = {*OPTION.findall(section(TEXTS["docs/cli.md"], command)), *EVERYWHERE, "--completion"}
            assert set(OPTION.findall(words)) <= offered, f"{page}:{block.line}"


@pytest.mark.parametrize(
    ("language", "script"),
    [
        ("bash", "for x in; do\n"),
        ("python", "with open(:\n"),
        ("toml", "[a\n"),
        ("js", "const = 1;\n"),
        ("java", "class A {\n"),
    ],
)
def test_a_mistake_in_a_block_is_noticed(language: str, script: str, tmp_path: Path) -> None:
    if language == "js" and shutil.which("node") is None:
        pytest.skip("node is missing")
    assert syntax_fault(Block(script, language), tmp_path)


@pytest.mark.parametrize("marker", ["", "run", "runs: exit x", "read:", "runs in test_readme.py"])
def test_an_unknown_marker_is_noticed(marker: str) -> None:
    (block,) = blocks(f"text\n\n<!-- {marker} -->\n```bash\nls\n```\n" if marker else "```bash\nls\n```\n")
    assert not any(known.fullmatch(block.marker) for known in MARKERS)


def test_the_parts_of_a_block() -> None:
    text = "- a\n\n  <!-- runs with a, json -->\n  ```python\n  if x:\n      y\n  ```\n\n```text\n-->\n```\n"
    first, second = blocks(text)
    assert (first.script, first.runs, first.missing, first.line) == ("if x:\n    y\n", True, ["a"], 4)
    assert (second.language, second.marker, second.runs) == ("text", "", False)
    assert HIDDEN.findall("x:\n\n    make docs\n") == ["make docs"]
