"""Whether replayed samples are merged with the current batch, as the user says or as suits the model."""

from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest

from models.export import export
from models.small import cnn, mlp
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import read_report
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.analysis.normalised import shares_statistics
from sparcl_compile.settings.methods import METHODS, batch_samples, settled
from sparcl_compile.settings.options import CompileOptions

MERGING = {"der", "der++", "er", "er-ace", "fdr", "icarl"}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_methods_that_replay_merge_where_statistics_are_shared(method: str) -> None:
    options = CompileOptions(
        method=method, **({"sparsity": 0.0, "gradient_sparsity": 0.0} if method == "packnet" else {})
    )
    found = settled(options, shares_statistics=True)
    assert found.replay_batches == ("merged" if method in MERGING else "separate")
    assert settled(options, shares_statistics=False).replay_batches == "separate"
    assert settled(found, shares_statistics=False) == found


@pytest.mark.parametrize("named", ["separate", "merged"])
@pytest.mark.parametrize("shares", [False, True])
def test_what_the_user_names_stays(named: str, shares: bool) -> None:
    assert settled(CompileOptions(replay_batches=named), shares_statistics=shares).replay_batches == named


@pytest.mark.parametrize("method", ["finetune", "joint", "ewc", "lwf"])
def test_merging_nothing_is_refused_and_separating_nothing_is_not(method: str) -> None:
    with pytest.raises(FieldError, match=r"`replay_batches` merged: changes nothing.*leave it out"):
        CompileOptions(method=method, replay_batches="merged")
    assert CompileOptions(method=method, replay_batches="separate").replay_batches == "separate"


@pytest.mark.parametrize(("mode", "shared"), [("training_mode = 1", True), ("training_mode = 0", False)])
def test_statistics_are_shared_where_a_normalisation_takes_them(mode: str, shared: bool) -> None:
    model = ir.from_onnx_text(f"""
    <ir_version: 10, opset_import: ["" : 18]>
    forward (float[N,2] x, float[2] s, float[2] b, float[2] m, float[2] v) => (float[N,2] y)
    {{ y{", rm, rv" if shared else ""} = BatchNormalization <{mode}> (x, s, b, m, v) }}
    """)
    assert shares_statistics(model.graph) == shared


@pytest.mark.parametrize(
    ("network", "options", "replay"),
    [
        ("cnn", {}, "merged"),
        ("cnn", {"update": "bias"}, "merged"),  # shifts train, so their statistics follow
        ("cnn", {"freeze": ("1.*", "5.*")}, "separate"),  # all statistics are fixed with their scales
        ("cnn", {"method": "a-gem"}, "separate"),
        ("mlp", {}, "separate"),
    ],
)
def test_the_manifest_has_what_the_model_settled(
    network: str, options: dict[str, Any], replay: str, tmp_path: Path
) -> None:
    normalised = network == "cnn"
    export(cnn(width=4) if normalised else mlp(width=8), (3, 8, 8) if normalised else (1, 8, 8), tmp_path / "m.onnx")
    made = compile_model(tmp_path / "m.onnx", tmp_path / "a.sparcl", CompileOptions(**options))
    assert made.manifest.options.replay_batches == replay
    assert ("merge" in made.manifest.graphs) == (replay == "merged")


def test_memory_is_estimated_for_all_samples_of_a_merged_step(tmp_path: Path) -> None:
    """DER++ replays two batches: 3 x 20 samples are computed with at once, and what grows with them three times."""
    export(cnn(width=4), (3, 8, 8), tmp_path / "m.onnx")
    found = {}
    for replay in ("merged", "separate"):
        options = CompileOptions(replay_batches=replay, batch_size=20)
        assert batch_samples(options) == (60 if replay == "merged" else 20)
        compile_model(tmp_path / "m.onnx", tmp_path / replay, options)
        found[replay] = read_report(tmp_path / replay).memory
    assert (found["merged"].batch, found["separate"].batch) == (60, 20)
    assert found["merged"].peak_activation_bytes > 2 * found["separate"].peak_activation_bytes
