"""The graph behind a pass that only merged batches of replay have."""

from pathlib import Path

import pytest

from models.export import export
from models.small import mlp
from tests.support.cli import call, write_model


@pytest.mark.parametrize("asked", ["updating", "update_in_backward"])
def test_a_pass_that_does_not_run_is_told(asked: str, tmp_path: Path) -> None:
    export(mlp(width=8), (1, 8, 8), tmp_path / "m.onnx")
    dumps = ("--dump-passes", tmp_path / "dumps", "--dump-after", asked)
    outcome = call("compile", tmp_path / "m.onnx", "--print-after", asked, *dumps, "--quiet")
    told = f"{asked}: update_in_backward did not run, batches of replay are separate here"
    assert outcome.err.splitlines() == [f"note: --print-after {told}", f"note: --dump-after {told}"]
    assert outcome.code == 0


def test_where_it_runs_its_graph_is_shown_and_written(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    dumps = ("--dump-passes", tmp_path / "dumps", "--dump-after", "updating")
    outcome = call("compile", model, "--print-after", "update_in_backward", *dumps, "--quiet")
    assert outcome.err.startswith("# after update_in_backward")
    assert "note:" not in outcome.err
    assert [path.suffix for path in (tmp_path / "dumps").iterdir()] == [".onnx"]


def test_a_phase_ends_with_another_pass_where_batches_are_separate(tmp_path: Path) -> None:
    export(mlp(width=8), (1, 8, 8), tmp_path / "m.onnx")
    dumps = ("--dump-passes", tmp_path / "dumps", "--dump-after", "updating")
    rows = ("--gradient-scheme", "channel", "--gradient-sparsity", "0.9")
    outcome = call("compile", tmp_path / "m.onnx", *rows, "--print-after", "updating", *dumps, "--quiet")
    assert outcome.code == 0
    assert outcome.err.startswith("# after compute_gradient_rows")
    assert "did not run" not in outcome.err
    assert [path.stem.partition("_")[2] for path in (tmp_path / "dumps").iterdir()] == ["compute_gradient_rows"]


def test_a_phase_has_both_last_passes_where_batches_are_merged_and_rows_computed(tmp_path: Path) -> None:
    rows = ("--gradient-scheme", "channel", "--gradient-sparsity", "0.9")
    outcome = call("compile", write_model(tmp_path), *rows, "--print-after", "updating", "--quiet")
    shown = [line.removeprefix("# after ") for line in outcome.err.splitlines() if line.startswith("# after ")]
    assert shown == ["compute_gradient_rows", "update_in_backward"]
