"""``--compress`` through the commands: the same run as masked, a smaller state, plain export, refusals."""

from pathlib import Path

import onnx
import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import read_manifest
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import SMALL_RUN, call, check_refused, contents, done, read_json, run_forms

pytestmark = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())

FORMS = ("--compress", "--no-compress")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A residual network compiled and run in both forms: ``--compress.sparcl``, ``--compress.json`` and so on."""
    made = tmp_path_factory.mktemp("compress")
    run_forms(made, FORMS, "--no-select-kernels", "--gradient-sparsity", "0.9", "--replay-batches", "separate")
    return made


def manifest(folder: Path, form: str) -> Manifest:
    return read_manifest(folder / f"{form}.sparcl")


def test_both_forms_learn_the_same(folder: Path) -> None:
    compressed, masked = (read_json(folder / f"{form}.json") for form in FORMS)
    for key in ("class_il", "task_il", "forgetting", "samples_seen", "training_flops", "mask_updates"):
        assert compressed[key] == pytest.approx(masked[key], abs=1e-6), key
    assert compressed["mask_updates"] > 5
    for key in ("sparsity", "gradient_sparsity"):
        assert compressed[key]["overall"] == pytest.approx(masked[key]["overall"], abs=1e-9)
        assert compressed[key]["per_layer"] == pytest.approx(masked[key]["per_layer"], abs=1e-9)


def test_state_has_the_length_of_the_kept_values(folder: Path) -> None:
    found = manifest(folder, "--compress")
    state = {spec.name: spec for spec in found.state}
    assert found.kernels
    assert {name for name, graph in found.graphs.items() if graph.kernels} == {"train", "measure"}
    assert not manifest(folder, "--no-compress").kernels
    stored = [layer for layer in found.weights if layer.stored == "rows"]
    assert stored
    for layer in stored:
        weight = layer.weight
        (places,) = state[weight].shape
        assert layer.grown == places < layer.size
        assert state[weight].full_shape == layer.shape
        names = (f"{weight}.index", f"{weight}.gradient_mask", f"{weight}_grad.accumulation.buffer")
        assert (layer.index, layer.gradient_mask, layer.accumulator) == names
        for name in names:
            assert state[name].shape == (places,)
        assert layer.rows == f"{weight}.rows"
        assert state[layer.rows].shape == (layer.shape[0] + 1,)
        assert layer.mask is None
        assert f"{weight}.mask" not in state
    sizes = [(folder / f"{form}.run" / "state.safetensors").stat().st_size for form in FORMS]
    assert sizes[0] < sizes[1]


def test_a_run_is_resumed_with_its_places(folder: Path, tmp_path: Path) -> None:
    result, data = tmp_path / "again.json", f"npz:{folder / 'data.npz'}"
    done("run", folder / "--compress.sparcl", "--data", data, *SMALL_RUN, "--resume", "--json", result)
    assert read_json(result)["sparsity"] == read_json(folder / "--compress.json")["sparsity"]


def test_the_export_is_plain_onnx(folder: Path, tmp_path: Path) -> None:
    done("export", folder / "--compress.sparcl", "-o", tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    assert {node.domain for node in model.graph.node} == {""}
    assert [node.op_type for node in model.graph.node].count("Conv") >= 3
    assert "ScatterElements" not in {node.op_type for node in model.graph.node}


def test_inspect_shows_the_sparse_operators(folder: Path) -> None:
    printed = done("inspect", folder / "--compress.sparcl").out
    assert "compress_weights" in printed
    assert "lay_out_batch_last" in printed
    assert "SparseConv" in done("inspect", folder / "--compress.sparcl", "--after", "compress_weights").out
    assert "compress_weights" not in done("inspect", folder / "--no-compress.sparcl").out


REFUSED = (
    ("--scheme", "channel"),
    ("--gradient-scheme", "channel"),
)


@pytest.mark.parametrize("options", REFUSED)
def test_refusals(options: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    refused = call("compile", folder / "resnet.onnx", "--compress", *options, "-o", tmp_path / "x.sparcl")
    check_refused(refused, "--compress", options[0], "leave one of the two out")
    assert not contents(tmp_path)


def test_half_precision_is_refused_without_the_kernels_that_have_it(folder: Path, tmp_path: Path) -> None:
    options = ("--activations", "bf16", "-o", tmp_path / "x.sparcl")
    refused = call("compile", folder / "resnet.onnx", *options)
    mend = "is for the sparse kernels, which --compress computes with; add that or leave this out"
    check_refused(refused, "--activations bf16", mend)
    refused = call(
        "compile", folder / "resnet.onnx", "--compress", "--activations", "fp16", "-o", tmp_path / "x.sparcl"
    )
    check_refused(refused, "--activations", "f32", "bf16")
    assert not contents(tmp_path)


def test_without_the_kernels_the_masked_form_is_compiled_and_nothing_sparse_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_find", lambda: (None, "the sparse kernels were not built"))
    with pytest.raises(OptionError, match="`compress`: the sparse kernels were not built; leave it out for the masked"):
        compile_model(folder / "resnet.onnx", tmp_path / "y.sparcl", CompileOptions(compress=True))
    more = ("--measure-kernels", "--activations", "bf16")
    found = done("compile", folder / "resnet.onnx", "--compress", *more, "-o", tmp_path / "x.sparcl")
    assert found.err.count("note: --compress: the sparse kernels were not built; compiling the masked form") == 1
    assert "the same method, equal but for rounding, which training can amplify" in found.err
    assert not manifest(tmp_path, "x").kernels
    refused = call("run", folder / "--compress.sparcl", "--data", f"npz:{folder / 'data.npz'}", *SMALL_RUN)
    check_refused(refused, "--compress.sparcl", "the sparse kernels were not built", "without compression")
