"""A page is one file: nothing from outside, and no name of a model that becomes markup."""

import json
import re
from pathlib import Path

import pytest

from sparcl_compile.pages import artifact, run
from sparcl_compile.pages.page import page
from sparcl_compile.runtime.reporting.report import SCALARS

SCRIPTS = [artifact.SCRIPTS, run.SCRIPTS]
OUTSIDE = re.compile(r"(?:src|href)\s*=|@import|\burl\((?!#)|fetch\(|XMLHttpRequest|importScripts")
ADDRESS = re.compile(r"https?://[^\s\"'<>)]+")
NAMESPACE = "http://www.w3.org/2000/svg"
EVIL = "</script><script>alert(1)</script><!--"


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_a_page_asks_for_nothing_from_outside(scripts: tuple[str, ...]) -> None:
    text = page("a title", scripts, {})
    assert not OUTSIDE.findall(text)
    assert set(ADDRESS.findall(text)) <= {NAMESPACE}
    assert "default-src 'none'" in text


def test_a_name_cannot_end_the_script() -> None:
    text = page(EVIL, run.SCRIPTS, {"name": EVIL, "{{script}}": "{{data}}"})
    assert text.count("<script") == 3
    assert EVIL not in text
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert data
    assert json.loads(data[1])["name"] == EVIL
    assert json.loads(data[1])["{{script}}"] == "{{data}}"


def test_no_script_makes_markup_of_text(root: Path) -> None:
    own = [path for path in (root / "sparcl_compile/pages/static").glob("*.js") if path.name != "dagre.min.js"]
    assert len(own) == 5
    for path in own:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text())


def test_the_layout_library_keeps_its_licence(root: Path) -> None:
    text = page("a", artifact.SCRIPTS, {})
    assert (root / "sparcl_compile/pages/static/dagre.LICENSE").read_text() in text
    assert "Chris Pettitt" in text
    assert "Chris Pettitt" not in page("a", run.SCRIPTS, {})


def test_numbers_that_json_lacks_are_an_error_and_no_broken_page() -> None:
    with pytest.raises(ValueError, match="JSON"):
        page("a", run.SCRIPTS, {"x": float("nan")})


def test_the_page_of_a_run_counts_samples_in_the_words_of_the_terminal(root: Path) -> None:
    script = (root / "sparcl_compile/pages/static/run.js").read_text()
    found = re.findall(r'\["(\w+)", "(samples_\w+)"\]', script)
    terminal = {key: label.removeprefix("samples ") for key, label, _ in SCALARS if label.startswith("samples ")}
    assert {key: word for word, key in found} == terminal
