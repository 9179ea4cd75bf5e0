"""The commands on real input: their output, their files, and their display in a terminal."""

import itertools
import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file

from sparcl_compile.interface.artifact import read_manifest
from tests.support.cli import (
    ENVIRONMENT,
    SMALL_RUN,
    call,
    check_refused,
    command_line,
    done,
    read_json,
    spawn,
    write_artifact,
    write_data,
    write_model,
)

DIGITS = Path(__file__).resolve().parents[2] / "models" / "digits_cnn.onnx"
PASSES = (
    "fix_input", "expand_runtime_operators", "expand_ml_operators", "import_forward",
    "mark_dense_weights", "freeze_parameters", "raise_signal", "insert_weight_masks", "scale_by_density", "limit_steps",
    "fold_fixed_norms", "attach_loss", "insert_sample_filter", "save_batch_statistics", "differentiate",
    "insert_gradient_masks", "attach_optimizer", "prune_backward", "pack_relu_masks",
    "order_backward", "recompute_activations", "update_in_backward", "emit",
)  # fmt: skip
KEYS = {
    "class_il", "task_il", "accuracy_matrix", "forgetting", "backward_transfer", "learning_accuracy", "sparsity",
    "gradient_sparsity", "samples_seen", "samples_removed", "training_flops", "samples_per_second", "seed", "versions",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ``cnn_bn.onnx``, ``cnn_bn.sparcl``, ``data.npz`` and the result of a run, ``result.json``."""
    made = tmp_path_factory.mktemp("commands")
    write_artifact(made)
    data = write_data(made)
    done("run", made / "cnn_bn.sparcl", "--data", data, *SMALL_RUN, "--json", made / "result.json")
    return made


def test_a_run_whose_epochs_let_no_sample_leave_says_so_behind_the_numbers(folder: Path, tmp_path: Path) -> None:
    run = ("run", folder / "cnn_bn.sparcl", "--data", source(folder), *SMALL_RUN, "--checkpoint", tmp_path / "a.run")
    assert read_manifest(folder / "cnn_bn.sparcl").options.data_removal > 0.0
    said = done(*run).out.splitlines()
    (line,) = [index for index, one in enumerate(said) if one.startswith("note: samples removed 0")]
    assert "with 2 epochs a task none does" in said[line]
    assert any(one.split() == ["samples", "removed", "0"] for one in said[:line])


def test_a_run_without_data_removal_has_no_note_of_it(tmp_path: Path) -> None:
    artifact, data = write_artifact(tmp_path, "--data-removal", "0"), write_data(tmp_path)
    assert "note: samples removed" not in done("run", artifact, "--data", data, *SMALL_RUN).out


def test_a_run_that_hardly_learned_says_so_and_what_to_try(folder: Path, tmp_path: Path) -> None:
    guessing = ("run", folder / "cnn_bn.sparcl", "--data", source(folder), *SMALL_RUN, "--checkpoint", tmp_path / "a")
    own = read_manifest(folder / "cnn_bn.sparcl").optimizer.rate_for(2)
    note = "apart hardly better than by guessing; run without --lr"
    assert f"{note}, which is {own:g} then and was 1e-09" in done(*guessing, "--lr", "1e-9").out
    assert note not in done(*guessing, "--lr", "1e-9", "--quiet").out


def source(folder: Path) -> str:
    return f"npz:{folder / 'data.npz'}"


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def row(text: str, first: str) -> list[str]:
    """The line that begins with this word, in words."""
    return next(line for line in words(text) if line[:1] == [first])


# sparcl-compile


def test_the_quickstart_needs_no_option(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(DIGITS.read_bytes())
    outcome = spawn("compile", "model.onnx", "--sparsity", "0.8", cwd=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert sorted(os.listdir(tmp_path)) == ["model.onnx", "model.sparcl"]
    assert [line[0] for line in words(outcome.out) if line and line[0] in PASSES] == list(PASSES)
    assert row(outcome.out, "3.weight")[1:] == ["32x16x3x3", "922", "4,608", "20.0", "%", "20.0", "%"]
    assert "stem" in row(outcome.out, "0.weight")
    dense, sparse = (float(word) for word in row(outcome.out, "training")[1:3])
    assert 0 < sparse < dense / 3
    assert "to model.sparcl (" in outcome.out
    assert outcome.out.rstrip().splitlines()[-1].startswith("Next: sparcl-run model.sparcl --data digits --tasks 5")


def test_compile_json_is_manifest_and_report_and_nothing_else(tmp_path: Path) -> None:
    outcome = done("compile", write_model(tmp_path), "--json", "--print-after", "all")
    manifest, report = (read_json(tmp_path / "cnn_bn.sparcl" / f"{name}.json") for name in ("manifest", "report"))
    assert not manifest.keys() & report.keys()
    assert json.loads(outcome.out) == {**manifest, **report}
    assert outcome.err.count("# after ") == len(PASSES)


def test_print_after_one_pass(tmp_path: Path) -> None:
    outcome = done("compile", write_model(tmp_path), "--print-after", "insert_weight_masks")
    assert outcome.err.startswith("# after insert_weight_masks\n")
    graph = onnx.parser.parse_model(outcome.err.partition("\n")[2])
    assert [node.op_type for node in graph.graph.node].count("Mul") == 1


def test_dumps_open_in_other_tools(tmp_path: Path) -> None:
    dumps = tmp_path / "new" / "dumps"
    done("compile", write_model(tmp_path), "--dump-passes", dumps)
    assert sorted(os.listdir(dumps)) == [f"{i:02d}_{name}.onnx" for i, name in enumerate(PASSES, start=1)]
    for index, name in enumerate(PASSES, start=1):
        model = onnx.load(dumps / f"{index:02d}_{name}.onnx")
        onnx.checker.check_model(model)
        assert model.graph.node
        assert model.ir_version == 10 or index < PASSES.index("import_forward") + 1


def test_a_phase_prints_and_dumps_the_graph_after_its_last_pass(tmp_path: Path) -> None:
    dumps = tmp_path / "dumps"
    options = ("--print-after", "differentiating", "--dump-passes", dumps, "--dump-after", "lowering")
    outcome = done("compile", write_model(tmp_path), *options)
    title, _, text = outcome.err.partition("\n")
    assert title == "# after pack_relu_masks"
    assert "# after" not in text
    assert os.listdir(dumps) == ["11_fold_fixed_norms.onnx"]
    artifact = tmp_path / "cnn_bn.sparcl"
    assert text.strip() == done("inspect", artifact, "--after", "differentiating").out.strip()
    shown = done("inspect", artifact, "--diff", "importing", "sparsifying").out
    assert "nodes: " in shown
    assert "after limit_steps" in shown


def test_dense_keeps_layers_out(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.sparcl"
    done("compile", folder / "cnn_bn.onnx", "--dense", "*", "-o", out)
    manifest = read_manifest(out)
    assert manifest.weights == ()
    assert "body.weight" in [layer.weight for layer in manifest.dense]
    done("run", out, "--data", source(folder), *SMALL_RUN)


def weights(artifact: Path) -> dict[str, np.ndarray]:
    return load_file(artifact / "state.safetensors")


def test_classes_replaces_the_head(folder: Path, tmp_path: Path) -> None:
    done("compile", folder / "cnn_bn.onnx", "--classes", "9", "-o", tmp_path / "a.sparcl")
    assert read_manifest(tmp_path / "a.sparcl").model.classes == 9
    made, kept = weights(tmp_path / "a.sparcl"), weights(folder / "cnn_bn.sparcl")
    assert 9 in made["fc.weight"].shape
    np.testing.assert_array_equal(made["stem.weight"], kept["stem.weight"])


def test_fresh_weights_come_from_the_seed(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("again", 0), ("other", 1)):
        args = ["--init", "fresh", "--seed", str(seed), "-o", tmp_path / name]
        done("compile", folder / "cnn_bn.onnx", *args)
    a, again, other = (weights(tmp_path / name)["stem.weight"] for name in ("a", "again", "other"))
    np.testing.assert_array_equal(a, again)
    assert not np.array_equal(a, other)
    assert not np.array_equal(a, weights(folder / "cnn_bn.sparcl")["stem.weight"])


def test_an_old_artifact_is_replaced_whole(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path)
    assert (artifact / "update_gradient_masks").is_dir()
    done("compile", tmp_path / "cnn_bn.onnx", "--gradient-sparsity", "0")
    assert not (artifact / "update_gradient_masks").exists()
    assert sorted(os.listdir(tmp_path)) == ["cnn_bn.onnx", "cnn_bn.sparcl"]


# sparcl-run


def test_the_result_has_the_promised_keys(folder: Path) -> None:
    result = read_json(folder / "result.json")
    assert set(result) >= KEYS
    assert {"per_layer", "overall"} <= set(result["sparsity"])
    assert {"per_layer", "overall"} <= set(result["gradient_sparsity"])
    assert {"paper_dense", "paper_sparse", "true_dense", "true_sparse"} == set(result["training_flops"])
    assert {"python", "sparcl-compile"} <= set(result["versions"])
    assert any(name.startswith("onnxruntime") for name in result["versions"])
    first, last = result["accuracy_matrix"]
    assert first[1] is None
    assert result["class_il"] == pytest.approx(sum(last) / 2)
    assert result["learning_accuracy"] == pytest.approx((first[0] + last[1]) / 2)
    assert result["backward_transfer"] == pytest.approx(last[0] - first[0]) == pytest.approx(-result["forgetting"])
    assert result["classes_by_task"] == [[0, 1, 2], [3, 4]]


def test_measured_sparsity_is_the_manifests_to_the_element(folder: Path) -> None:
    result, manifest = read_json(folder / "result.json"), read_manifest(folder / "cnn_bn.sparcl")
    state = load_file(folder / "cnn_bn.run" / "state.safetensors")
    assert manifest.weights
    for layer in manifest.weights:
        name = layer.weight
        assert np.count_nonzero(state[f"{name}.mask"]) == layer.base
        assert np.count_nonzero(state[name]) <= layer.base
        assert result["sparsity"]["per_layer"][name] == 1 - layer.base / layer.size
        moving = state[f"{name}.gradient_mask"]
        assert np.count_nonzero(moving) in (layer.updated, layer.base)
        assert result["gradient_sparsity"]["per_layer"][name] == 1 - np.count_nonzero(moving) / layer.size
    kept, size = sum(layer.base for layer in manifest.weights), sum(layer.size for layer in manifest.weights)
    assert result["sparsity"]["overall"] == 1 - kept / size


def test_samples_add_up(folder: Path) -> None:
    result = read_json(folder / "result.json")
    assert result["samples_removed"] == 0  # two epochs a task spare no sample
    assert result["samples_seen"] == 2 * (72 + 48)
    assert result["samples_seen"] == 8 * result["optimizer_steps"]


def test_no_terminal_no_control_characters(folder: Path, tmp_path: Path) -> None:
    args = [folder / "cnn_bn.sparcl", "--data", source(folder), *SMALL_RUN, "--checkpoint", tmp_path / "run"]
    outcome = spawn("run", *args)
    assert (outcome.code, outcome.err) == (0, "")
    assert all(char == "\n" or char.isprintable() for char in outcome.out)
    lines = outcome.out.splitlines()
    assert [line.partition(" loss")[0] for line in lines if " loss " in line] == [
        f"task {task}/2 epoch {epoch}/2" for task, epoch in itertools.product((1, 2), (1, 2))
    ]
    assert lines[2].startswith("after task 1/2: class-IL ")
    for part in ("Class-incremental accuracy", "weight sparsity, overall", "training FLOPs, paper sparse"):
        assert part in outcome.out


def watch(args: list[object], stop: bytes = b"\0", act: Any = None) -> tuple[int, str]:
    """Run in a pseudo terminal until it ends; at the first sight of ``stop`` call ``act`` with the process."""
    main, other = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "150"}
    # A worker of pytest-xdist ignores SIGINT, and hands that on.
    command = ["env", "--default-signal=INT", *command_line("run", *args)]
    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment) as run:
        os.close(other)
        seen, deadline = b"", time.monotonic() + 120
        while time.monotonic() < deadline:
            ready, _, _ = select.select([main], [], [], 1)
            try:
                seen += os.read(main, 65536) if ready else b""
            except OSError:  # the other end is closed
                break
            if act is not None and stop in seen:
                act(run)
                act = None
        run.wait(timeout=60)
    os.close(main)
    return run.returncode, seen.decode()


def test_the_live_display(folder: Path, tmp_path: Path) -> None:
    args = [folder / "cnn_bn.sparcl", "--data", source(folder), *SMALL_RUN, "--checkpoint", tmp_path / "run"]
    code, seen = watch([*args, "--epochs", "8"])
    assert code == 0
    assert "Traceback" not in seen
    for part in ("\x1b[", "task 2/2", "epoch 8/8", " loss ", " accuracy ", " sparsity ", "samples/s", "%", "Result"):
        assert part in seen, part
    assert seen.count("\x1b[?25l") == seen.count("\x1b[?25h"), "the cursor is shown again"


def test_ctrl_c_in_a_terminal(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    args = [folder / "cnn_bn.sparcl", "--data", source(folder), *SMALL_RUN, "--checkpoint", run]
    # The display shows what the last of its ten refreshes a second caught: a certain epoch need not be among them.
    code, seen = watch([*args, "--epochs", "4000"], b" loss ", lambda process: process.send_signal(signal.SIGINT))
    assert code == 130
    assert "Traceback" not in seen
    assert seen.count("error:") == 1  # in red, so that no blank follows
    assert "interrupted" in seen
    assert os.listdir(run) == ["state.safetensors"]
    outcome = call("run", *args, "--epochs", "3999", "--resume")
    check_refused(outcome, "epochs 4000")  # so the checkpoint is whole


# sparcl-inspect


def test_inspect_an_artifact(folder: Path) -> None:
    artifact = folder / "cnn_bn.sparcl"
    summary = done("inspect", artifact).out
    assert [line[0] for line in words(summary) if line and line[0] in PASSES] == list(PASSES)
    facts = json.loads(done("inspect", artifact, "--json").out)
    assert [trace["name"] for trace in facts["passes"]] == list(PASSES)
    text = done("inspect", artifact, "--after", "insert_weight_masks").out
    assert onnx.parser.parse_model(text).graph.node
    diff = done("inspect", artifact, "--diff", "import_forward", "insert_weight_masks").out
    assert "  Mul: 0 -> 1 (+1)" in diff.splitlines()


def test_inspect_json_stays_json_with_texts(folder: Path) -> None:
    args = ["--json", "--after", "emit", "--diff", "emit", "emit"]
    facts = json.loads(done("inspect", folder / "cnn_bn.sparcl", *args).out)
    assert facts["after"] == done("inspect", folder / "cnn_bn.sparcl", "--after", "emit").out
    assert facts["diff"].startswith("no difference")


def test_inspect_a_model(folder: Path) -> None:
    outcome = done("inspect", folder / "cnn_bn.onnx")
    assert "Compile it: sparcl-compile" in outcome.out
    assert json.loads(done("inspect", folder / "cnn_bn.onnx", "--json").out)["ops"]["Conv"] == 2
    check_refused(call("inspect", folder / "cnn_bn.onnx", "--after", "emit"), "--after", "not a compiled artifact")


@pytest.mark.parametrize("option", [(), ("--after", "emit"), ("--json",)])
def test_a_reader_that_stops_early(option: tuple[str, ...], folder: Path) -> None:
    with subprocess.Popen(
        command_line("inspect", folder / "cnn_bn.sparcl", *option),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(timeout=60)


@pytest.mark.parametrize("command", ["compile", "run", "inspect", "export"])
def test_help_and_version(command: str) -> None:
    assert "--help" in done(command, "--help").out
    assert "0.2.0" in done(command, "--version").out


def test_help_says_what_resuming_may_change() -> None:
    text = " ".join(done("run", "--help").out.split())
    assert (
        "All options must be as they were, but --lr, --threads, --json, --report, --beside, --log-dir and the place of "
        "the data may differ" in text
    )


# Names


@pytest.mark.parametrize(
    ("given", "made"),
    [("m.onnx", "m.sparcl"), ("v1.2", "v1.2.sparcl"), ("v1.2.onnx", "v1.2.sparcl"), (".onnx", ".sparcl")],
)
def test_the_artifact_lies_beside_the_model(given: str, made: str, tmp_path: Path) -> None:
    write_model(tmp_path).rename(tmp_path / given)
    done("compile", tmp_path / given)
    assert (tmp_path / made / "manifest.json").is_file()


def test_the_checkpoint_lies_beside_the_artifact(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done("compile", folder / "cnn_bn.onnx", "-o", tmp_path / "v1.2")
    done("run", tmp_path / "v1.2", "--data", source(folder), *SMALL_RUN)
    assert sorted(os.listdir(tmp_path)) == ["v1.2", "v1.2.run"]
    (tmp_path / "v1.2").rename(tmp_path / "b.sparcl")
    monkeypatch.chdir(tmp_path / "b.sparcl")
    done("run", ".", "--data", source(folder), *SMALL_RUN)
    assert sorted(os.listdir(tmp_path)) == ["b.run", "b.sparcl", "v1.2.run"]


def test_passes_are_checked_on_a_model_that_states_no_shapes(tmp_path: Path) -> None:
    """``fix_input`` runs before ``import_forward``, which states them."""
    path = write_model(tmp_path)
    proto = onnx.load(path)
    del proto.graph.value_info[:]
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    first = proto.graph.input[0].name
    for node in proto.graph.node:
        node.input[:] = ["x_float" if name == first else name for name in node.input]
    proto.graph.node.insert(0, onnx.helper.make_node("Cast", [first], ["x_float"], to=onnx.TensorProto.FLOAT))
    onnx.save(proto, path)
    outcome = done("compile", path, "--check-passes")
    assert "samples are fed as they are" in outcome.out + outcome.err
