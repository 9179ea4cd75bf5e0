"""Values of a file that have names of ours get others, and the table of our names is whole."""

import re
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from sparcl_compile.api.compiling import compile_model
from sparcl_compile.compiling import pipeline
from sparcl_compile.compiling.load import load_model
from sparcl_compile.interface.artifact import Artifact
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.values import all_values
from sparcl_compile.passes.importing.naming import is_reserved
from sparcl_compile.settings.options import CompileOptions
from tests.support.gradient_check import imported
from tests.support.zoo import cnn_bn, mlp

VARIANTS: list[dict[str, object]] = [
    {},
    {"method": "er", "loss_classes": "task"},
    {"method": "finetune", "data_removal": 0.0},
    {"optimizer": "adamw", "recipe": "reference-code"},
    {"replay_batches": "merged", "momentum": 0.9, "recompute": True},
    {"scheme": "channel"},
    {"gradient_scheme": "channel", "update": "bias"},
    {"method": "finetune", "update": "bias"},  # limits that fall, in the backward pass
]


def renamed(proto: onnx.ModelProto, old: str, new: str) -> onnx.ModelProto:
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for tensor in proto.graph.initializer:
        tensor.name = new if tensor.name == old else tensor.name
    return proto


def names_of(graph: ir.Graph) -> set[str]:
    return {str(value.name) for value in all_values(graph) if value.name}


def made_names(options: CompileOptions, source: Path, folder: Path) -> set[str]:
    """The names that passes give to values, apart from those made from a value or node of the model."""
    values: set[str] = set()
    nodes: set[str] = set()
    made: set[str] = set()
    inlined: set[str] = set()  # the values of an optimizer's function, which get free names when it is inlined

    def after(one: Pass, model: ir.Model, _: bool) -> None:
        if one.name == "import_forward":
            values.update(names_of(model.graph))
            nodes.update(str(node.name) for node in model.graph)
        if one.phase is Phase.IMPORTING:
            return
        for function in model.functions.values():
            inlined.update(str(value.name) for node in function for value in (*node.inputs, *node.outputs) if value)
        made.update(names_of(model.graph) - values)

    pipeline.run(load_model(source), options, folder, after)
    roots = tuple(f"{name}{joint}" for name in values | nodes for joint in "._")
    numbered = {name for name in made if re.sub(r"(_\d+)+$", "", name) in {re.sub(r"(_\d+)+$", "", x) for x in inlined}}
    return {name for name in made - numbered if not name.startswith(roots)}


@pytest.mark.parametrize("options", VARIANTS)
def test_every_name_that_a_pass_gives_is_reserved(options: dict[str, object], tmp_path: Path) -> None:
    onnx.save(cnn_bn(), tmp_path / "model.onnx")
    made = made_names(CompileOptions(**options), tmp_path / "model.onnx", tmp_path)  # type: ignore[arg-type]
    assert "loss" in made
    assert sorted(name for name in made if not is_reserved(name)) == []


def learned(proto: onnx.ModelProto, folder: Path) -> Artifact:
    onnx.save(proto, folder / "model.onnx")
    return compile_model(folder / "model.onnx", CompileOptions(), folder / "model.sparcl")


@pytest.mark.parametrize("name", ["labels", "sample_keep", "class_mask", "loss", "learning_rate", "buffer.x", "w_grad"])
def test_a_value_and_a_weight_of_a_reserved_name_get_others(name: str, tmp_path: Path) -> None:
    for old in ("t0", "fc1.weight"):
        manifest = learned(renamed(mlp(), old, name), tmp_path).manifest
        weights = [one.weight for one in manifest.weights]
        assert weights == [f"{name}.weight" if old == "fc1.weight" else "fc1.weight"]


@pytest.mark.parametrize("name", ["relu", "filter.weight", "rows.weight", "channels.0.weight", "label", "my_loss"])
def test_other_names_stay(name: str) -> None:
    assert not is_reserved(name)
    assert name in imported(renamed(mlp(), "fc1.weight", name)).graph.initializers
