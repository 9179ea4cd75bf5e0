"""A model without some units answers as the whole one with their elements at zero."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.passes.analysis.channels.analyse import analyse
from sparcl_compile.passes.core.marks import ROLE_KEY
from sparcl_compile.passes.lowering.shrink_channels import shrink
from tests.support.channels_check import GRAPHS, array, assert_close, assert_exact, graph, outputs, random_keep, shrunk
from tests.support.gradient_check import imported
from tests.support.zoo import ZOO


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("seed", [0, 1])
def test_real_architectures_are_shrunk_exactly(name: str, seed: int) -> None:
    channels = analyse(graph(name))
    assert_exact(graph(name), channels, random_keep(channels, np.random.default_rng(seed)))


@pytest.mark.parametrize("name", ZOO)
def test_every_form_that_exporters_write_is_shrunk_exactly(name: str) -> None:
    model = imported(ZOO[name]())
    channels = analyse(model)
    assert_exact(model, channels, random_keep(channels, np.random.default_rng(0)), changes=bool(channels.spaces))


def test_a_lone_unit_of_every_space_is_enough() -> None:
    for name in ("resnet", "transformer", "dense_block", "grouped", "gated"):
        channels = analyse(graph(name))
        assert_exact(graph(name), channels, {space.name: np.asarray([space.size - 1]) for space in channels.spaces})


def test_keeping_everything_changes_nothing() -> None:
    model = graph("gated")
    channels = analyse(model)
    same = shrunk(model, channels, {space.name: np.arange(space.size) for space in channels.spaces})
    for name, wanted in outputs(model).items():
        assert_close(outputs(same)[name], wanted)
    text = ir.to_onnx_text(model, exclude_initializers=True)
    assert ir.to_onnx_text(shrunk(model, channels, {}), exclude_initializers=True) == text


def test_tensors_keep_their_names_roles_and_metadata() -> None:
    model = graph("resnet")
    channels = analyse(model)
    small = shrunk(model, channels, {"conv1.weight": np.asarray([1, 5])})
    before, after = model.graph.initializers, small.graph.initializers
    assert set(before) == set(after)
    assert all(before[name].metadata_props == after[name].metadata_props for name in before)
    assert ROLE_KEY in after["conv1.weight"].metadata_props
    np.testing.assert_array_equal(array(small, "conv1.weight"), array(model, "conv1.weight")[[1, 5]])
    np.testing.assert_array_equal(
        array(small, "stages.1.0.shortcut.0.weight"), array(model, "stages.1.0.shortcut.0.weight")[:, [1, 5]]
    )
    assert after["bn1.running_mean"].shape == ir.Shape([2])


def test_groups_lengths_and_shapes_follow() -> None:
    small = shrunk(graph("grouped"), analyse(graph("grouped")), {"stem.weight": np.asarray([0, 2, 3])})
    (conv,) = [node for node in small.graph if node.op_type == "Conv" and "group" in node.attributes][1:]
    assert conv.attributes["group"].as_int() == 3
    assert conv.outputs[0].shape == ir.Shape(["N", 9, 8, 8])
    heads = shrunk(graph("transformer"), analyse(graph("transformer")), {"blocks.0.attention.query.weight": [1, 2]})
    (scores,) = [node for node in heads.graph if node.op_type == "Softmax"][:1]
    assert scores.outputs[0].shape == ir.Shape(["N", 2, 64, 64])


def test_a_constant_that_two_nodes_share_is_mended_for_one() -> None:
    model = graph("transformer").clone()
    reshapes = [node for node in model.graph if node.op_type == "Reshape" and "blocks" in str(node.name)]
    first, second = (next(n for n in reshapes if f"blocks.{i}" in str(n.name)) for i in (0, 1))
    second.replace_input_with(1, first.inputs[1])
    channels = analyse(model)
    assert_exact(model, channels, {**random_keep(channels, np.random.default_rng(0))})
    shrink(model, channels, {"blocks.0.attention.query.weight": np.asarray([0])})
    assert [array(model, str(node.inputs[1].name))[2] for node in (first, second)] == [1, 4]  # type: ignore[union-attr]


@pytest.mark.parametrize("units", [[], [2, 1], [1, 1], [-1, 0], [0, 6]])
def test_impossible_units_are_refused_and_nothing_is_changed(units: list[int]) -> None:
    model = imported(ZOO["cnn_bn"]())
    before = ir.to_proto(model).SerializeToString()
    with pytest.raises(ValueError, match=r"space stem\.weight: keep ascending units from 0 to 5, at least one"):
        shrink(model, analyse(model), {"stem.weight": np.asarray(units, np.int64)})
    assert ir.to_proto(model).SerializeToString() == before


def test_an_unknown_space_is_refused_with_those_there_are() -> None:
    model = imported(ZOO["cnn_bn"]())
    with pytest.raises(ValueError, match=r"no space is called body; there are: stem\.weight, body\.weight"):
        shrink(model, analyse(model), {"body": np.asarray([0])})
