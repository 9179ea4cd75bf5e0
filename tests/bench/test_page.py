"""The example of docs/bench.md is run."""

import re
from pathlib import Path

import pytest

from sparcl_compile.bench.reading import CHOOSE, TABLES
from sparcl_compile.bench.rows import PARTS
from tests.support.cli import done


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "bench.md").read_text(encoding="utf-8")


def test_the_example_runs(page: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").symlink_to(root / "models")
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "digits.toml").write_text(example, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    outcome = done("bench", "digits.toml", "--plots", "--cores", "2")
    rows = [line.split(" | ")[0] for line in outcome.out.splitlines() if " | cnn | " in line]
    assert rows == ["| dense", "| sparse, sparsity 0.75", "| sparse, sparsity 0.9"] * 2
    for name in ("summary.md", "flops.png", "seconds.png", "tasks.png", "sparsity.png"):
        assert (tmp_path / "digits.bench" / name).stat().st_size
        assert f"`{name}`" in page


def test_the_page_has_every_key(page: str) -> None:
    for name in (*TABLES, *CHOOSE, *PARTS["run"]):
        assert re.search(rf"`\[?{name}(\.NAME)?\]?`", page), name
