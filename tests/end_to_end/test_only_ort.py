"""Models that the target ``ort`` alone can train, from the file to the last task."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import call, check_refused, done
from tests.support.zoo_ort import CLASSES, ONLY_ORT, only_ort

SHORT = ("--tasks", "2", "--batch-size", "8", "--threads", "1")

PACE = {
    "transposed": ("--epochs", "5", "--lr", "0.1"),
    "rnn": ("--epochs", "5", "--lr", "0.3"),
    "keywords": ("--epochs", "5", "--lr", "0.3"),
    "lstm_both_ways": ("--epochs", "10"),
}
"""Two layers take longer; a stack of convolutions without normalisation takes smaller steps; gated networks have a rate
of their own.
"""


def data(folder: Path, shape: tuple[int, ...]) -> Path:
    """Four classes with noise around a mean of their own."""
    random = np.random.default_rng(0)
    labels = np.arange(320) % CLASSES
    means, noise = random.normal(size=(CLASSES, *shape)), random.normal(size=(320, *shape))
    samples = (means[labels] + 0.5 * noise).astype(np.float32)
    parts = {"x_train": samples[:240], "y_train": labels[:240], "x_test": samples[240:], "y_test": labels[240:]}
    np.savez(folder / "data.npz", **parts)  # type: ignore[arg-type]
    return folder / "data.npz"


def model(folder: Path, name: str) -> Path:
    onnx.save(only_ort(name), folder / "model.onnx")
    return folder / "model.onnx"


@pytest.mark.parametrize("name", ONLY_ORT)
def test_it_learns_with_masks(name: str, tmp_path: Path) -> None:
    file = model(tmp_path, name)
    done("compile", file, "--target", "ort", "--sparsity", "0.5", "-o", tmp_path / "a.sparcl")
    given = data(tmp_path, ONLY_ORT[name][0])
    source = ("--data", f"npz:{given}", "--json", tmp_path / "result.json")
    done("run", tmp_path / "a.sparcl", *source, *SHORT, *PACE.get(name, ("--epochs", "5")))
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["class_il"] > 80.0


@pytest.mark.parametrize(("name", "rate"), [("lstm", 0.4), ("rnn", 0.1)])
def test_gated_networks_begin_with_a_rate_of_their_own(name: str, rate: float, tmp_path: Path) -> None:
    assert (
        compile_model(model(tmp_path, name), tmp_path / "a.sparcl", CompileOptions()).manifest.optimizer.learning_rate
        == rate
    )


@pytest.mark.parametrize("name", ["keywords", "transposed"])
def test_the_other_target_refuses_it_in_one_line_with_the_mend(name: str, tmp_path: Path) -> None:
    outcome = call("compile", model(tmp_path, name), "--target", "ort-training", "-o", tmp_path / "a.sparcl")
    check_refused(outcome, "give --target ort, which has")
    assert not (tmp_path / "a.sparcl").exists()


def test_a_learned_keyword_spotter_is_exported(tmp_path: Path) -> None:
    """The recurrent layer is still one operator for inference."""
    file = model(tmp_path, "keywords")
    done("compile", file, "--target", "ort", "--sparsity", "0.5", "-o", tmp_path / "a.sparcl")
    given = data(tmp_path, ONLY_ORT["keywords"][0])
    done("run", tmp_path / "a.sparcl", "--data", f"npz:{given}", *SHORT, "--epochs", "1")
    done("export", tmp_path / "a.sparcl", "-o", tmp_path / "learned.onnx")
    exported = onnx.load(tmp_path / "learned.onnx")
    assert [node.op_type for node in exported.graph.node].count("LSTM") == 1
