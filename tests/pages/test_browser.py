"""The pages in headless Chromium, where it is at hand: scripts run, charts and graphs are there."""

import re
import subprocess
from pathlib import Path

import pytest

from sparcl_compile.cli.inspecting import compiled
from tests.end_to_end.test_recording import learned
from tests.js.tools import CHROMIUM, missing
from tests.support.cli import done, write_artifact

REASON = missing("chromium")
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


def drawn(page: Path) -> str:
    """The document after its scripts have run; no fault may be told, and nothing asked for from outside."""
    command = ["node", Path(__file__).with_name("drawn.mjs"), CHROMIUM, page.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("made")
    return folder, write_artifact(folder)


def test_the_page_of_an_artifact_draws_the_graph(made: tuple[Path, Path]) -> None:
    folder, artifact = made
    done("inspect", artifact, "--html", folder / "artifact.html")
    text = drawn(folder / "artifact.html")
    passes = [trace.name for trace in compiled(artifact).log.passes]
    assert re.findall(r'data-step="(\d+)"', text) == [str(number) for number in range(len(passes))]
    assert text.count('class="node new"') == 1
    assert 'class="message"></div>' in text
    assert re.search(r'class="edge" d="M[\d. ]+', text)


def test_the_page_of_a_run_draws_its_charts(made: tuple[Path, Path]) -> None:
    folder, artifact = made
    assert learned(folder, artifact, "whole").code == 0
    text = drawn(folder / "whole" / "page.html")
    assert text.count('class="chart"') == 3
    assert text.count("<figure>") == 3
    assert len(re.findall(r'class="cell"', text)) == 3 + 2
    assert "NaN" not in text
    assert "undefined" not in text
