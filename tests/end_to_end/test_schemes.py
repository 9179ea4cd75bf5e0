"""Every scheme through the commands: compile the model of the quickstart, learn two tasks, look at the masks."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sparcl_compile.interface.artifact import read_manifest
from sparcl_compile.interface.manifest import Manifest
from tests.reference import schemes as reference
from tests.support.cli import call, check_refused, contents, done, read_json, write_model

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits_cnn.onnx"
SHORT = ("--data", "digits", "--tasks", "2", "--epochs", "1", "--buffer", "20", "--threads", "1")


def check_masks(scheme: str, manifest: Manifest, state: dict[str, np.ndarray]) -> None:
    """Whole groups in the counts of the manifest, and nothing outside of them."""
    for layer, base in zip(manifest.weights, manifest.program.vectors["level.base"], strict=True):
        name = layer.weight
        mask = state[f"{name}.mask"].reshape(-1) > 0
        assert not state[name].reshape(-1)[~mask].any()
        assert not (state[f"{name}.gradient_mask"].reshape(-1)[~mask]).any()
        assert mask.sum() == layer.base
        groups = reference.groups_of(scheme, layer.shape, layer.axes)
        rows = [mask[row[row >= 0]] for row in groups.members]
        if groups.kind == "n:m":
            assert [row.sum() for row in rows] == reference.room(groups)
            continue
        used = {tuple(row.tolist()) for row in rows if row.any()}
        assert sum(bool(row.any()) for row in rows) == base
        known = {tuple(entry == "1" for entry in text) for text in reference.PATTERNS}
        assert used <= (known if groups.kind == "pattern" else {(True,) * len(rows[0])})


@pytest.mark.parametrize(
    ("scheme", "sparsity"), [("block4x1", 0.8), ("kernel", 0.8), ("pattern", 0.8), ("2:4", 0.5), ("1:4", 0.75)]
)
def test_a_scheme_learns(scheme: str, sparsity: float, tmp_path: Path) -> None:
    artifact, run = tmp_path / "digits.sparcl", tmp_path / "run"
    printed = done("compile", DIGITS, "-o", artifact, "--scheme", scheme, "--gradient-sparsity", "0.9").out
    assert [line.split()[-1] for line in printed.splitlines() if "x3x3" in line] == [scheme, scheme, "stem"]
    assert scheme in done("inspect", artifact).out
    manifest = read_manifest(artifact)
    assert [layer.scheme for layer in manifest.weights] == [scheme] * 2
    assert manifest.options.sparsity == sparsity
    first = load_file(artifact / "state.safetensors")
    copies = {f"{layer.weight}.gradient_mask": first[f"{layer.weight}.mask"] for layer in manifest.weights}
    check_masks(scheme, manifest, {**first, **copies})
    done("run", artifact, *SHORT, "--checkpoint", run, "--json", tmp_path / "result.json")
    last = load_file(run / "state.safetensors")
    check_masks(scheme, manifest, last)
    assert any((first[f"{layer.weight}.mask"] != last[f"{layer.weight}.mask"]).any() for layer in manifest.weights)
    measured = read_json(tmp_path / "result.json")["sparsity"]
    for layer in manifest.weights:
        assert measured["per_layer"][layer.weight] == 1 - layer.base / layer.size
    assert measured["overall"] == pytest.approx(sparsity, abs=1e-3)


def test_layers_without_3x3_kernels_fall_back_to_kernels(tmp_path: Path) -> None:
    done("compile", write_model(tmp_path, "mlp"), "-o", tmp_path / "a.sparcl", "--scheme", "pattern")
    found = read_manifest(tmp_path / "a.sparcl")
    assert found.weights
    for layer, groups in zip(found.weights, found.program.vectors["level.size"], strict=True):
        assert (layer.scheme, groups) == ("kernel", layer.size)


def test_no_sparsity_no_masks_in_any_scheme(tmp_path: Path) -> None:
    done("compile", DIGITS, "-o", tmp_path / "a.sparcl", "--scheme", "kernel", "--sparsity", "0")
    assert "update_masks" not in read_manifest(tmp_path / "a.sparcl").graphs


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--scheme", "pattern", "--sparsity", "0.3"), ("--sparsity 0.3", "pattern", "0.5556")),
        (("--scheme", "pattern", "--sparsity", "0"), ("--sparsity 0.0", "pattern", "0.5556")),
        (("--scheme", "pattern", "--sparsity", "0.6", "--distribution", "erk"), ("--distribution erk", "0.4444")),
        (("--scheme", "2:4", "--sparsity", "0.8"), ("--sparsity 0.8", "2:4", "give 0.5")),
        (("--scheme", "2:4", "--sparsity", "0"), ("--sparsity 0.0", "2:4")),
        (("--scheme", "1:4", "--sparsity", "0.5"), ("--sparsity 0.5", "1:4", "0.75")),
        (("--scheme", "2:4", "--distribution", "erk"), ("--distribution erk", "2:4", "uniform")),
        (("--scheme", "5:4"), ("--scheme 5:4", "2:4")),
        (("--scheme", "4:4"), ("--scheme 4:4", "2:4")),
        (("--scheme", "0:4"), ("--scheme 0:4", "N:M")),
        (("--scheme", "block8x1"), ("--scheme block8x1", "block4x1")),
    ],
)
def test_what_contradicts_itself_is_refused(options: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path) -> None:
    check_refused(call("compile", DIGITS, "-o", tmp_path / "never.sparcl", *options), *parts)
    assert not contents(tmp_path)
