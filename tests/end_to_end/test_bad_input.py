"""Every mistake of a user gives one line with the place and the fix, code 2, and nothing half-written."""

import contextlib
import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sparcl_compile.interface.artifact import read_manifest, read_report, write
from sparcl_compile.runtime.reporting.progress import Reporter
from tests.support.cli import (
    ENVIRONMENT,
    SMALL_RUN,
    Outcome,
    arrays,
    call,
    check_refused,
    command_line,
    contents,
    done,
    read_json,
    spawn,
    write_artifact,
    write_data,
    write_model,
)
from tests.support.zoo import CLASSES, Net


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its artifact and data; tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("shared")
    write_artifact(folder)
    write_data(folder)
    return folder


@pytest.fixture
def model(shared: Path) -> Path:
    return shared / "cnn_bn.onnx"


@pytest.fixture
def artifact(shared: Path) -> Path:
    return shared / "cnn_bn.sparcl"


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact without a largest step, under which no rate diverges."""
    return write_artifact(tmp_path_factory.mktemp("unlimited"), "--step-limit", 0)


@pytest.fixture
def data(shared: Path) -> str:
    return f"npz:{shared / 'data.npz'}"


# Models


def no_onnx(path: Path) -> None:
    path.write_text("this is no model\n" * 20)


def binary_noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def empty(path: Path) -> None:
    path.touch()


def truncated(path: Path) -> None:
    write_model(path.parent).rename(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def directory(path: Path) -> None:
    path.mkdir()


def absent(path: Path) -> None:
    """Leave the path empty."""


def external_data_gone(path: Path) -> None:
    proto = onnx.load(write_model(path.parent))
    onnx.save(proto, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (path.parent / "weights.bin").unlink()


def two_unsupported(path: Path) -> None:
    net = Net(["batch", 3, 8, 8])
    net.conv("stem", 3, 4)
    net.nodes.append(onnx.helper.make_node("RandomNormalLike", [net.last], ["noise"], name="noise_node"))
    net.op("Add", "noise")
    net.nodes.append(onnx.helper.make_node("RandomUniformLike", [net.last], ["more"], name="more_noise"))
    net.op("Add", "more")
    onnx.save(net.head(4), path)


def two_without_gradient(path: Path) -> None:
    net = Net(["batch", 3, 8, 8])
    net.conv("stem", 3, 4)
    for name in ("first_odd", "second_odd"):
        net.nodes.append(onnx.helper.make_node("Hardmax", [net.last], [name], name=name, axis=1))
        net.last = name
    onnx.save(net.head(4), path)


def weightless(path: Path) -> None:
    net = Net(["batch", CLASSES, 4, 4])
    net.op("GlobalAveragePool")
    net.op("Flatten")
    onnx.save(net.model(), path)


def foreign_domain(path: Path) -> None:
    net = Net(["batch", 12])
    net.op("FancyOp", net.weight("w", 12, CLASSES), domain="com.example")
    onnx.save(net.model(), path)


MODELS: tuple[tuple[Callable[[Path], None], tuple[str, ...]], ...] = (
    (no_onnx, ("model.onnx", "not an ONNX model")),
    (binary_noise, ("model.onnx",)),
    (empty, ("model.onnx", "empty")),
    (truncated, ("model.onnx", "truncated")),
    (directory, ("model.onnx", "directory")),
    (absent, ("model.onnx", "does not exist")),
    (external_data_gone, ("model.onnx", "weights.bin", "external data")),
    (two_unsupported, ("RandomNormalLike", "noise_node", "RandomUniformLike", "more_noise")),
    (two_without_gradient, ("Hardmax", "first_odd", "second_odd")),
    (weightless, ("weight",)),
    (foreign_domain, ("com.example", "FancyOp")),
)


@pytest.mark.parametrize(("write", "parts"), MODELS, ids=[write.__name__ for write, _ in MODELS])
def test_a_model_that_cannot_be_compiled(write: Callable[[Path], None], parts: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(path)
    before = contents(tmp_path)
    outcome = call("compile", path)
    check_refused(outcome, *parts)
    assert outcome.out == ""
    assert contents(tmp_path) == before


@pytest.mark.parametrize("write", [no_onnx, empty, truncated, absent])
def test_a_model_that_cannot_be_inspected(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(path)
    check_refused(call("inspect", path), "model.onnx")


def test_a_refused_model_leaves_the_old_artifact(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path)
    truncated(tmp_path / "broken.onnx")
    before = contents(tmp_path)
    check_refused(call("compile", tmp_path / "broken.onnx", "-o", artifact), "broken.onnx")
    assert contents(tmp_path) == before


# Options


COMPILE_OPTIONS = (
    ("--sparsity", "1"), ("--sparsity", "-0.1"), ("--sparsity", "nan"), ("--sparsity", "inf"), ("--sparsity", "much"),
    ("--gradient-sparsity", "1"), ("--gradient-sparsity", "nan"), ("--data-removal", "1"), ("--data-removal", "-1"),
    ("--momentum", "1"), ("--momentum", "nan"), ("--weight-decay", "-1"), ("--weight-decay", "inf"),
    ("--classes", "1"), ("--classes", "-3"), ("--seed", "-1"), ("--seed", "4294967296"), ("--dense", "nothing*"),
    ("--recipe", "own"), ("--method", "gem"), ("--optimizer", "rmsprop"), ("--init", "zero"), ("--bogus", "1"),
    ("--distribution", "even"), ("--print-after", "attach_los"), ("--replay-batches", "both"),
)  # fmt: skip
RUN_OPTIONS = (
    ("--epochs", "0"), ("--epochs", "-1"), ("--tasks", "0"), ("--tasks", "6"), ("--batch-size", "0"),
    ("--buffer", "0"), ("--buffer", "100000000000000000"), ("--lr", "-0.1"), ("--lr", "0"), ("--lr", "nan"),
    ("--lr", "inf"), ("--lr", "fast"), ("--seed", "-1"), ("--class-order-seed", "-1"), ("--threads", "0"),
    ("--threads", "1000000"), ("--augment", "blur"), ("--normalise", "yes"), ("--bogus", "1"),
)  # fmt: skip


@pytest.mark.parametrize(("option", "value"), COMPILE_OPTIONS)
def test_an_option_of_compile(option: str, value: str, model: Path, shared: Path) -> None:
    before = contents(shared)
    check_refused(call("compile", model, option, value), option)
    assert contents(shared) == before


@pytest.mark.parametrize(("option", "value"), RUN_OPTIONS)
def test_an_option_of_run(option: str, value: str, artifact: Path, data: str, shared: Path) -> None:
    before = contents(shared)
    check_refused(call("run", artifact, "--data", data, *SMALL_RUN, option, value), option)
    assert contents(shared) == before


def test_a_momentum_that_adamw_does_not_have(model: Path) -> None:
    check_refused(call("compile", model, "--optimizer", "adamw", "--momentum", "0.9"), "--momentum", "adamw")


def test_more_classes_than_memory(model: Path, shared: Path) -> None:
    before = contents(shared)
    check_refused(call("compile", model, "--classes", "99999999999"), "memory")
    assert contents(shared) == before


@pytest.mark.parametrize("command", ["compile", "run", "inspect", "export"])
def test_a_missing_argument(command: str) -> None:
    check_refused(call(command), "Missing", f"sparcl-{command} --help")


def test_an_unknown_pass(artifact: Path, shared: Path) -> None:
    before = contents(shared)
    check_refused(call("compile", shared / "absent.onnx", "--print-after", "emti"), "--print-after emti", "mean emit")
    apart = ("--replay-batches", "separate")
    check_refused(
        call("compile", shared / "absent.onnx", *apart, "--print-after", "updating"), "--print-after updating", "emit"
    )
    check_refused(call("compile", shared / "absent.onnx", "--dump-after", "emit"), "--dump-after emit", "--dump-passes")
    dumps = ("--dump-passes", shared / "dumps", "--dump-after", "emti")
    check_refused(call("compile", shared / "absent.onnx", *dumps), "--dump-after emti", "mean emit")
    check_refused(call("inspect", artifact, "--after", "emti"), "--after emti", "mean emit")
    check_refused(call("inspect", artifact, "--diff", "emit", "emti"), "--diff emti", "mean emit")
    check_refused(call("inspect", artifact, "--diff", "emit"), "--diff")
    assert contents(shared) == before


# Places to write


def test_output_places(model: Path, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "manifest.json").write_text('{"name": "a web page"}')
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = contents(tmp_path), contents(shared)
    check_refused(call("compile", model, "-o", tmp_path / "file"), "-o", "file", "is a file")
    check_refused(call("compile", model, "-o", tmp_path / "full"), "-o", "holds something else")
    check_refused(call("compile", model, "-o", tmp_path / "link"), "-o", "link to nowhere")
    check_refused(call("compile", model, "-o", tmp_path / "file" / "x.sparcl"), "cannot be written")
    check_refused(call("compile", model, "-o", model), "is a file")
    check_refused(call("compile", model, "-o", shared), "would replace", model)
    check_refused(call("compile", model, "--dump-passes", tmp_path / "file"), "--dump-passes")
    check_refused(call("compile", model, "--dump-passes", tmp_path / "file" / "x"), "cannot be written")
    check_refused(
        call("compile", model, "-o", tmp_path / "a", "--dump-passes", tmp_path / "a" / "passes"), "would replace"
    )
    check_refused(call("compile", "/"), "is a directory")
    assert (contents(tmp_path), contents(shared)) == before


def test_places_of_a_run_are_checked_before_it(artifact: Path, data: str, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = contents(shared), contents(tmp_path)
    for option, place, part in (
        ("--json", tmp_path / "file" / "x.json", "cannot be written"),
        ("--json", tmp_path, "--json"),
        ("--json", artifact / "manifest.json", "inside"),
        ("--checkpoint", artifact, "artifact"),
        ("--checkpoint", artifact / "train", "inside"),
        ("--checkpoint", tmp_path / "file", "--checkpoint"),
        ("--checkpoint", tmp_path / "file" / "x", "cannot be written"),
    ):
        outcome = call("run", artifact, "--data", data, *SMALL_RUN, option, place)
        check_refused(outcome, part, place)
        assert outcome.out == ""
    assert (contents(shared), contents(tmp_path)) == before


def test_a_missing_folder_of_the_json_is_made(artifact: Path, data: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "result.json"
    done("run", artifact, "--data", data, *SMALL_RUN, "--checkpoint", tmp_path / "run", "--json", target)
    assert read_json(target)["seed"] == 0


# Data


def with_value(name: str, index: int, value: float) -> dict[str, np.ndarray]:
    array = arrays()[name]
    array = array.astype(np.float32 if name.startswith("x") else np.int64)
    array.reshape(-1)[index] = value
    x = {key: a.astype(np.float32) for key, a in arrays().items() if key.startswith("x") and name.startswith("x")}
    return {**x, name: array}


DATA: dict[str, tuple[dict[str, np.ndarray], tuple[str, ...]]] = {
    "NaN": (with_value("x_train", 77, np.nan), ("x_train", "NaN")),
    "infinity in the test set": (with_value("x_test", 3, np.inf), ("x_test", "infinite")),
    "negative label": (with_value("y_train", 2, -1), ("y_train[2]", "-1", "out of range")),
    "label beyond the others": (with_value("y_train", 2, 40), ("40",)),
    "label only in the test set": (with_value("y_test", 2, 5), ("5",)),
    "wrong shape": (arrays(shape=(3, 9, 8)), ("3x8x8", "3x9x8")),
    "wrong channels": (arrays(shape=(1, 8, 8)), ("3x8x8", "1x8x8")),
    "same size, other shape": (arrays(shape=(192,)), ("3x8x8", "192x1x1", "reshape")),
    "more classes than the head": (arrays(classes=7), ("7 classes", "--classes 7")),
    "labels as floats": ({"y_train": arrays()["y_train"].astype(np.float32)}, ("y_train", "integers")),
}


@pytest.mark.parametrize("case", DATA)
def test_data_that_do_not_fit(case: str, artifact: Path, shared: Path, tmp_path: Path) -> None:
    changed, parts = DATA[case]
    source = write_data(tmp_path, **changed)
    before = contents(shared), contents(tmp_path)
    outcome = call("run", artifact, "--data", source, *SMALL_RUN, "--checkpoint", tmp_path / "run")
    check_refused(outcome, source, *parts)
    assert outcome.out == ""
    assert (contents(shared), contents(tmp_path)) == before


def test_the_advice_of_more_classes_works(model: Path, tmp_path: Path) -> None:
    source = write_data(tmp_path, **arrays(classes=7))
    done("compile", model, "--classes", "7", "-o", tmp_path / "a.sparcl")
    done("run", tmp_path / "a.sparcl", "--data", source, *SMALL_RUN, "--epochs", "1")


@pytest.mark.parametrize("source", ["", "mnist", "npz", "npz:", "npz:/nowhere/x.npz", "idx:/nowhere", "npz:."])
def test_sources_that_are_not_there(source: str, artifact: Path) -> None:
    check_refused(call("run", artifact, "--data", source), "data source" if ":" not in source else source.rstrip(":"))


def test_not_an_artifact(data: str, model: Path, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent", model):
        check_refused(call("run", path, "--data", data), path, "sparcl-compile")
    check_refused(call("inspect", tmp_path), tmp_path, "sparcl-compile")


# A loss that is no number


def test_a_loss_that_is_no_number_at_once(unlimited: Path, data: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    outcome = call("run", unlimited, "--data", data, *SMALL_RUN, "--lr", "1e20", "--checkpoint", folder)
    check_refused(outcome, "task 1, epoch 1", "--lr", "no epoch was finished")
    assert os.listdir(folder) == ["state.safetensors"]


@pytest.mark.parametrize("rate", ["1e30", "1e39"])
def test_a_rate_that_steps_with_a_limit_do_not_depend_on(artifact: Path, data: str, tmp_path: Path, rate: str) -> None:
    outcome = call("run", artifact, "--data", data, *SMALL_RUN, "--lr", rate, "--checkpoint", tmp_path / "run")
    check_refused(outcome, f"--lr {float(rate)}: steps have a limit, 0.2,", "give at most 16777216")
    assert os.listdir(tmp_path) == []


def test_a_rate_far_from_the_artifact_s_own_is_said(artifact: Path, data: str, tmp_path: Path) -> None:
    told = done("run", artifact, "--data", data, *SMALL_RUN, "--lr", "5000", "--checkpoint", tmp_path / "run")
    assert "note: learning rate 5000 is 10000 times the artifact's own, 0.5: most steps will be" in told.out
    told = done("run", artifact, "--data", data, *SMALL_RUN, "--checkpoint", tmp_path / "own")
    assert "learning rate" not in told.out


def interrupt_at(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Ctrl-C at the end of the n-th epoch, before its checkpoint; the run after that is left alone."""
    end_epoch, ended = Reporter.end_epoch, []

    def interrupted(*args: Any) -> None:
        end_epoch(*args)
        ended.append(None)
        if len(ended) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(Reporter, "end_epoch", interrupted)


