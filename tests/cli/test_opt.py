"""sparcl-opt: single passes on a file."""

import re
from pathlib import Path

import onnx
import pytest

from sparcl_compile.cli.pass_list import pass_list
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.registry import PHASES
from sparcl_compile.runtime.session import kernel_library as kernels
from tests.support.cli import call, check_refused, contents, done, spawn, write_artifact, write_model

needs_kernels = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())
MASKED = "import_forward,mark_dense_weights,freeze_parameters,insert_weight_masks{sparsity=0.5}"
TRAINING = (
    "fold_fixed_norms,attach_loss,insert_sample_filter,save_batch_statistics,differentiate,insert_gradient_masks,"
    "attach_optimizer,prune_backward,pack_relu_masks,order_backward"
)
BY_ROWS = TRAINING.replace("differentiate", "differentiate{by_rows=true}")
"""As a compilation with gradient masks chooses."""
SPARING = TRAINING.replace("differentiate", "differentiate{by_rows=true,sparing=true}")
"""As one with ``--recompute`` chooses."""
CHAINS = {
    "plain": f"{MASKED},{BY_ROWS}",
    "momentum": f"{MASKED},{BY_ROWS},update_in_backward".replace("optimizer", "optimizer{momentum=0.9}"),
    "channel": (
        "import_forward,mark_dense_weights,freeze_parameters,insert_weight_masks{sparsity=0.5,scheme=channel},"
        "fold_channels,"
        f"{SPARING}{{recompute=true}},recompute_activations{{enabled=true}},compute_gradient_rows"
    ),
    "compress": (
        f"{MASKED},select_kernels,compress_weights,run_dense_on_sparse_kernels,fold_fixed_norms,lay_out_batch_last,"
        "attach_loss,save_batch_statistics,differentiate,prune_backward,add_inside_input_gradients,normalise_on_load,halve_activations"
    ),
    "fresh": (
        "import_forward{classes=7,init=fresh,seed=3},mark_dense_weights,freeze_parameters{freeze=stem*,update=norm},"
        "insert_weight_masks," + TRAINING
    ),
}


def one_by_one(text: str) -> list[str]:
    """The passes of a list."""
    return re.findall(r"\w+(?:\{[^}]*\})?", text)


@pytest.mark.parametrize(
    "chain", [pytest.param(name, marks=needs_kernels if name == "compress" else ()) for name in CHAINS]
)
def test_passes_in_many_calls_give_the_graph_of_one_call(chain: str, tmp_path: Path) -> None:
    model = write_model(tmp_path, "resnet")
    done("opt", model, "-p", CHAINS[chain], "-o", tmp_path / "once.onnx")
    last = model
    for number, one in enumerate(one_by_one(CHAINS[chain])):
        done("opt", last, "-p", one, "-o", tmp_path / f"{number}.onnx")
        last = tmp_path / f"{number}.onnx"
    assert last.read_bytes() == (tmp_path / "once.onnx").read_bytes()
    assert done("opt", last).out == done("opt", model, "-p", CHAINS[chain]).out


@pytest.mark.parametrize(
    ("chain", "options"),
    [
        ("plain", ("--sparsity", "0.5")),
        ("channel", ("--sparsity", "0.5", "--scheme", "channel", "--gradient-scheme", "channel", "--recompute")),
        ("fresh", ("--classes", "7", "--init", "fresh", "--seed", "3", "--update", "norm", "--freeze", "stem*")),
    ],
)
def test_the_graph_is_that_of_a_compilation(chain: str, options: tuple[str, ...], tmp_path: Path) -> None:
    model = write_model(tmp_path, "resnet")
    done("compile", model, "--replay-batches", "separate", *options)
    last = one_by_one(CHAINS[chain])[-1]
    wanted = done("inspect", tmp_path / "resnet.sparcl", "--after", last).out
    assert done("opt", model, "-p", CHAINS[chain]).out == wanted


@pytest.mark.parametrize("options", [("--scheme", "channel"), ()])
def test_it_goes_on_from_a_dump(options: tuple[str, ...], tmp_path: Path) -> None:
    model, dumps = write_model(tmp_path, "resnet"), tmp_path / "dumps"
    done("compile", model, "--sparsity", "0.5", *options, "--dump-passes", dumps)
    artifact = tmp_path / "resnet.sparcl"
    masked = dumps / "08_insert_weight_masks.onnx"
    behind = "fold_channels,fold_fixed_norms" if options else "fold_fixed_norms"
    assert done("opt", masked, "-p", behind).out == done("inspect", artifact, "--after", "lowering").out


