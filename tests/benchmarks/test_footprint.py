"""The sizes of an artifact are those of its files, and the memory is that of a process that learns."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import footprint
from sparcl_compile.interface.artifact import load
from tests.support.cli import write_artifact


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("footprint"), "--target", "ort", "--ort-format")


def test_every_byte_is_counted_once(artifact: Path) -> None:
    found = footprint.on_disk(artifact)
    assert found["whole"] == sum(path.stat().st_size for path in artifact.rglob("*") if path.is_file())
    assert found["state"] == (artifact / load(artifact).manifest.state_file).stat().st_size
    assert found["onnx"] > 0 < found["ort"]
    assert found["onnx"] + found["ort"] + found["state"] < found["whole"]


def test_a_run_takes_more_than_its_imports(artifact: Path) -> None:
    row = footprint.measured(artifact, sys.executable)
    assert row.peak > row.imports > 1e7
    assert row.estimate > row.state
    assert row.onnxruntime


def test_the_table_has_a_line_for_each(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = footprint.Row("a.sparcl", 10**6, 3 * 10**5, 0, 10**5, 10**8, 2 * 10**8, 10**7, "1.0")
    monkeypatch.setattr(footprint, "measured", lambda *_: row)
    outcome = CliRunner().invoke(footprint.main, [str(artifact), "-o", str(tmp_path / "rows.json")])
    assert outcome.exit_code == 0
    assert outcome.output.split()[-9:] == ["a.sparcl", "1.0", "0.3", "0.0", "0.1", "100.0", "200.0", "100.0", "10.0"]
    assert '"peak": 200000000' in (tmp_path / "rows.json").read_text()
