"""A compilation does whole-model work a fixed number of times, and all other work once a layer."""

import cProfile
import dataclasses
import json
import pstats
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from benchmarks import compile_time
from benchmarks.compile_time import chain, main
from models.densenet import DenseNet
from models.export import COLOUR, DIGIT, export
from models.resnet import ResNet
from sparcl_compile import CompileOptions, compile_model
from sparcl_compile.compiling import compiler
from sparcl_compile.runtime.session import kernel_library as kernels


def written(module: nn.Module, sample: tuple[int, int, int], folder: Path) -> Path:
    torch.manual_seed(0)
    export(module, sample, folder / "model.onnx")
    return folder / "model.onnx"


@dataclasses.dataclass
class Work:
    """What is done to whole models: calls, the nodes that were inferred, the bytes of weights put into protos."""

    clones: int = 0
    checks: int = 0
    sessions: int = 0
    inferred: int = 0
    weights: int = 0


WEIGHT = 1000
"""Bytes of the smallest tensor that counts as a weight."""


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    counts = Work()

    def count(holder: Any, name: str, kind: str, amount: Callable[..., int]) -> None:
        original = getattr(holder, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            setattr(counts, kind, getattr(counts, kind) + amount(*args, **kwargs))
            return original(*args, **kwargs)

        monkeypatch.setattr(holder, name, wrapped)

    count(ir.Model, "clone", "clones", lambda *_, **__: 1)
    count(onnx.checker, "check_model", "checks", lambda *_, **__: 1)
    count(ort, "InferenceSession", "sessions", lambda *_, **__: 1)
    count(onnx.shape_inference, "infer_shapes", "inferred", lambda proto, **__: len(proto.graph.node))
    large = lambda _, from_: from_.nbytes if from_.nbytes >= WEIGHT else 0  # noqa: E731  # as short as the others
    count(ir.serde, "serialize_tensor_into", "weights", large)
    return counts


def weight_bytes(file: Path) -> int:
    sizes = (value.const_value.nbytes for value in ir.load(file).graph.initializers.values() if value.const_value)
    return sum(size for size in sizes if size >= WEIGHT)


CASES: list[tuple[dict[str, Any], int, int]] = [
    ({}, 7, 6),
    ({"scheme": "channel"}, 8, 7),
    ({"compress": True, "select_kernels": False}, 8, 7),
    ({"update": "last:1"}, 7, 7),
]
"""Options, and how often a model is cloned and checked.

Clones: the graph whose signal is measured; the masked forward graph, and that with folded channels or compressed
weights; the whole training graph, which becomes `measure`; `train` and `eval`; and the training graph at a batch size
twice, to order it and to tell its memory in the end.
Checks: of the file, and at the end of each phase that changed the graph; lowering does in all cases but the first.
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("options", "clones", "checks"), CASES)
def test_work_on_the_whole_model_is_done_a_fixed_number_of_times(
    options: dict[str, Any], clones: int, checks: int, work: Work, tmp_path: Path
) -> None:
    if "compress" in options and kernels.library() is None:
        pytest.skip(kernels.reason())
    file = written(DenseNet(8, 10, (2, 2)), COLOUR, tmp_path)
    work.weights = 0
    compile_model(file, CompileOptions(**options), output=tmp_path / "model.sparcl")
    # The sessions are the importer's, which compares the model before and after, and that which measures the signal.
    assert (work.clones, work.checks, work.sessions) == (clones, checks, 3)
    # The file's check, and the sessions before and after the import. To it come the places of compressed weights in
    # `eval`, or the frozen weights in `train`, `measure` and the session that measures the signal.
    assert 3.0 <= work.weights / weight_bytes(file) < 5.0
    # The profile of each graph asks for its types once, and gradients are nodes of their own.
    nodes = sum(len(ir.load(path).graph) for path in (tmp_path / "model.sparcl").rglob("*.onnx"))
    assert len(ir.load(file).graph) < work.inferred < 4 * nodes


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_check_of_every_pass_is_counted(work: Work, tmp_path: Path) -> None:
    file = written(DenseNet(8, 10, (2, 2)), COLOUR, tmp_path)
    compiler.compile_model(file, tmp_path / "model.sparcl", CompileOptions(), check_passes=True)
    assert work.checks > 10


def calls(module: nn.Module, sample: tuple[int, int, int], folder: Path) -> int:
    """The number of calls of functions, of Python and of C, that a compilation makes."""
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
