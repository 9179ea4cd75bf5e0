"""Steps may write over the weights, and the check that says so finds a wait that is gone."""

import shutil
from pathlib import Path

import onnx
import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.settings.options import CompileOptions
from tests.parity import overwriting, written_over
from tests.parity.environments import installed
from tests.parity.rows import Row


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("overwriting")
    overwriting.artifacts(made)
    return made


@pytest.mark.parametrize("model", overwriting.MODELS)
def test_no_weight_moves_before_its_last_reader(model: str, folder: Path) -> None:
    assert list(written_over.differences(folder / f"{model}.sparcl")) == []


def without_waits(path: Path) -> int:
    """Let every view of a gradient have a constant shape, as an optimiser that sees through the wait would."""
    model = onnx.load(path)
    waiting = [node for node in model.graph.node if node.op_type == "Reshape" and ".is_read." in node.input[1]]
    for node in waiting:
        node.input[1] = f"{node.input[1].rpartition('.')[0]}.shape"
    onnx.save(model, path)
    return len(waiting)


@pytest.mark.parametrize("model", overwriting.MODELS)
def test_a_wait_that_is_gone_is_found(
    model: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = shutil.copytree(folder / f"{model}.sparcl", tmp_path / "changed.sparcl")
    sound = load(artifact)
    assert without_waits(sound.path("train")) > 0
    monkeypatch.setattr(written_over, "load", lambda _: sound)
    assert any(".weight.next differs by" in line for line in written_over.differences(artifact))


def test_an_artifact_that_would_show_nothing_is_refused(folder: Path) -> None:
    compile_model(folder / "mlp.onnx", folder / "apart.sparcl", CompileOptions(method="er"))
    with pytest.raises(ValueError, match="writes over no weight"):
        list(written_over.differences(folder / "apart.sparcl"))


def test_a_row_says_where_it_was_looked_at(folder: Path) -> None:
    row = overwriting.looked_at(Row("written over", "installed", ""), installed(), [folder / "mlp.sparcl"])
    assert (row.equal, row.graphs, row.bits, row.note, row.version) == (True, 1, 1, "", ort.__version__)
