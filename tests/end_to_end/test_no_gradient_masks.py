"""A gradient sparsity that leaves out no kept weight: nothing of it is in the artifact, and the report says so."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sparcl_compile.interface.artifact import MANIFEST, REPORT, read_manifest
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.runtime.session import kernel_library as kernels
from tests.support.cli import SMALL_RUN, done, read_json, write_data, write_model

NOTE = "Gradient masks: none"
LINE = (
    "Gradient masks: none, since gradient sparsity {} spares no weight that is kept at sparsity 0.8; "
    "give more than 0.8 to update fewer"
)
SCHEMES: dict[str, tuple[str, ...]] = {
    "unstructured": ("--sparsity", "0.8"),
    "erk": ("--sparsity", "0.8", "--distribution", "erk"),
    "folded": ("--sparsity", "0.8", "--scheme", "channel"),
    "not folded": ("--sparsity", "0.8", "--scheme", "channel", "--no-fold"),
    "blocks": ("--sparsity", "0.8", "--scheme", "block4x1"),
    "pattern": ("--sparsity", "0.8", "--scheme", "pattern"),
    "1:5": ("--scheme", "1:5"),
    "compressed": ("--sparsity", "0.8", "--compress", "--no-select-kernels"),
}


def needed(scheme: str) -> None:
    if scheme == "compressed" and kernels.library() is None:
        pytest.skip(kernels.reason())


def compiled(model: Path, folder: Path, *options: str) -> tuple[Path, str]:
    """The artifact and what the command prints."""
    out = done("compile", model, *options, "-o", folder).out
    return folder, out


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the log, which has times, and the checksums of both; the manifest without the option."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    del files[REPORT], files["manifest.sha256"]
    manifest = json.loads(files[MANIFEST])
    del manifest["options"]["gradient_sparsity"]
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def has_masks(manifest: Manifest) -> bool:
    """Whether there is any trace of gradient masks; all of them or none."""
    found = {
        "update_gradient_masks" in manifest.graphs,
        "choose_gradients" in manifest.program.blocks,
        "gradient_keep" in manifest.program.vectors,
        "gradient_mask" in {spec.role for spec in manifest.state},
        *(weight.gradient_mask is not None for weight in manifest.weights),
    }
    assert len(found) == 1
    return found.pop()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_artifact_is_the_one_without_gradient_sparsity(scheme: str, tmp_path: Path) -> None:
    needed(scheme)
    model, options = write_model(tmp_path, "resnet"), SCHEMES[scheme]
    equal, said = compiled(model, tmp_path / "equal.sparcl", *options)
    below, said_below = compiled(model, tmp_path / "below.sparcl", *options, "--gradient-sparsity", "0.3")
    none, silent = compiled(model, tmp_path / "none.sparcl", *options, "--gradient-sparsity", "0")
    assert contents(equal) == contents(below) == contents(none)
    manifest = read_manifest(equal)
    assert manifest.weights
    assert not has_masks(manifest)
    assert [weight.updated for weight in manifest.weights] == [weight.base for weight in manifest.weights]
    assert manifest.flops.weight_gradient_sparse == manifest.flops.forward_sparse
    assert LINE.format(0.8) in said.splitlines()
    assert LINE.format(0.3) in said_below.splitlines()
    assert NOTE not in silent


@pytest.mark.parametrize("scheme", SCHEMES)
def test_above_the_sparsity_there_are_masks_and_no_note(scheme: str, tmp_path: Path) -> None:
    needed(scheme)
    options = (*SCHEMES[scheme], "--gradient-sparsity", "0.95")
    folder, said = compiled(write_model(tmp_path, "resnet"), tmp_path / "a.sparcl", *options)
    manifest = read_manifest(folder)
    assert has_masks(manifest)
    assert sum(weight.updated for weight in manifest.weights) < sum(weight.base for weight in manifest.weights)
    assert manifest.flops.weight_gradient_sparse < manifest.flops.forward_sparse
    assert NOTE not in said


@pytest.mark.parametrize(
    "options",
    [
        ("--sparsity", "0"),
        ("--sparsity", "0", "--gradient-sparsity", "0.1"),
        ("--gradient-scheme", "channel"),
        ("--gradient-scheme", "channel", "--gradient-sparsity", "0.3"),
        ("--gradient-scheme", "channel", "--gradient-sparsity", "0.3", "--scheme", "channel"),
    ],
)
def test_dense_weights_and_channels_have_masks_at_every_gradient_sparsity(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    folder, said = compiled(write_model(tmp_path, "resnet"), tmp_path / "a.sparcl", *options)
    assert has_masks(read_manifest(folder))
    assert NOTE not in said


MASKED = {
    "single weights": ("--sparsity", "0.8", "--gradient-sparsity", "0.96"),
    "rows": ("--sparsity", "0.8", "--gradient-sparsity", "0.5", "--gradient-scheme", "channel"),
    "folded rows": (
        "--scheme",
        "channel",
        "--sparsity",
        "0.5",
        "--gradient-sparsity",
        "0.5",
        "--gradient-scheme",
        "channel",
    ),
    "dense weights": ("--sparsity", "0", "--gradient-sparsity", "0.5"),
    "another policy": ("--sparsity", "0.8", "--gradient-sparsity", "0.96", "--mask-policy", "mest-em"),
}


@pytest.mark.parametrize("form", MASKED)
def test_a_measured_sample_costs_what_the_weight_masks_leave(form: str, tmp_path: Path) -> None:
    folder, _ = compiled(write_model(tmp_path), tmp_path / "a.sparcl", *MASKED[form])
    result = tmp_path / "r.json"
    done("run", folder, "--data", write_data(tmp_path), *SMALL_RUN, "--json", result)
    found, flops = read_json(result), read_manifest(folder).flops
    trained = found["samples_seen"] + found["samples_replayed"]
    # Without gradient masks the gradient of a weight is as dense as the weight.
    measuring = 3 * flops.forward_sparse
    assert found["samples_measured"] > 0
    assert flops.training_sparse < measuring
    wanted = trained * flops.training_sparse + found["samples_measured"] * measuring
    assert found["training_flops"]["true_sparse"] == pytest.approx(wanted, rel=1e-12)


ROWS: dict[str, tuple[str, ...]] = {
    "unstructured": ("--sparsity", "0.8"),
    "folded": ("--sparsity", "0.5", "--scheme", "channel"),
    "not folded": ("--sparsity", "0.5", "--scheme", "channel", "--no-fold"),
}


@pytest.mark.parametrize("form", ROWS)
def test_chosen_rows_count_their_kept_weights_and_never_more_than_the_weight_masks_keep(
    form: str, tmp_path: Path
) -> None:
    model, flops = write_model(tmp_path, "resnet"), {}
    for q in ("0.01", "0.2", "0.5", "0.9"):
        options = (*ROWS[form], "--gradient-scheme", "channel", "--gradient-sparsity", q)
        folder, _ = compiled(model, tmp_path / f"{q}.sparcl", *options)
        manifest = read_manifest(folder)
        flops[q] = manifest.flops.weight_gradient_sparse
        assert manifest.flops.forward_sparse >= flops[q]
        updated, base = (sum(getattr(one, name) for one in manifest.weights) for name in ("updated", "base"))
        assert (updated == base) == (flops[q] == manifest.flops.forward_sparse)
    assert flops["0.01"] == manifest.flops.forward_sparse
    assert flops["0.01"] >= flops["0.2"] >= flops["0.5"] > flops["0.9"]


def test_the_gradients_of_rows_are_the_same_work_folded_and_not(tmp_path: Path) -> None:
    model, found = write_model(tmp_path, "resnet"), []
    for fold in ("--fold", "--no-fold"):
        options = (*ROWS["folded"], fold, "--gradient-scheme", "channel", "--gradient-sparsity", "0.6")
        manifest = read_manifest(compiled(model, tmp_path / f"{fold}.sparcl", *options)[0])
        found.append((manifest.flops, [weight.updated for weight in manifest.weights]))
    assert found[0] == found[1]
    assert sum(found[0][1]) < sum(weight.base for weight in manifest.weights)


@pytest.mark.parametrize("scheme", ["unstructured", "folded", "compressed"])
def test_a_run_measures_for_mask_updates_alone_and_counts_the_pruned_gradients(scheme: str, tmp_path: Path) -> None:
    needed(scheme)
    results = {}
    for name, sparsity in {"default": "0.8", "off": "0"}.items():
        options = (*SCHEMES[scheme], "--gradient-sparsity", sparsity)
        folder, _ = compiled(write_model(tmp_path), tmp_path / f"{name}.sparcl", *options)
        result = tmp_path / f"{name}.json"
        done("run", folder, "--data", write_data(tmp_path), *SMALL_RUN, "--json", result)
        results[name] = read_json(result)
    default, off = results["default"], results["off"]
    for key in ("accuracy_matrix", "samples_measured", "sparsity", "gradient_sparsity", "training_flops"):
        assert default[key] == off[key]
    assert default["gradient_sparsity"]["overall"] == default["sparsity"]["overall"] == pytest.approx(0.8, abs=0.05)
    assert default["gradient_sparsity"]["per_layer"] == default["sparsity"]["per_layer"]
    # A batch of 8 and, in the second task, two replayed ones, at 9 updates of each task; the growth measures nothing.
    assert 0 < default["samples_measured"] <= 9 * 8 + 9 * 3 * 8
    states = [load_file(tmp_path / f"{name}.run" / "state.safetensors") for name in results]
    assert states[0].keys() == states[1].keys()
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)