def test_without_passes_the_graph_is_printed_as_it_is(tmp_path: Path) -> None:
    shown = done("opt", write_model(tmp_path)).out
    assert onnx.parser.parse_model(shown).graph.node
    assert "insert_weight_masks" not in shown


def test_a_file_is_written_in_silence(tmp_path: Path) -> None:
    outcome = done("opt", write_model(tmp_path), "-p", MASKED, "-o", tmp_path / "new" / "masked.onnx")
    assert (outcome.out, outcome.err) == ("", "")
    onnx.checker.check_model(tmp_path / "new" / "masked.onnx", full_check=True)


def test_the_list_has_every_pass_below_its_phase() -> None:
    text = pass_list()
    parts = re.split(r"^(\w+): (.*)$", text, flags=re.MULTILINE)[1:]
    assert dict(zip(parts[::3], parts[1::3], strict=True)) == {str(phase): phase.value for phase in Phase}
    listed = {
        name: phase
        for phase, body in zip(parts[::3], parts[2::3], strict=True)
        for name in re.findall(r"^  (\w+)", body, re.MULTILINE)
    }
    assert listed == {name: str(phase) for name, phase in PHASES.items()}
    assert (
        "  insert_weight_masks{sparsity=0.8,distribution=uniform,scheme=unstructured,first=magnitude,seed=0}\n"
        "      Multiply every maskable weight by its mask.\n"
        "      needs: import_forward\n"
        "      before: attach_loss\n"
    ) in text
    assert "      runs inside of the whole pipeline only, which gives it: state\n" in text
    assert done("opt", "--list").out == text


# Refusals

WRONG = {
    "insert_weight_mask": "insert_weight_mask: no such pass; did you mean insert_weight_masks? give one of",
    "insert_weight_masks{sparsty=0.5}": "insert_weight_masks: has no option sparsty; did you mean sparsity?",
    "insert_weight_masks{sparsity=high}": "insert_weight_masks: sparsity=high: give a number",
    "insert_weight_masks,": "at its end: is no list of passes; write PASS,PASS{OPTION=VALUE,OPTION=VALUE}",
    "emit": "emit: runs inside of sparcl-compile or sparcl-export only",
    "insert_weight_masks": "insert_weight_masks: the graph holds no marked parameters; run import_forward before it",
    "import_forward,insert_weight_masks,freeze_parameters": "freeze_parameters: the graph has masked layers already",
    "import_forward,fold_channels": "run insert_weight_masks{scheme=channel} before it",
    "import_forward,insert_weight_masks{sparsity=1.5}": "insert_weight_masks: sparsity 1.5: give a number",
    "import_forward,mark_dense_weights{dense=x*}": "mark_dense_weights: dense x* matches no weight",
}


@pytest.mark.parametrize("passes", WRONG)
def test_a_wrong_list_is_one_line_and_nothing_is_written(passes: str, tmp_path: Path) -> None:
    model = write_model(tmp_path)
    before = contents(tmp_path)
    check_refused(call("opt", model, "-p", passes, "-o", tmp_path / "out.onnx"), WRONG[passes])
    check_refused(call("opt", model, "-p", passes), WRONG[passes])
    assert contents(tmp_path) == before


def test_passes_are_read_before_the_file(tmp_path: Path) -> None:
    check_refused(call("opt", tmp_path / "absent.onnx", "-p", "atach_loss"), "did you mean attach_loss")
    check_refused(call("opt", tmp_path / "absent.onnx", "-p", "attach_loss"), "absent.onnx does not exist")
    check_refused(call("opt"), "Missing", "sparcl-opt --help")


