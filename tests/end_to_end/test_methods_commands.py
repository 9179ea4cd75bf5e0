"""Every method through the commands: runs that resume, both targets, sparse forms, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import read_manifest
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.methods import METHODS
from sparcl_compile.settings.options import CompileOptions
from tests.end_to_end.test_kill_resume import CLOCK, check_same_state
from tests.end_to_end.test_mask_policies import SHORT, STEPS, dies_at, flags
from tests.support.cli import (
    call,
    check_no_compilation,
    check_refused,
    done,
    read_json,
    write_data,
    write_model,
)

DENSE = ("--sparsity", "0", "--gradient-sparsity", "0")
NEW = tuple(name for name in METHODS if name not in ("finetune", "er", "der++"))
"""Those that other tests do not run."""
SPARSE = ("--sparsity", "0.75")


def sparsity_of(method: str) -> tuple[str, ...]:
    """PackNet takes no masks but its own."""
    return DENSE if method == "packnet" else SPARSE


@pytest.mark.parametrize("method", NEW)
def test_a_resumed_run_ends_as_one_that_was_not_stopped(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data, artifact = write_model(tmp_path, "resnet"), write_data(tmp_path), tmp_path / "a.sparcl"
    done("compile", model, "--method", method, *sparsity_of(method), "--target", "ort", "-o", artifact)
    assert read_manifest(artifact).options.method == method
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    one = ("run", artifact, "--data", data, *SHORT)
    done(*one, "--checkpoint", whole, "--json", tmp_path / "whole.json")
    # The second run dies in the second epoch of the first task, and again in the second task.
    for step, resume in ((STEPS + 2, ()), (STEPS + 3, ("--resume",))):
        assert dies_at(step, monkeypatch, *one, "--checkpoint", parts, *resume)
    done(*one, "--checkpoint", parts, "--resume", "--json", tmp_path / "parts.json")
    check_same_state(parts, whole)
    first, second = (
        {key: value for key, value in read_json(tmp_path / name).items() if key not in CLOCK}
        for name in ("whole.json", "parts.json")
    )
    assert first == second
    done("export", artifact, "--checkpoint", whole, "-o", tmp_path / "learned.onnx")


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("er-ace", ("--scheme", "channel", "--sparsity", "0.5", "--replay-batches", "merged")),
        ("lwf", ("--scheme", "channel", "--sparsity", "0.5", "--target", "ort")),
        ("icarl", ("--scheme", "channel", "--sparsity", "0.5", "--target", "ort")),
        ("a-gem", ("--gradient-scheme", "channel", "--gradient-sparsity", "0.5", "--target", "ort")),
        ("ewc", ("--gradient-sparsity", "0.9", "--optimizer", "adamw", "--target", "ort-training")),
        ("fdr", ("--mask-policy", "rigl", "--replay-batches", "merged", "--target", "ort-training")),
        ("a-gem", ("--momentum", "0.9", "--target", "ort-training")),
        ("joint", ("--scheme", "2:4", "--target", "ort-training")),
    ],
    ids=str,
)
def test_methods_go_with_sparse_forms(method: str, options: tuple[str, ...], tmp_path: Path) -> None:
    model, data, artifact = write_model(tmp_path, "resnet"), write_data(tmp_path), tmp_path / "a.sparcl"
    done("compile", model, "--method", method, *options, "-o", artifact)
    done("run", artifact, "--data", data, *SHORT, "--json", tmp_path / "result.json")
    state, manifest = load_file(tmp_path / "a.run" / "state.safetensors"), read_manifest(artifact)
    for layer in manifest.weights:
        if layer.mask:
            assert not state[layer.weight][state[layer.mask] == 0].any()
    assert np.isfinite(read_json(tmp_path / "result.json")["class_il"])


@pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())
@pytest.mark.parametrize("method", ["er-ace", "lwf", "fdr", "a-gem", "icarl", "joint"])
def test_compressed_weights_learn_by_a_method(method: str, tmp_path: Path) -> None:
    """At a rate so low that rounding parts nothing, the masks are those of the masked form."""
    model, data = write_model(tmp_path, "resnet"), write_data(tmp_path)
    kept: dict[str, dict[str, np.ndarray]] = {}
    for name, form in (("masked", ()), ("compressed", ("--compress", "--no-select-kernels"))):
        artifact, run = tmp_path / f"{name}.sparcl", tmp_path / name
        given = ("--method", method, "--sparsity", "0.75", "--data-removal", "0", "--target", "ort")
        done("compile", model, *given, *form, "-o", artifact)
        done("run", artifact, "--data", data, *SHORT, "--lr", "1e-5", "--checkpoint", run)
        first, last = (load_file(folder / "state.safetensors") for folder in (artifact, run))
        layers = read_manifest(artifact).weights
        assert {layer.stored != "masked" for layer in layers} == {name == "compressed"}
        kept[name] = {layer.weight: flags(layer, last) for layer in layers}
        assert all((flags(layer, first) != kept[name][layer.weight]).any() for layer in layers)
    for weight, masked in kept["masked"].items():
        np.testing.assert_array_equal(kept["compressed"][weight], masked, err_msg=weight)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--method", "gem"), ("--method", "gem", "a-gem")),
        (("--method", "a-gem", "--replay-batches", "merged"), ("--method a-gem", "--replay-batches separate")),
        (("--method", "er", "--logit-weight", "0.1"), ("--logit-weight 0.1", "--method er", "leave it out")),
        (("--method", "der", "--label-weight", "1"), ("--label-weight 1.0", "--method der", "leave it out")),
        (
            ("--method", "a-gem", "--label-weight", "1"),
            ("--label-weight 1.0", "a-gem reads the direction", "leave it out"),
        ),
        (("--label-weight", "0"), ("--label-weight 0.0", "give a number above 0")),
        (("--logit-weight", "nan"), ("--logit-weight nan", "give a number above 0")),
        (("--method", "der", "--loss-classes", "balanced"), ("--method der", "leave --loss-classes out")),
        (("--loss-classes", "own"), ("--loss-classes", "own", "balanced")),
        (("--method", "ewc", "--compress"), ("--method ewc", "leave --compress out")),
        (("--method", "ewc", "--scheme", "channel"), ("--method ewc", "another --scheme")),
        (("--method", "packnet"), ("--method packnet", "give --sparsity 0")),
        (("--method", "packnet", "--sparsity", "0"), ("--method packnet", "give --gradient-sparsity 0")),
        (("--method", "packnet", *DENSE, "--weight-decay", "0.1"), ("--method packnet", "leave --weight-decay out")),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(options: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path) -> None:
    check_no_compilation(write_model(tmp_path, "resnet"), options, parts)


OWN_LOSS = ("er-ace", "lwf", "packnet")
ALONE = ("finetune", "joint", "lwf", "ewc", "packnet")
IDLE = [
    *((f"--loss-classes {value}", name, ()) for name in OWN_LOSS for value in ("task", "all", "balanced")),
    ("--loss-classes task", "icarl", ("--data-removal", "0")),
    ("--loss-classes all", "icarl", ("--data-removal", "0")),
    *(("--replay-batches merged", name, ()) for name in ALONE),
]


@pytest.mark.parametrize(("option", "method", "more"), IDLE)
def test_what_changes_nothing_is_refused(option: str, method: str, more: tuple[str, ...], tmp_path: Path) -> None:
    """In a line whose mend works, and alone where it differs from the default."""
    model, given = write_model(tmp_path, "resnet"), ("--method", method, *sparsity_of(method), *more)
    name, value = option.split()
    told = (f"{option}: changes nothing", f"--method {method} ", "; leave it out")
    check_no_compilation(model, (*given, name, value), told)
    if value == "merged":
        done("compile", model, *given, name, "separate", "-o", tmp_path / "a.sparcl")


ACTING = [
    *(("loss_classes", "task", name) for name in METHODS if name not in OWN_LOSS),
    *(("loss_classes", "all", name) for name in ("er", "der++")),
    *(("replay_batches", "separate", name) for name in METHODS if name not in (*ALONE, "a-gem")),
]


@pytest.mark.parametrize(("option", "value", "method"), ACTING)
def test_what_is_taken_changes_the_artifact(option: str, value: str, method: str, tmp_path: Path) -> None:
    """No method is left that takes the option in silence and computes the same."""
    model, made = write_model(tmp_path), []
    plain = CompileOptions(method=method, sparsity=0.0, gradient_sparsity=0.0)
    for name, options in (("plain", plain), ("changed", dataclasses.replace(plain, **{option: value}))):
        manifest = compile_model(model, tmp_path / f"{name}.sparcl", options).manifest
        made.append((manifest.program, manifest.files))
    assert made[0] != made[1]


def test_exemplars_need_a_row_for_each_class(tmp_path: Path) -> None:
    model, data = write_model(tmp_path, "resnet"), write_data(tmp_path)
    done("compile", model, "--method", "icarl", "-o", tmp_path / "a.sparcl")
    run = ("run", tmp_path / "a.sparcl", "--data", data, "--tasks", "2")
    check_refused(call(*run, "--buffer", "4"), "--buffer 4", "give at least 5")
    check_refused(call(*run, "--buffer", "0"), "--buffer 0", "give at least 1")


def test_the_older_name_of_the_option(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    for name, wanted in (("none", "finetune"), ("er", "er"), ("der++", "der++")):
        done("compile", model, "--replay", name, "-o", tmp_path / "a.sparcl")
        assert read_manifest(tmp_path / "a.sparcl").options.method == wanted
