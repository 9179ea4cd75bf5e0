"""What a compilation does, counted: whole-model work is done a fixed number of times, all other work once a layer."""

import cProfile
import json
import pstats
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from benchmarks import compile_time
from benchmarks.compile_time import chain, main
from models.export import COLOUR, DIGIT, export
from models.resnet import ResNet
from sparcl_compile import compile_model


def written(module: nn.Module, sample: tuple[int, int, int], folder: Path) -> Path:
    torch.manual_seed(0)
    export(module, sample, folder / "model.onnx")
    return folder / "model.onnx"


def calls(module: nn.Module, sample: tuple[int, int, int], folder: Path) -> int:
    """How many functions a compilation calls, of Python and of C."""
    folder.mkdir()
    profile = cProfile.Profile()
    file = written(module, sample, folder)
    with profile:
        compile_model(file, output=folder / "model.sparcl")
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def blocks(number: int) -> nn.Module:
    return ResNet(4, 10, (number,))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("make", "sample", "layers"), [(chain, DIGIT, 30), (blocks, COLOUR, 4)])
def test_twice_the_layers_are_twice_the_calls(
    make: Callable[[int], nn.Module], sample: tuple[int, int, int], layers: int, tmp_path: Path
) -> None:
    calls(make(layers), sample, tmp_path / "first")  # what is made once a process
    one, two, three = (calls(make(n * layers), sample, tmp_path / str(n)) for n in (1, 2, 3))
    assert three - two == pytest.approx(two - one, rel=0.02)


def test_the_benchmark_runs_the_command_and_reads_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compile_time.MODELS, "chain-100", (lambda: chain(3), DIGIT))  # type: ignore[misc]
    output = tmp_path / "times.json"
    done = CliRunner().invoke(main, ["--only", "chain-100", "--repeats", "1", "-o", str(output)])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(output.read_text())
    assert (row["model"], row["parameters"]) == ("chain-100", 64 * 32 + 32 + 32 * 32 + 32 + 320 + 10)
    assert 0.0 < row["said_seconds"] <= row["seconds"] + 0.1
    assert "chain-100" in done.output