def test_files_that_are_no_model(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path)
    (tmp_path / "text.onnx").write_text("no model")
    (tmp_path / "empty.onnx").touch()
    masked = tmp_path / "masked.onnx"
    done("opt", tmp_path / "cnn_bn.onnx", "-p", MASKED, "-o", masked)
    (tmp_path / "cut.onnx").write_bytes(masked.read_bytes()[:-100])
    proto = onnx.load(masked)
    del proto.graph.initializer[0]
    onnx.save(proto, tmp_path / "hole.onnx")
    proto = onnx.load(masked)
    next(node for node in proto.graph.node if node.op_type == "BatchNormalization").op_type = "Shape"
    onnx.save(proto, tmp_path / "odd.onnx")
    proto = onnx.load(masked)
    proto.graph.value_info[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    onnx.save(proto, tmp_path / "types.onnx")
    before = contents(tmp_path)
    check_refused(call("opt", artifact), artifact, "is a directory")
    check_refused(call("opt", tmp_path / "text.onnx"), "text.onnx", "not an ONNX model")
    check_refused(call("opt", tmp_path / "empty.onnx"), "empty.onnx", "is empty")
    check_refused(call("opt", tmp_path / "cut.onnx"), "cut.onnx", "truncated")
    check_refused(call("opt", tmp_path / "hole.onnx"), "hole.onnx", "nothing in the graph makes the value")
    for name in ("odd.onnx", "types.onnx"):
        refused = call("opt", tmp_path / name, "-p", "attach_loss")
        check_refused(refused, f"{name}: the graph is damaged: ", "; make the file again")
    assert contents(tmp_path) == before


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    artifact, model = write_artifact(tmp_path), tmp_path / "cnn_bn.onnx"
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "link.onnx").symlink_to(tmp_path / "nowhere")
    before = contents(tmp_path)
    for place, words in {
        tmp_path / "out.txt": "ends in .onnx",
        tmp_path / "folder.onnx": "is a folder",
        tmp_path / "link.onnx": "link to nowhere",
        model: "is the model itself",
        artifact / "out.onnx": "inside of one",
        artifact / "eval" / "eval_model.onnx": "inside of one",
        model / "out.onnx": "cannot be written",
    }.items():
        check_refused(call("opt", model, "-p", MASKED, "-o", place), place, words)
    assert contents(tmp_path) == before


def test_the_graphs_of_an_artifact_say_what_they_lack(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path, "--replay-batches", "separate")
    read, train = artifact / "eval" / "eval_model.onnx", artifact / "train" / "training_model.onnx"
    for one in ("insert_weight_masks", "fold_fixed_norms", "compress_weights", "attach_loss"):
        check_refused(call("opt", read, "-p", one), f"{one}: the graph holds no marked parameters")
        check_refused(call("opt", train, "-p", one), f"{one}: ")
    check_refused(call("opt", train, "-p", "update_in_backward"), "the graph has no optimizer; run attach_optimizer")
    moving = done("opt", train, "-p", "attach_optimizer{optimizer=adamw},update_in_backward").out
    assert "exp_avg_sq.next" in moving


@pytest.mark.training_build
def test_sparse_operators_need_their_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_model(tmp_path, "resnet")
    passes = f"{MASKED},compress_weights,attach_loss,differentiate_by_builder"
    monkeypatch.setattr(kernels, "library", lambda: None)
    check_refused(call("opt", model, "-p", passes), "differentiate_by_builder: library: is missing", "sparse operators")
    done("opt", model, "-p", f"{MASKED},attach_loss,differentiate_by_builder")


def test_the_command_is_installed(tmp_path: Path) -> None:
    model = write_model(tmp_path)
    shown = spawn("opt", model, "-p", MASKED)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == done("opt", model, "-p", MASKED).out
    check_refused(spawn("opt", model, "-p", "attach_loss"), "attach_loss: the graph holds no marked parameters")


def of_opset(path: Path, version: int) -> Path:
    """A copy of a file that says another number of its opset, and is otherwise the same."""
    proto = onnx.load(path)
    next(one for one in proto.opset_import if not one.domain).version = version
    copy = path.with_stem(f"{path.stem}_{version}")
    onnx.save(proto, copy)
    return copy


def test_what_passes_wrote_under_another_opset_is_refused(tmp_path: Path) -> None:
    masked = tmp_path / "masked.onnx"
    done("opt", write_model(tmp_path), "-p", MASKED, "-o", masked)
    for version in (13, 21):
        turned = of_opset(masked, version)
        words = f"{turned.name}: passes have worked on the graph, yet its opset is {version}; make the file again"
        check_refused(call("opt", turned, "-p", "attach_loss"), words)
        check_refused(call("opt", turned), words)


def test_only_importing_works_on_another_opset(tmp_path: Path) -> None:
    model = of_opset(write_model(tmp_path), 17)
    words = "restore_input: the graph is of opset 17, not 18; run import_forward before it"
    check_refused(call("opt", model, "-p", "restore_input"), words)
    done("opt", model, "-p", MASKED)