def test_the_last_good_epoch_is_kept_and_goes_on_with_another_rate(
    unlimited: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "result.json"
    run = ["run", unlimited, "--data", data, *SMALL_RUN, "--checkpoint", tmp_path / "run", "--json", target]
    interrupt_at(monkeypatch, 2)
    check_refused(call(*run), "interrupted", tmp_path / "run", "--resume", code=130)
    good = contents(tmp_path)
    assert list(good) == ["run", "run/state.safetensors"]
    check_refused(call(*run, "--resume", "--lr", "1e20"), "task 1, epoch 2", "1e+20", "after 1 good", "--resume")
    assert contents(tmp_path) == good
    resumed = done(*run, "--resume", "--lr", "0.01")
    assert "resuming after 1 of 4 epochs with learning rate 0.01" in resumed.out
    result = read_json(target)
    assert result["learning_rates"] == [
        {"after_epochs": 0, "learning_rate": read_manifest(unlimited).optimizer.rate_for(2)},
        {"after_epochs": 1, "learning_rate": 0.01},
    ]
    assert result["config"]["learning_rate"] == 0.01
    assert "too late" not in done(*run, "--resume", "--lr", "0.01").out
    told = "note: learning rate 0.02 comes too late, all epochs of the run are done"
    assert told in done(*run, "--resume", "--lr", "0.02").out
    again = read_json(target)
    assert (again["learning_rates"], again["config"]) == (result["learning_rates"], result["config"])


def test_an_epoch_that_ends_in_infinite_weights_is_not_kept(unlimited: Path, data: str, tmp_path: Path) -> None:
    """The last step of an epoch shows in no loss of that epoch."""
    one_step = ("--batch-size", "1000", "--epochs", "1", "--lr", "1e39")
    outcome = call("run", unlimited, "--data", data, *SMALL_RUN, *one_step, "--checkpoint", tmp_path / "run")
    check_refused(outcome, "no longer finite", "task 1, epoch 1", "--lr", "no epoch was finished")


# Resuming


def test_nothing_to_resume(artifact: Path, data: str, tmp_path: Path) -> None:
    outcome = call("run", artifact, "--data", data, *SMALL_RUN, "--checkpoint", tmp_path / "run", "--resume")
    check_refused(outcome, tmp_path / "run", "no checkpoint", "--resume")
    assert os.listdir(tmp_path) == []


def test_resuming_another_run(artifact: Path, model: Path, data: str, tmp_path: Path) -> None:
    run = ["run", artifact, "--data", data, *SMALL_RUN, "--checkpoint", tmp_path / "run"]
    done(*run)
    done("compile", model, "--sparsity", "0.5", "-o", tmp_path / "other.sparcl")
    other_data = write_data(tmp_path, **arrays(count=25))
    before = contents(tmp_path)
    for changed in (["--seed", "1"], ["--epochs", "3"], ["--tasks", "3"], ["--buffer", "9"], ["--batch-size", "4"]):
        check_refused(call(*run, "--resume", *changed), "state.safetensors", "belongs to a run", changed[1])
    check_refused(call(*run, "--resume", "--data", other_data), "belongs to a run with --data", other_data)
    other = call("run", tmp_path / "other.sparcl", *run[2:], "--resume")
    check_refused(other, "belongs to a run of another artifact", "give the artifact that was run")
    assert contents(tmp_path) == before
    done(*run, "--resume")


def test_resuming_with_data_that_lie_elsewhere_now(artifact: Path, data: str, tmp_path: Path) -> None:
    run = ["run", artifact, *SMALL_RUN, "--checkpoint", tmp_path / "run"]
    done(*run, "--data", data)
    moved = shutil.copy(data.removeprefix("npz:"), tmp_path / "moved.npz")
    done(*run, "--resume", "--data", f"npz:{moved}")


def test_resuming_with_data_that_have_changed(artifact: Path, tmp_path: Path) -> None:
    """A checksum says nothing to a user: the data are named, also with braces in their name."""
    (tmp_path / "{0}").mkdir()
    data = write_data(tmp_path / "{0}")
    run = ["run", artifact, "--data", data, *SMALL_RUN, "--checkpoint", tmp_path / "run"]
    done(*run)
    write_data(tmp_path / "{0}", **arrays(count=25))
    check_refused(call(*run, "--resume"), f"began with other samples: {data} has changed since; give it as it was")
    check_refused(call(*run, "--resume", "--seed", "1"), "a run with --seed 0, this one has 1")


def test_compiling_again_is_the_same_run(model: Path, data: str, tmp_path: Path) -> None:
    run = ["run", tmp_path / "a.sparcl", "--data", data, *SMALL_RUN]
    done("compile", model, "-o", tmp_path / "a.sparcl")
    done(*run)
    done("compile", model, "-o", tmp_path / "a.sparcl")
    done(*run, "--resume")


# A full disk


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond a size; Python ignores SIGXFSZ, so that writing fails with EFBIG."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("size", [100, 6_000, 15_000])
def test_a_full_disk_while_the_artifact_is_written(size: int, model: Path, tmp_path: Path) -> None:
    done("compile", model, "-o", tmp_path / "old.sparcl")
    before = contents(tmp_path)
    for name in ("old.sparcl", "new.sparcl"):
        with largest_file(size):
            outcome = call("compile", model, "-o", tmp_path / name)
        check_refused(outcome, tmp_path / name, "File too large", "nothing was changed")
    assert contents(tmp_path) == before


def test_a_full_disk_while_the_state_is_written(tmp_path: Path) -> None:
    """The state file, which a library writes, is the only one beyond the limit."""
    net = Net(["batch", 3, 8, 8])
    net.conv("stem", 3, 64)
    net.conv("body", 64, 128)
    onnx.save(net.head(128), tmp_path / "wide.onnx")
    done("compile", tmp_path / "wide.onnx")
    sizes = sorted(path.stat().st_size for path in (tmp_path / "wide.sparcl").rglob("*"))
    assert sizes[-1] == (tmp_path / "wide.sparcl" / "state.safetensors").stat().st_size
    before = contents(tmp_path)
    with largest_file((sizes[-1] + sizes[-2]) // 2):
        outcome = call("compile", tmp_path / "wide.onnx")
    check_refused(outcome, "wide.sparcl", "File too large")
    assert contents(tmp_path) == before


def test_a_full_disk_while_a_checkpoint_is_written(artifact: Path, data: str, tmp_path: Path) -> None:
    run = ["--data", data, *SMALL_RUN, "--checkpoint", tmp_path / "run", "--json", tmp_path / "result.json"]
    done("run", artifact, *run, "--seed", "1")
    before = contents(tmp_path)
    with largest_file(3_000):
        outcome = call("run", artifact, *run, "--seed", "2")
    check_refused(outcome, "state.safetensors", "File too large", "nothing was changed")
    assert contents(tmp_path) == before
    done("run", artifact, *run, "--seed", "2")
    after = contents(tmp_path)
    assert after["run/state.previous.safetensors"] == before["run/state.safetensors"]


def test_a_full_disk_while_the_result_is_written(
    artifact: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "result.json"
    target.write_text("{}")
    write_text = Path.write_text

    def full(path: Path, text: str, **settings: str) -> int:
        if "result.json" not in path.name:
            return write_text(path, text, **settings)
        write_text(path, text[:10], **settings)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    outcome = call("run", artifact, "--data", data, *SMALL_RUN, "--checkpoint", tmp_path / "run", "--json", target)
    check_refused(outcome, target, "No space left on device")
    assert sorted(os.listdir(tmp_path)) == ["result.json", "run"]
    assert target.read_text() == "{}"


# Installation

BLOCK = """
import sys
sys.modules["onnxruntime"] = None
sys.argv = {argv!r}
from sparcl_compile.cli import {command}_command
{command}_command()
"""


@pytest.mark.parametrize("command", ["compile", "run", "export"])
def test_no_onnx_runtime(command: str, shared: Path, data: str) -> None:
    artifact = shared / "cnn_bn.sparcl"
    given = {
        "compile": [shared / "cnn_bn.onnx"],
        "run": [artifact, "--data", data],
        "export": [artifact, "--initial"],
    }[command]
    code = BLOCK.format(argv=[f"sparcl-{command}", *map(str, given)], command=command)
    before = contents(shared)
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=120
    )
    refused = Outcome(found.returncode, found.stdout, found.stderr)
    check_refused(refused, "onnxruntime cannot be loaded", "pip install --force-reinstall onnxruntime")
    assert contents(shared) == before


def test_onnx_runtime_without_training(
    model: Path, artifact: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An artifact of the training build's target, where the stock package is."""
    monkeypatch.setitem(sys.modules, "onnxruntime.training", None)
    made = tmp_path / "for_training.sparcl"
    shutil.copytree(artifact, made)
    manifest = read_manifest(made)
    report = read_report(made)
    for name in ("manifest.json", "manifest.sha256", "report.json"):
        (made / name).unlink()
    write(made, dataclasses.replace(manifest, target="ort-training"), report)
    before = contents(tmp_path)
    mend = "pip install onnxruntime-training-cpu==1.19.2"
    refused = call("compile", model, "--target", "ort-training", "-o", tmp_path / "a.sparcl")
    check_refused(refused, "needs ONNX Runtime's training build", "give --target ort,", mend)
    refused = call("run", made, "--data", data, *SMALL_RUN)
    check_refused(refused, made, "needs ONNX Runtime's training build", "again with --target ort,", mend)
    assert contents(tmp_path) == before


def test_the_installed_commands_refuse_alike(tmp_path: Path) -> None:
    truncated(tmp_path / "model.onnx")
    before = contents(tmp_path)
    for command, args in (("compile", []), ("run", ["--data", "digits"]), ("inspect", []), ("export", [])):
        check_refused(spawn(command, tmp_path / "model.onnx", *args), tmp_path / "model.onnx")
    assert contents(tmp_path) == before


def test_a_bug_keeps_its_traceback(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(json, "dumps", broken)
    with pytest.raises(ZeroDivisionError):
        call("inspect", artifact, "--json")


def test_command_line_names_the_installed_scripts() -> None:
    assert all(Path(command_line(name)[0]).is_file() for name in ("compile", "run", "inspect", "export"))
