"""Every pass leaves a whole graph, shapes included: what the compiler itself checks at the end of each part only."""

from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import pytest

from models.export import MODELS, build, export
from sparcl_compile.compiling import pipeline
from sparcl_compile.compiling.load import load_model
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.targets import work
from tests.support.zoo import ZOO


def checked(file: Path, folder: Path, **options: Any) -> pipeline.Compiled:
    return pipeline.run(load_model(file), CompileOptions(**options), folder, lambda *_: None, check_passes=True)


@pytest.mark.parametrize("name", ZOO)
def test_shapes_are_kept_up_from_pass_to_pass(name: str, tmp_path: Path) -> None:
    onnx.save(ZOO[name](), tmp_path / "m.onnx")
    checked(tmp_path / "m.onnx", tmp_path, gradient_sparsity=0.9)


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "channel": {"scheme": "channel", "gradient_sparsity": 0.9},
    "compress": {"compress": True, "select_kernels": False, "gradient_sparsity": 0.9},
    "fewer": {"update": "last:1", "gradient_scheme": "channel", "method": "finetune"},
    "fresh": {
        "classes": 5,
        "init": "fresh",
        "recompute": True,
        "optimizer": "adamw",
        "replay_batches": "merged",
        "gradient_sparsity": 0.9,
    },
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", ["depthwise_cnn", "transformer"])
def test_shapes_are_kept_up_under_other_options(name: str, options: str, tmp_path: Path) -> None:
    if options == "compress" and kernels.library() is None:
        pytest.skip(kernels.reason())
    export(build(name, width=8), MODELS[name][1], tmp_path / "m.onnx")
    checked(tmp_path / "m.onnx", tmp_path, **OPTIONS[options])


def test_a_copy_serves_until_a_pass_runs(tmp_path: Path) -> None:
    export(build("mlp"), MODELS["mlp"][1], tmp_path / "m.onnx")
    model = load_model(tmp_path / "m.onnx")
    runner = pipeline.Runner(model, lambda *_: None)
    runner(ImportForward())
    imported = runner.copy()
    nodes = len(imported.graph)
    assert runner.copy() is imported is not model
    runner(InsertWeightMasks())
    assert runner.copy() is not imported
    assert len(imported.graph) == nodes < len(runner.copy().graph)


class Careless(InsertWeightMasks):
    """A pass that forgets the shapes of what it makes."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Insert masks, then lose a shape."""
        result = super().call(model)
        next(iter(model.graph)).outputs[0].shape = None
        return result


def test_a_careless_pass_is_found_where_every_pass_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = work.make

    def make(one: type[Pass], given: work.Work) -> Pass:
        return Careless() if one is InsertWeightMasks else made(one, given)

    monkeypatch.setattr(work, "make", make)
    export(build("mlp", width=8), MODELS["mlp"][1], tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"after pass careless: .* states no shape and type"):
        checked(tmp_path / "m.onnx", tmp_path)
