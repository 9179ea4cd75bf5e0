"""A file preserves the data that a graph carries beside its values."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.compiling.carried import CARRIED, decode, encode, take_metadata, with_metadata
from sparcl_compile.compiling.graph_file import read_graph, write_graph
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan, plan_of
from sparcl_compile.passes.core.marks import PLAN_KEY
from sparcl_compile.passes.lowering.choice.costs import Times
from sparcl_compile.passes.lowering.fold_channels import FoldChannels
from sparcl_compile.passes.lowering.select_kernels import Choice, SelectKernels, choices_of
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.channels_check import GRAPHS, graph
from tests.support.small_model import forward_model


def same(a: ChannelPlan | None, b: ChannelPlan | None) -> bool:
    """Whether two plans are equal, types of arrays included."""
    assert a is not None
    assert b is not None
    arrays = [[*plan.kept.values(), *plan.chosen.values()] for plan in (a, b)]
    return repr(a) == repr(b) and all(x.dtype == y.dtype == np.int64 for x, y in zip(*arrays, strict=True))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_plan_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    model = graph(name).clone()
    InsertWeightMasks(sparsity=0.3, scheme="channel")(model)
    write_graph(model, tmp_path / "masked.onnx")
    read = read_graph(tmp_path / "masked.onnx")
    assert same(plan_of(read), plan_of(model))
    folded = [FoldChannels()(one).model for one in (model, read)]
    assert ir.to_proto(folded[0]) == ir.to_proto(folded[1])
    assert same(plan_of(folded[0]), plan_of(folded[1]))


def test_choices_are_read_as_they_were_written(tmp_path: Path) -> None:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=0.5)(model)
    SelectKernels(measure=lambda work, batch: Times(1.0, 0.1))(model)
    write_graph(model, tmp_path / "chosen.onnx")
    read = read_graph(tmp_path / "chosen.onnx")
    assert choices_of(read) == choices_of(model)
    assert len(choices_of(read)) == 2
    assert not SelectKernels()(read).modified


def test_the_model_itself_stays_as_it_is() -> None:
    model = graph("resnet").clone()
    InsertWeightMasks(sparsity=0.3, scheme="channel")(model)
    copy = with_metadata(model)
    assert PLAN_KEY in copy.graph.metadata_props
    assert PLAN_KEY not in model.graph.metadata_props
    take_metadata(copy, "copy")
    assert PLAN_KEY not in copy.graph.metadata_props
    assert not with_metadata(forward_model()).graph.metadata_props


def test_times_that_were_not_measured_stay_so() -> None:
    one = Choice("w", "", Times(1.0, 2.0), None, 0.5)
    assert decode(tuple[Choice, ...], encode((one,))) == (one,)


@pytest.mark.parametrize("key", CARRIED)
@pytest.mark.parametrize("text", ["", "no JSON", "[", "3", "[1]", '{"channels": 3}', '[{"weight": "w"}]'])
def test_damaged_metadata_is_refused(key: str, text: str) -> None:
    model = forward_model()
    model.graph.metadata_props[key] = text
    with pytest.raises(ModelError, match=rf"^file: its metadata {key} is damaged; make the file again$"):
        take_metadata(model, "file")


def test_a_file_of_ours_states_all_shapes(tmp_path: Path) -> None:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=0.5)(model)
    write_graph(model, tmp_path / "masked.onnx")
    read_graph(tmp_path / "masked.onnx")
    middle = next(out for node in model.graph for out in node.outputs if out not in model.graph.outputs)
    middle.shape = None
    write_graph(model, tmp_path / "masked.onnx")
    with pytest.raises(ModelError, match=f"masked.onnx: the graph is damaged: {middle.name} states no shape and type"):
        read_graph(tmp_path / "masked.onnx")


def test_a_role_that_there_is_not(tmp_path: Path) -> None:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=0.5)(model)
    value = next(iter(model.graph.initializers.values()))
    value.metadata_props["sparcl.role"] = "logits"
    write_graph(model, tmp_path / "masked.onnx")
    with pytest.raises(
        ModelError, match=f"masked.onnx: the metadata sparcl.role of {value.name} are damaged; make the"
    ):
        read_graph(tmp_path / "masked.onnx")
