"""--freeze, --update and --gradient-scheme from the command line to the numbers of a step."""

import collections
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.numpy import load_file

from models.export import export
from models.resnet import ResNet, resnet18
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load, read_manifest
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.runtime.session.engine import Engine, Sizes
from sparcl_compile.settings.options import CompileOptions
from tests.support.batches import current_batch
from tests.support.cli import SMALL_RUN, call, check_refused, done, read_json, write_artifact, write_data, write_model

BATCH, CLASSES = 6, 4
OFF = {"sparsity": 0.0, "gradient_sparsity": 0.0, "replay_batches": "separate"}


@pytest.fixture(scope="module")
def module() -> ResNet:
    """Running statistics and scales as after some training, so that inference form differs from training form."""
    torch.manual_seed(1)
    made = resnet18(width=4, classes=CLASSES, blocks=(1, 1, 1, 1))
    for part in made.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor in (part.weight.data, part.running_var):
                tensor.uniform_(0.5, 1.5)
            part.running_mean.normal_(0, 0.3)
            part.bias.data.normal_(0, 0.3)
    return made


@pytest.fixture(scope="module")
def model_file(module: ResNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "resnet.onnx"
    export(module, (3, 16, 16), path)
    return path


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of training without an optimizer step."""

    engine: Engine
    manifest: Manifest
    train: onnx.ModelProto
    loss: float
    gradients: dict[str, np.ndarray]


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCH, 3, 16, 16)).astype(np.float32), rng.integers(0, CLASSES, BATCH)


def step_of(model_file: Path, folder: Path, **options: object) -> Step:
    compile_model(model_file, folder / "a.sparcl", CompileOptions(**{**OFF, **options}))
    artifact = load(folder / "a.sparcl")
    engine = Engine(artifact, 1, Sizes(dimensions={"samples": BATCH}))
    engine.reset_all()
    x, y = images()
    batch = current_batch(x, y, np.zeros(CLASSES, np.float32), np.arange(BATCH))
    loss = float(engine.run("train", batch.feeds(first=True))["loss"].numpy())
    suffix = "_grad.accumulation.buffer"
    gradients = {name.removesuffix(suffix): engine.array(name).copy() for name in engine.names("gradient")}
    return Step(engine, artifact.manifest, onnx.load(artifact.path("train")), loss, gradients)


def ops(model: onnx.ModelProto) -> collections.Counter[str]:
    return collections.Counter(node.op_type for node in model.graph.node)


def weight_gradients(model: onnx.ModelProto) -> tuple[int, int]:
    """The numbers of ConvGrad nodes that give an input gradient, and a weight gradient."""
    nodes = [node for node in model.graph.node if node.op_type == "ConvGrad"]
    return sum(bool(n.output[0]) for n in nodes), sum(len(n.output) > 1 and bool(n.output[1]) for n in nodes)


def by_pytorch(module: ResNet, frozen: tuple[str, ...]) -> tuple[float, dict[str, np.ndarray]]:
    """Autograd with the frozen BatchNorms in eval(); ``frozen`` are prefixes of module names."""
    copy = resnet18(width=4, classes=CLASSES, blocks=(1, 1, 1, 1))
    copy.load_state_dict(module.state_dict())
    copy.train()
    for name, part in copy.named_modules():
        if name.startswith(frozen) and not list(part.children()):
            part.eval().requires_grad_(False)
    x, y = (torch.from_numpy(array) for array in images())
    loss = torch.nn.functional.cross_entropy(copy(x), y)
    loss.backward()
    return loss.item(), {n: p.grad.numpy() for n, p in copy.named_parameters() if p.grad is not None}


FROZEN = {
    "last": ({"update": "last:1"}, ("conv1", "bn1", "stages.0", "stages.1", "stages.2")),
    "last two": ({"update": "last:2"}, ("conv1", "bn1", "stages.0", "stages.1")),
    # Something below trains: the gradient must go through the fixed normalisations.
    "a stage between": ({"freeze": ("stages.2.*",)}, ("stages.2",)),
    "all but the stem": ({"freeze": ("stages.*", "bn1.*")}, ("stages", "bn1")),
    "only norms": ({"freeze": ("*.bn1.*", "*.bn2.*")}, tuple(f"stages.{s}.0.bn{i}" for s in range(4) for i in (1, 2))),
}


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_training_equals_pytorch(name: str, module: ResNet, model_file: Path, tmp_path: Path) -> None:
    options, frozen = FROZEN[name]
    found = step_of(model_file, tmp_path, **options)
    loss, wanted = by_pytorch(module, frozen)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    assert found.gradients.keys() == wanted.keys()
    for weight, gradient in wanted.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(found.gradients[weight], gradient, rtol=1e-4, atol=1e-4 * scale, err_msg=weight)


@pytest.mark.parametrize("update", ["bias", "norm"])
def test_the_gradients_of_what_trains_are_those_of_full_training(update: str, model_file: Path, tmp_path: Path) -> None:
    """No normalisation is fixed here, so the forward pass is the same."""
    check_part(*(step_of(model_file, tmp_path / one, update=one) for one in ("all", update)))


def check_part(whole: Step, part: Step) -> None:
    """The gradients of a part of the parameters are those of a step that trains all."""
    assert part.loss == pytest.approx(whole.loss, rel=1e-5)
    assert part.gradients.keys() < whole.gradients.keys()
    for name, gradient in part.gradients.items():
        scale = np.abs(whole.gradients[name]).max()
        np.testing.assert_allclose(gradient, whole.gradients[name], rtol=1e-4, atol=1e-5 * scale, err_msg=name)


@pytest.mark.training_build
@pytest.mark.parametrize("update", ["bias", "norm"])
def test_the_builders_operators_for_what_does_not_train_are_gone(update: str, model_file: Path, tmp_path: Path) -> None:
    whole, part = (step_of(model_file, tmp_path / u, update=u, target="ort-training") for u in ("all", update))
    check_part(whole, part)
    counts = ops(part.train)
    assert (counts["ConvGrad"], counts["ConvTranspose"]) == (0, weight_gradients(whole.train)[0])
    # No convolution's weight gradient reads a ReLU's output any more: a byte a value is kept of each.
    assert (counts["HardSigmoid"], counts["DropoutGrad"]) == (0, ops(whole.train)["Relu"])


@pytest.mark.training_build
def test_below_the_cut_there_is_no_backward_pass(model_file: Path, tmp_path: Path) -> None:
    whole, part = (step_of(model_file, tmp_path / u, update=u, target="ort-training").train for u in ("all", "last:1"))
    assert weight_gradients(whole) == (11, 12)
    # The last stage has two convolutions and a shortcut, of which only the second passes a gradient on.
    assert weight_gradients(part) == (1, 3)
    counts = ops(part)
    assert (counts["BatchNormalizationGrad"], counts["BatchNormInternal"]) == (3, 3)
    # The last ReLU stands in front of the pool, the other one in front of a convolution that trains.
    assert (counts["HardSigmoid"], counts["DropoutGrad"]) == (1, 1)
    assert counts["InPlaceAccumulatorV2"] == 3 + 6 + 2
    backward = {name for node in part.graph.node for name in node.output if "_grad" in name}
    assert not [name for name in backward if name.startswith(("stages.0", "stages.1", "stages.2", "conv1", "bn1"))]


def test_frozen_weights_are_constants_of_the_training_graph(model_file: Path, tmp_path: Path) -> None:
    part = step_of(model_file, tmp_path, update="last:1")
    frozen = part.engine.names("frozen")
    weights = {tensor.name for tensor in part.train.graph.initializer}
    assert {name for name in frozen if "conv" in name or "shortcut.0" in name} <= weights
    assert not {value.name for value in part.train.graph.input} & set(frozen)
    assert not [o.name for o in part.train.graph.output if o.name.endswith(".next") and "stages.0" in o.name]
    specs = {spec.name: spec for spec in part.manifest.state}
    assert all(specs[name].init == "file" for name in frozen)
    assert not [name for name in specs if name.startswith("stages.0") and "accumulation" in name]


def test_onnx_runtime_fuses_the_frozen_layers(model_file: Path, tmp_path: Path) -> None:
    """ONNX Runtime leaves no Mul or Add of a normalisation and no separate Relu in the frozen part."""
    part = step_of(model_file, tmp_path, update="last:1")
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    ort.InferenceSession(part.train.SerializeToString(), options, providers=["CPUExecutionProvider"])
    made = ops(onnx.load(tmp_path / "optimised.onnx"))
    before = ops(part.train)
    assert before["Relu"] - made["Relu"] >= 4
    # Nine frozen normalisations, each a Mul and an Add.
    assert before["Mul"] - made["Mul"] >= 9
    assert before["Add"] - made["Add"] >= 9


def test_flops_count_what_is_computed(model_file: Path, tmp_path: Path) -> None:
    flops = {u: step_of(model_file, tmp_path / u.replace(":", ""), update=u).manifest.flops for u in UPDATES}
    assert flops["all"].training_sparse == flops["all"].training_dense
    for update in UPDATES[1:]:
        assert flops[update].training_dense == flops["all"].training_dense
        assert flops[update].forward_sparse == flops[update].forward_dense
    last, norm = flops["last:1"], flops["norm"]
    # Width 4, 16x16: the last stage is 2x2; its shortcut and first convolution pass no gradient on.
    first, second, shortcut, head = 4 * 32 * 16 * 9, 4 * 32 * 32 * 9, 4 * 32 * 16, 32 * CLASSES
    assert last.weight_gradient_sparse == 2 * (first + second + shortcut + head)
    assert last.input_gradient_sparse == 2 * (second + head)
    assert norm.weight_gradient_sparse == 2 * head
    assert norm.input_gradient_sparse == norm.forward_dense - 2 * 16 * 16 * 4 * 3 * 9


UPDATES = ("all", "last:1", "norm")


def test_all_rows_of_a_grouped_convolution_are_computed_and_counted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    grouped = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    layers = [torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.ReLU(), grouped, torch.nn.ReLU()]
    head = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, CLASSES)]
    export(torch.nn.Sequential(*layers, *head), (3, 16, 16), tmp_path / "grouped.onnx")
    options = {"gradient_sparsity": 0.5, "gradient_scheme": "channel"}
    found = step_of(tmp_path / "grouped.onnx", tmp_path, **options)
    rows = {name.removesuffix(".gradient_rows") for name in found.engine.names("gradient_rows")}
    assert rows == {"0.weight"}  # the classifier has no mask
    first, second, last = 16 * 16 * 8 * 27, 16 * 16 * 8 * 9, 8 * CLASSES
    assert found.manifest.flops.weight_gradient_sparse == 2 * (first / 2 + second + last)


# The commands

APART = ("--replay-batches", "separate")
OPTIONS = {
    "last": ("--update", "last:1"),
    "bias": ("--update", "bias"),
    "norm": ("--update", "norm"),
    "freeze": ("--freeze", "stem.*", "--freeze", "bn1.*"),
    "channel": ("--gradient-scheme", "channel", *APART),
    "channel-last": ("--gradient-scheme", "channel", "--update", "last:1", "--momentum", "0.9", *APART),
    "channel-merged": ("--gradient-scheme", "channel", "--replay-batches", "merged", "--recipe", "reference-code"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_with_the_option(name: str, tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, *OPTIONS[name])
    done("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN, "--json", tmp_path / "r.json")
    start = load_file(artifact / "state.safetensors")
    end = load_file(tmp_path / "cnn_bn.run" / "state.safetensors")
    manifest = read_manifest(artifact)
    parameters = [spec.name for spec in manifest.state if spec.role in ("parameter", "frozen")]
    assert set(parameters) <= end.keys()
    moved = {n for n in parameters if not np.array_equal(start[n], end[n])}
    trains = {spec.name for spec in manifest.state if spec.role == "parameter"}
    assert moved == trains
    assert manifest.model.parameters == sum(start[n].size for n in parameters)
    done("export", artifact, "-o", tmp_path / "learned.onnx")  # which compares it with the artifact's own answers
    result = read_json(tmp_path / "r.json")
    assert result["sparsity"]["all_parameters"] <= result["sparsity"]["overall"]


@pytest.mark.parametrize("name", [name for name in OPTIONS if name.startswith("channel")])
def test_no_step_runs_with_rows_that_are_not_the_mask(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mask update leaves the gradient mask equal to the mask: the refresh comes before the next step."""
    artifact = write_artifact(tmp_path, *OPTIONS[name], "--weight-decay", "0.01")
    original, calls, moved = Engine.run, collections.Counter(), []
    graphs = read_manifest(artifact).graphs
    moves = "optimizer" if "optimizer" in graphs else "train"
    assert (moves == "train") == ("merged" in name)

    def watched(engine: Engine, graph: str, feeds: Any, instead: Any = None) -> Any:
        calls[graph] += 1
        flags = np.zeros(8, bool)
        flags[engine.array("body.weight.gradient_rows")] = True
        before = engine.array("body.weight").copy()
        if graph in ("train", "optimizer"):
            wanted = engine.array("body.weight.mask") * flags[:, None, None, None]
            np.testing.assert_array_equal(engine.array("body.weight.gradient_mask"), wanted)
        if graph == "measure":
            spec = engine.spec(graph)
            # What it adds to are the accumulators alone, in whose place a run gives it what it measures into.
            assert set(spec.updates.values()) <= {one.accumulator for one in engine.manifest.weights}
            assert "body.weight.gradient_mask" not in {one.name for one in spec.inputs}
            assert "body.weight.mask" in {one.name for one in spec.inputs}
        result = original(engine, graph, feeds, instead)
        if graph == moves:
            changed = (engine.array("body.weight") != before).reshape(8, -1).any(axis=1)
            assert not changed[~flags].any()
            moved.append(changed)
        return result

    monkeypatch.setattr(Engine, "run", watched)
    done("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN)
    assert calls["measure"] > calls["update_gradient_masks"] > calls["update_masks"] / 2 > 1
    assert calls[moves] == len(moved) > 10
    assert np.any(moved, axis=0).sum() > 2


def test_channels_that_meet_a_frozen_parameter_stay_whole(model_file: Path, tmp_path: Path) -> None:
    """A normalisation's frozen scale is a constant of the graph and cannot follow a channel mask."""
    options = {"sparsity": 0.3, "scheme": "channel", "freeze": ("stages.3.0.bn1.weight", "stages.0.*")}
    manifest = step_of(model_file, tmp_path, **options).manifest
    assert manifest.channels is not None
    axes = manifest.channels.axes
    assert not [name for name in axes if name.startswith(("stages.0", "stages.3.0.bn1"))]
    assert 0 in axes["stages.2.0.conv1.weight"]
    assert 0 not in axes.get("stages.3.0.conv1.weight", {})
    assert "frozen" in {stop.reason for stop in manifest.channels.stops}
    reasons = {entry.weight: entry.reason for entry in manifest.dense}
    assert reasons["stages.0.0.conv1.weight"] == "frozen"


def test_the_report_says_what_trains(tmp_path: Path) -> None:
    out = done("compile", write_model(tmp_path), "--update", "last:1", "--sparsity", "0.5").out
    assert "Training 493 of 667 parameters (73.9 %), in stages 2 of 2" in out
    assert "frozen" in next(line for line in out.splitlines() if line.startswith("stem.weight"))


def test_a_killed_run_with_rows_resumes_to_the_same_bits(tmp_path: Path) -> None:
    artifact, data = write_artifact(tmp_path, "--gradient-scheme", "channel"), write_data(tmp_path)
    args = ("run", artifact, "--data", data, *SMALL_RUN, "--checkpoint")
    done(*args, tmp_path / "whole")
    from sparcl_compile.runtime.interrupt import Interrupt

    calls = iter([None] * 11)

    def kill(_: Interrupt) -> None:
        if next(calls, "stop") == "stop":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Interrupt, "check", kill)
        assert call(*args, tmp_path / "killed").code != 0
    done(*args, tmp_path / "killed", "--resume")
    whole, killed = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert [name for name in whole if name.endswith(".gradient_rows")]
    for name, array in whole.items():
        np.testing.assert_array_equal(killed[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--update", "norm"), "note: --sparsity 0.8 without effect, since no weight is masked, for the reasons"),
        (("--dense", "*", "--gradient-sparsity", "0.9"), "note: --sparsity 0.8 and --gradient-sparsity 0.9 without"),
        (("--update", "bias", "--sparsity", "0"), "note: --gradient-sparsity 0.8 without effect"),
        (("--update", "bias", "--sparsity", "0", "--gradient-sparsity", "0"), ""),
        (("--update", "last:1"), ""),
    ],
)
def test_sparsity_that_finds_no_weight_is_said_and_the_artifact_runs(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    artifact = tmp_path / "model.sparcl"
    out = done("compile", write_model(tmp_path), "-o", artifact, *options).out
    assert said in out
    assert ("without effect" in out) == bool(said)
    assert "Gradient masks: none" not in out or not said
    ran = done("run", artifact, "--data", write_data(tmp_path), *SMALL_RUN, "--checkpoint", tmp_path / "run").out
    assert "class-IL" in ran


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--update", "last:9"), ("--update last:9", "has 2 stages")),
        (("--update", "first:1"), ("--update first:1", "last:K")),
        (("--update", "last:0"), ("--update last:0",)),
        (("--freeze", "steam*"), ("--freeze steam*", "stem.weight")),
        (("--freeze", "*"), ("--freeze *", "nothing is left to train")),
        (("--update", "bias", "--freeze", "fc.*", "--freeze", "*.bias"), ("nothing is left to train",)),
        (("--gradient-scheme", "channel", "--gradient-sparsity", "0"), ("--gradient-scheme channel",)),
        (("--gradient-scheme", "rows"), ("--gradient-scheme",)),
        (("--scheme", "channel", "--update", "bias"), ("--scheme channel: no channel can be removed", "frozen")),
        (
            ("--update", "norm", "--mask-policy", "rigl"),
            ("--mask-policy rigl: acts on masked weights", "stem.weight: "),
        ),
        (("--update", "norm", "--growth", "gradient"), ("--growth gradient: acts on masked weights",)),
        (("--update", "bias", "--first-mask", "random"), ("--first-mask random: acts on masked weights",)),
        (("--update", "norm", "--compress"), ("--compress: acts on masked weights", "frozen")),
        (("--dense", "*", "--mask-policy", "snip"), ("--mask-policy snip: acts on masked weights", "user")),
        (
            ("--method", "packnet", "--update", "norm", "--sparsity", "0", "--gradient-sparsity", "0"),
            ("--method packnet: gives each task weights", "none of them trains"),
        ),
    ],
)
def test_refusals(options: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "never.sparcl"
    check_refused(call("compile", write_model(tmp_path), "-o", out, *options), *parts)
    assert not out.exists()
