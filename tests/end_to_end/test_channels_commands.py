"""``--scheme channel`` through the commands: folded and masked, their output and their refusals."""

from pathlib import Path

import onnx
import pytest
from safetensors import safe_open

from sparcl_compile.interface.artifact import read_manifest
from sparcl_compile.interface.channels import ChannelSpec
from sparcl_compile.interface.manifest import Manifest
from tests.support.cli import SMALL_RUN, call, check_refused, contents, done, read_json, run_forms, write_model
from tests.support.zoo import CLASSES, Net

SCHEME = ("--scheme", "channel", "--sparsity", "0.5")
FORMS = ("--fold", "--no-fold")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A residual network compiled and run in both forms: ``--fold.sparcl``, ``--fold.json`` and so on."""
    made = tmp_path_factory.mktemp("channels")
    run_forms(made, FORMS, *SCHEME)
    return made


def manifest(folder: Path, form: str) -> Manifest:
    return read_manifest(folder / f"{form}.sparcl")


def channels(found: Manifest) -> ChannelSpec:
    assert found.channels is not None
    return found.channels


def test_both_forms_learn_the_same(folder: Path) -> None:
    folded, masked = (read_json(folder / f"{form}.json") for form in FORMS)
    for key in ("class_il", "task_il", "forgetting", "samples_seen", "training_flops", "mask_updates"):
        assert folded[key] == pytest.approx(masked[key], abs=1e-6), key
    assert folded["mask_updates"] > 5


def test_sparsity_is_measured_against_the_full_size(folder: Path) -> None:
    folded, masked = (read_json(folder / f"{form}.json") for form in FORMS)
    for key in ("sparsity", "gradient_sparsity"):
        assert folded[key]["overall"] == pytest.approx(masked[key]["overall"], abs=1e-9)
        assert folded[key]["per_layer"] == pytest.approx(masked[key]["per_layer"], abs=1e-9)
    assert 0.3 < folded["sparsity"]["overall"] < 0.7


def test_the_manifest_holds_both_shapes_and_the_spaces(folder: Path) -> None:
    folded, masked = (manifest(folder, form) for form in FORMS)
    assert channels(folded).folded
    assert not channels(masked).folded
    spaces = channels(folded).spaces
    assert all(1 <= space.base == space.capacity <= space.size for space in spaces)
    assert [space.capacity for space in channels(masked).spaces] == [space.size for space in spaces]
    levels = {name: counts for name, counts in folded.program.vectors.items() if name.startswith("level.")}
    assert {len(counts) for counts in levels.values()} == {len(spaces)}
    layers = {layer.weight: layer for layer in folded.weights}
    assert "stem.weight" in layers
    assert layers["stem.weight"].shape == (4, 3, 3, 3)
    state = {spec.name: spec for spec in folded.state}
    assert state["stem.weight"].shape[0] in range(1, 4)
    assert state["stem.weight"].full_shape == (4, 3, 3, 3)
    assert state["stem.weight.mask"].shape == state["stem.weight"].shape
    assert not any(spec.full_shape for spec in masked.state)
    assert folded.model.parameters == masked.model.parameters
    assert folded.model.classes == masked.model.classes
    assert folded.flops == masked.flops
    assert folded.dense == masked.dense


def test_index_and_live_are_state_and_part_of_a_checkpoint(folder: Path) -> None:
    found = manifest(folder, "--fold")
    specs = {spec.name: spec for spec in found.state if spec.role == "channel"}
    capacities = {space.name: space.capacity for space in channels(found).spaces}
    assert len(specs) == 2 * len(capacities)
    with safe_open(folder / "--fold.run" / "state.safetensors", framework="numpy") as file:
        for space, capacity in capacities.items():
            index = file.get_tensor(f"channels.{space}.index")
            assert index.dtype == specs[f"channels.{space}.index"].dtype == "int64"
            assert index.shape == (capacity,)
            assert file.get_tensor(f"channels.{space}.live").dtype == "float32"


def test_a_run_is_resumed_with_its_channels(folder: Path, tmp_path: Path) -> None:
    result = tmp_path / "again.json"
    data = f"npz:{folder / 'data.npz'}"
    done("run", folder / "--fold.sparcl", "--data", data, *SMALL_RUN, "--resume", "--json", result)
    assert read_json(result)["sparsity"] == read_json(folder / "--fold.json")["sparsity"]


def test_the_report_names_the_spaces_and_what_stopped_the_others(folder: Path) -> None:
    printed = done("inspect", folder / "--fold.sparcl").out
    assert "fold_channels" in printed
    assert "Channels" in printed
    stops = [line for line in printed.splitlines() if line.startswith("kept whole: ")]
    assert any("fc.weight because" in line and "(Gemm)" in line for line in stops)
    assert "fold_channels" not in done("inspect", folder / "--no-fold.sparcl").out
    assert done("inspect", folder / "--fold.sparcl", "--json").out.count('"channels"') == 1


def test_the_graph_after_folding_can_be_printed_only_where_it_is_folded(folder: Path, tmp_path: Path) -> None:
    model, out = folder / "resnet.onnx", tmp_path / "out.sparcl"
    shown = done("compile", model, *SCHEME, "--print-after", "fold_channels", "-o", out)
    assert "# after fold_channels" in shown.err
    refused = call("compile", model, *SCHEME, "--no-fold", "--print-after", "fold_channels", "-o", out)
    check_refused(refused, "--print-after", "fold_channels")


def test_user_dense_keeps_its_channels(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.sparcl"
    done("compile", folder / "resnet.onnx", *SCHEME, "--dense", "block.conv1.weight", "-o", out)
    found = read_manifest(out)
    assert "block.conv1.weight" not in [layer.weight for layer in found.weights]
    reasons = {layer.weight: layer.reason for layer in found.dense}
    assert reasons["block.conv1.weight"] == "user"


def test_a_whole_weight_names_the_node_and_not_the_models_input(tmp_path: Path) -> None:
    model, out = write_model(tmp_path, "resnet"), tmp_path / "out.sparcl"
    done("compile", model, *SCHEME, "--dense", "block.shortcut.weight", "-o", out)
    reasons = {layer.weight: layer.reason for layer in read_manifest(out).dense}
    cause = "coupling stopped at block.shortcut.weight: --dense"
    assert reasons == {"block.shortcut.weight": "user", "stem.weight": cause, "fc.weight": cause}


REFUSED = (
    (("--distribution", "erk"), "--distribution erk"),
    (("--dense", "*"), "--scheme channel: no channel can be removed"),
)


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refusals(options: tuple[str, ...], message: str, folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    check_refused(call("compile", folder / "resnet.onnx", *SCHEME, *options, "-o", tmp_path / "x.sparcl"), message)
    assert contents(folder) == before
    assert not contents(tmp_path)


def test_a_model_without_inner_channels_is_refused_with_the_node(tmp_path: Path) -> None:
    net = Net(["batch", 12])
    net.op("Gemm", net.weight("fc.weight", CLASSES, 12), net.weight("fc.bias", CLASSES), transB=1)
    onnx.save(net.model(), tmp_path / "linear.onnx")
    refused = call("compile", tmp_path / "linear.onnx", *SCHEME)
    check_refused(refused, "--scheme channel: no channel can be removed", "give another --scheme")


def test_a_grown_channel_does_not_push_out_what_was_learned(root: Path, tmp_path: Path) -> None:
    """Importance once counted a grown channel's fresh incoming weights: 64 % of the old tasks' answers were left."""
    model, scheme = root / "models" / "digits_cnn.onnx", ("--scheme", "channel", "--sparsity", "0.7")
    done("compile", model, *scheme, "-o", tmp_path / "a")
    run = ("--data", "digits", "--tasks", "5", "--epochs", "4", "--threads", "1")
    done("run", tmp_path / "a", *run, "--checkpoint", tmp_path / "run", "--json", tmp_path / "a.json")
    assert read_json(tmp_path / "a.json")["task_il"] > 90.0
