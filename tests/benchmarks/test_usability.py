"""ONNX Runtime's check for mobile passes on every graph, and says so where it does not."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import usability
from benchmarks.usability import CPU, FAILED, KERNELS, TRY, verdict, verdicts
from sparcl_compile.runtime.session import kernel_library
from tests.support.cli import write_artifact

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("usability"), "--target", "ort")


def test_no_graph_fails(artifact: Path) -> None:
    found = list(verdicts(artifact))
    assert {artifact / one.file for one in found} == {*artifact.rglob("*.onnx")}
    assert {one.advice for one in found} == {CPU, TRY}
    assert verdict(artifact / "train/training_model.onnx", "train").advice == CPU


def test_graphs_with_our_kernels_are_named(tmp_path: Path) -> None:
    if kernel_library.library() is None:
        pytest.skip(kernel_library.reason())
    options = ("--target", "ort", "--compress", "--no-select-kernels", "--gradient-sparsity", "0.75")
    artifact = write_artifact(tmp_path, *options)
    found = {one.file for one in verdicts(artifact) if one.advice == KERNELS}
    assert "train/training_model.onnx" in found
    assert "eval/eval_model.onnx" not in found


def test_what_is_no_model_fails(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    found = verdict(tmp_path / "a.onnx", "a.onnx")
    assert found.advice == FAILED
    assert "a.onnx" in found.reason
    monkeypatch.setattr(usability, "verdicts", lambda _: [found])
    outcome = CliRunner().invoke(usability.main, [str(artifact)])
    assert outcome.exit_code == 1
    assert "failed: a.onnx" in outcome.output


def test_graphs_that_pass_are_counted(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usability, "verdicts", lambda _: [usability.Verdict("a", CPU), usability.Verdict("b", TRY)])
    outcome = CliRunner().invoke(usability.main, [str(artifact)])
    assert outcome.exit_code == 0
    assert outcome.output.splitlines() == [f"{artifact.name}: CPU 1, {TRY} 1", f"  {TRY}: b"]
