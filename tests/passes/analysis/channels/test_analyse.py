"""Which channels can be removed, how they lie on the tensors, and what stops the rest."""

import time

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from models.export import COLOUR
from models.resnet import resnet18
from sparcl_compile.interface.channels import Segment, Stop
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels.analyse import RULES, analyse
from sparcl_compile.passes.analysis.channels.labels import QUIET, Cause, Ties
from sparcl_compile.passes.analysis.channels.segmentation import STAYS, lay_out
from sparcl_compile.passes.analysis.channels.spaces import Channels
from sparcl_compile.passes.core.layers import layer_weights
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.importing.differentiable import DIFFERENTIABLE
from tests.support.channels_check import GRAPHS, from_torch, graph
from tests.support.gradient_check import imported
from tests.support.zoo import CLASSES, IMAGE, ZOO, Net

Parts = list[tuple[str | None, int, int, int]]


def spaces(channels: Channels) -> dict[str, int]:
    return {space.name: space.size for space in channels.spaces}


def parts(channels: Channels, tensor: str, axis: int) -> Parts:
    """Space, outer, units and inner of each segment of an axis; empty for an axis that no space lies on."""
    segments = channels.axes.get(tensor, {}).get(axis, ())
    return [(one.space, one.outer, one.units, one.inner) for one in segments]


def members(channels: Channels, space: str) -> set[tuple[str, int]]:
    """The axes that a space lies on."""
    return {
        (tensor, axis)
        for tensor, axes in channels.axes.items()
        for axis, segments in axes.items()
        if any(one.space == space for one in segments)
    }


def stops(channels: Channels) -> set[tuple[str, str]]:
    """Operator and reason of each stop."""
    return {(stop.op_type or stop.node, stop.reason) for stop in channels.stops}


INPUT_AND_CLASSES = {("x", "the model's input"), ("Gemm", "the classes")}


def test_a_plain_network_has_a_space_a_layer() -> None:
    channels = analyse(imported(ZOO["cnn_bn"]()))
    assert spaces(channels) == {"stem.weight": 6, "body.weight": 8}
    vectors = {(f"bn1.{part}", 0) for part in ("scale", "bias", "mean", "var")}
    assert members(channels, "stem.weight") == {("stem.weight", 0), ("body.weight", 1), *vectors}
    assert parts(channels, "stem.weight", 0) == [("stem.weight", 1, 6, 1)]
    assert channels.produced == {"stem.weight": 0, "body.weight": 0, "fc.weight": 0}
    assert channels.size("body.weight") == 8
    assert channels.stops == (
        Stop("x", "", "the model's input", ("stem.weight",)),
        Stop(channels.stops[1].node, "Gemm", "the classes", ("fc.weight",)),
    )


def test_grown_units_start_with_neutral_factors() -> None:
    fills = analyse(imported(ZOO["cnn_bn"]())).fills
    assert fills == {
        f"bn{n}.{part}": float(part in ("scale", "var")) for n in (1, 2) for part in ("scale", "bias", "mean", "var")
    }
    assert analyse(imported(ZOO["instance_norm_symbolic"]())).fills == {"0.bias": 0.0, "1.weight": 1.0, "1.bias": 0.0}


def test_a_residual_stream_is_one_space_a_stage() -> None:
    channels = analyse(graph("resnet"))
    assert spaces(channels) == {
        "conv1.weight": 8,
        "stages.0.0.conv1.weight": 8,
        "stages.0.1.conv1.weight": 8,
        "stages.1.0.conv1.weight": 16,
        "stages.1.0.conv2.weight": 16,
        "stages.1.1.conv1.weight": 16,
    }
    layers = {(name, axis) for name, axis in members(channels, "stages.1.0.conv2.weight") if "bn" not in name}
    assert {(name, axis) for name, axis in layers if "shortcut.1" not in name} == {
        ("stages.1.0.conv2.weight", 0),
        ("stages.1.0.shortcut.0.weight", 0),
        ("stages.1.1.conv1.weight", 1),
        ("stages.1.1.conv2.weight", 0),
        ("classifier.weight", 1),
    }
    assert stops(channels) == INPUT_AND_CLASSES


def test_a_depthwise_convolution_goes_with_its_input() -> None:
    channels = analyse(imported(ZOO["mobilenet"]()))
    assert spaces(channels) == {"stem.weight": 4, "expand.weight": 8}
    assert ("project.weight", 0) in members(channels, "stem.weight")
    assert {("depthwise.weight", 0), ("project.weight", 1)} < members(channels, "expand.weight")
    assert parts(channels, "depthwise.weight", 1) == []
    assert stops(channels) == INPUT_AND_CLASSES
    assert spaces(analyse(graph("depthwise_cnn"))) == {"0.weight": 8}


def test_concatenations_lay_spaces_side_by_side() -> None:
    channels = analyse(graph("dense_block"))
    assert spaces(channels) == {"stem.weight": 4, "dense1.weight": 3, "dense2.weight": 3, "transition.weight": 5}
    everything: Parts = [("stem.weight", 1, 4, 1), ("dense1.weight", 1, 3, 1), ("dense2.weight", 1, 3, 1)]
    assert parts(channels, "transition.weight", 1) == everything
    assert parts(channels, "bn2.var", 0) == everything[:2]


def test_a_gate_goes_with_what_it_gates() -> None:
    channels = analyse(imported(ZOO["squeeze_excite_symbolic"]()))
    assert spaces(channels) == {"0.weight": 8, "2.parts.0.weight": 4}
    assert {("0.weight", 0), ("2.parts.0.weight", 1), ("2.parts.1.weight", 0), ("3.2.weight", 1)} < members(
        channels, "0.weight"
    )


def test_a_unit_of_a_grouped_convolution_is_a_group() -> None:
    channels = analyse(graph("grouped"))
    assert spaces(channels) == {"stem.weight": 4}
    assert parts(channels, "stem.weight", 0) == [("stem.weight", 1, 4, 2)]
    assert parts(channels, "grouped.weight", 0) == [("stem.weight", 1, 4, 3)]
    assert parts(channels, "grouped.weight", 1) == []


def test_shuffled_groups_are_followed() -> None:
    channels = analyse(imported(ZOO["shufflenet_symbolic"]()))
    assert len(channels.spaces) == 1
    assert [p[1:] for p in parts(channels, channels.spaces[0].name, 0)] == [(2, 2, 2)]
    assert [p[1:] for p in parts(channels, "4.weight", 0)] == [(1, 2, 4)]


@pytest.mark.parametrize(("name", "outer", "inner"), [("flattened", 1, 64), ("flattened_last", 64, 1)])
def test_flattened_positions_multiply_a_unit(name: str, outer: int, inner: int) -> None:
    assert parts(analyse(graph(name)), "fc.weight", 1) == [("stem.weight", outer, 4, inner)]


@pytest.mark.parametrize("name", ["gated", "gated_sizes"])
def test_halves_that_meet_are_one_space(name: str) -> None:
    channels = analyse(graph(name))
    assert parts(channels, "stem.weight", 0) == [("stem.weight", 2, 4, 1)]
    ((_, entries),) = channels.lengths.items()
    assert entries == {n: (Segment(0, "stem.weight", 4),) for n in (0, 1)}


def test_halves_that_part_are_two_spaces() -> None:
    channels = analyse(graph("uneven_split"))
    assert spaces(channels) == {"stem.weight": 3, "stem.weight.1": 5, "body.weight": 4}
    assert parts(channels, "fc.weight", 1) == [("stem.weight.1", 1, 5, 1), ("body.weight", 1, 4, 1)]


def test_channels_that_meet_padding_are_spaces_of_their_own() -> None:
    channels = analyse(graph("padded_shortcut"))
    assert parts(channels, "body.weight", 0) == [
        ("body.weight", 1, 2, 1), ("stem.weight", 1, 4, 1), ("body.weight.1", 1, 2, 1)
    ]  # fmt: skip
    assert [sorted(entries) for entries in channels.lengths.values()] == [[1, 5]]


def test_hidden_units_of_perceptrons() -> None:
    channels = analyse(imported(ZOO["mlp_matmul"]()))
    assert spaces(channels) == {"w1": 16}
    assert members(channels, "w1") == {("w1", 1), ("b1", 0), ("w2", 0)}
    assert channels.produced == {"w1": 1, "w2": 1}


def test_products_over_positions_and_weights_on_the_left() -> None:
    channels = analyse(graph("tokens_mixer"))
    assert spaces(channels) == {"stem.weight": 6, "mix1": 10, "left": 7}
    assert channels.produced["left"] == 0
    (positions,) = [stop for stop in channels.stops if stop.op_type == "Conv"]
    assert (positions.reason, positions.weights) == ("positions, not channels", ("mix1", "mix2"))


def test_heads_and_hidden_units_of_a_transformer() -> None:
    channels = analyse(graph("transformer"))
    assert spaces(channels) == {
        "blocks.0.attention.query.weight": 4,
        "blocks.0.mlp.0.weight": 32,
        "blocks.1.attention.query.weight": 4,
        "blocks.1.mlp.0.weight": 32,
    }
    head: Parts = [("blocks.0.attention.query.weight", 1, 4, 4)]
    assert all(parts(channels, f"blocks.0.attention.{n}.weight", 1) == head for n in ("query", "key", "value"))
    assert parts(channels, "blocks.0.attention.out.weight", 0) == head
    assert parts(channels, "blocks.0.attention.key.bias", 0) == head
    assert parts(channels, "blocks.0.attention.out.weight", 1) == []


def test_a_normalised_residual_stream_stays_and_the_node_is_named() -> None:
    (stop,) = [stop for stop in analyse(graph("transformer")).stops if stop.op_type == "LayerNormalization"]
    assert stop.node == "/blocks/blocks.0/norm1/LayerNormalization"
    assert stop.reason == "mixes all channels"
    assert stop.weights[0] == "patches.weight"
    assert {"blocks.0.attention.out.weight", "blocks.1.mlp.2.weight", "classifier.weight"} < set(stop.weights)


@pytest.mark.parametrize("name", ["token_transformer", "own_attention", "sequence_first"])
@pytest.mark.parametrize("form", ["fixed", "symbolic"])
def test_heads_of_a_fused_projection(name: str, form: str) -> None:
    model = imported(ZOO[f"{name}_{form}"]())
    channels = analyse(model)
    fused = [str(w.name) for w in layer_weights(model) if ir.Shape([8, 24]) == w.shape]
    assert fused
    for weight in fused:
        assert parts(channels, weight, 1) == [(weight, 3, 2, 4)]
    assert {stop.reason for stop in channels.stops} == {"the model's input", "mixes all channels", "the classes"}


def test_groups_that_are_normalised_together_are_a_unit() -> None:
    channels = analyse(imported(ZOO["group_norm_symbolic"]()))
    assert spaces(channels) == {"0.weight": 2, "3.weight": 4}
    assert parts(channels, "3.weight", 1) == [("0.weight", 1, 2, 4)]


def test_constants_that_are_alike_for_all_channels_are_cut_too() -> None:
    model = imported(ZOO["average_pools_symbolic"]())
    channels = analyse(model)
    state = {str(v.name) for role in (Role.PARAMETER, Role.RUNNING_STAT) for v in values_with_role(model, role)}
    kernels = channels.axes.keys() - state
    assert kernels
    assert all(list(channels.axes[name]) == [0] for name in kernels)
    assert not kernels & channels.fills.keys()


def test_dense_weights_stay_whole() -> None:
    channels = analyse(imported(ZOO["cnn_bn"]()), dense=("body.weight",))
    assert channels.spaces == ()
    assert channels.stops[0] == Stop("body.weight", "", "--dense", ("stem.weight", "body.weight", "fc.weight"))


def body(*steps: tuple[str, list[str], dict[str, object]]) -> ir.Model:
    """A convolution of four channels, some nodes (``last`` stands for the one before), and a head."""
    net = Net(IMAGE)
    stem = net.conv("stem", 3, 4)
    for op_type, inputs, attributes in steps:
        names = [{"last": net.last, "stem": stem}.get(name, name) for name in inputs]
        net.op(op_type, *names[1:], source=names[0], **attributes)
        net.nodes[-1].name = f"odd_{op_type}"
    net.array("permutation", [2, 0, 3, 1], np.int64)
    net.array("last_axes", [2, 3], np.int64)
    net.array("divisor", np.asarray([2.0, 3.0, 4.0, 5.0]).reshape(4, 1, 1))
    net.op("ReduceMean", net.ints("positions", 2, 3), keepdims=0)
    net.op("Gemm", net.weight("fc.weight", CLASSES, 4), net.weight("fc.bias", CLASSES), transB=1)
    return imported(net.model())


ODD: dict[str, tuple[list[tuple[str, list[str], dict[str, object]]], str]] = {
    "channels in another order": (
        [("Gather", ["last", "permutation"], {"axis": 1}), ("Add", ["last", "stem"], {})],
        "picks elements by their number",
    ),
    "an operator that nobody looked at": (
        [("ReduceL2", ["last", "last_axes"], {"keepdims": 1}), ("Add", ["last", "stem"], {})],
        "an operator without a rule",
    ),
    "a softmax over the channels": ([("Softmax", ["last"], {"axis": 1})], "mixes all channels"),
    "a division by a parameter": ([("Div", ["last", "divisor"], {})], "undefined at zero"),
    "an infinite slope at zero": ([("Relu", ["last"], {}), ("Sqrt", ["last"], {})], "undefined at zero"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_not_proven_stays_and_the_node_is_named(name: str) -> None:
    steps, reason = ODD[name]
    channels = analyse(body(*steps))
    assert channels.spaces == ()
    (stop,) = [stop for stop in channels.stops if stop.reason == reason]
    assert stop.node.startswith(f"odd_{stop.op_type}")
    assert stop.weights == ("stem.weight", "fc.weight")


def test_a_single_channel_is_no_space() -> None:
    net = Net(IMAGE)
    net.conv("stem", 3, 4)
    start = net.op("Relu")
    net.conv("attention", 4, 1)
    net.op("Sigmoid")
    net.op("Mul", start)
    channels = analyse(imported(net.head(4)))
    assert spaces(channels) == {"stem.weight": 4}
    assert parts(channels, "attention.weight", 1) == [("stem.weight", 1, 4, 1)]


def test_channels_that_are_added_to_positions_stay() -> None:
    net = Net(IMAGE)
    net.conv("stem", 3, 4)
    start = net.last
    net.op("Transpose", perm=[0, 2, 3, 1])
    net.op("Reshape", net.ints("turned", 0, 4, 8, 8))
    net.op("Add", start)
    channels = analyse(imported(net.head(4)))
    assert channels.spaces == ()
    assert ("Reshape", "splits it into parts of a unit") in stops(channels)


def test_one_unit_cannot_be_pruned_and_says_so() -> None:
    net = Net(IMAGE)
    net.conv("stem", 3, 4)
    first = net.op("Split", net.ints("sizes", 2, 2), outputs=2, axis=1)
    net.op("Concat", first, source=f"{first}_1", axis=1)
    net.conv("pairs", 4, 4, group=2)
    channels = analyse(imported(net.head(4)))
    assert {stop.reason for stop in channels.stops} >= {"all of it is one unit"}
    assert channels.spaces == ()


def test_an_irregular_axis_stays_and_the_rest_does_not() -> None:
    ties = Ties()
    one, other = ties.fresh(3), ties.fresh(2)
    components = ties.components()
    axes = [np.concatenate([one, other]), np.concatenate([one[[0, 2, 1]], other]), other]
    layout = lay_out(components, axes, [Cause("first", "Conv", ""), Cause("second", "Gather", ""), QUIET])
    assert layout.sizes == [2]
    assert layout.segments(components.of_label[axes[1]]) == [(STAYS, Segment(0, None, 3)), (0, Segment(3, None, 2))]
    assert components.causes_of(one) == [Cause("second", "Gather", "an irregular layout")]
    assert components.causes_of(other) == []


def test_segments_of_one_space_may_differ() -> None:
    ties = Ties()
    units = ties.fresh(3)
    components = ties.components()
    axis = np.concatenate([np.repeat(units, 2), units, units])
    layout = lay_out(components, [units, axis], [QUIET] * 2)
    assert layout.segments(components.of_label[axis]) == [
        (0, Segment(0, None, 3, outer=1, inner=2)),
        (0, Segment(6, None, 3, outer=2, inner=1)),
    ]


def test_every_operator_that_can_be_trained_has_a_rule() -> None:
    assert DIFFERENTIABLE - RULES.keys() == {"ReduceL2"}  # its slope at zero is undefined


@pytest.mark.parametrize("name", [*GRAPHS, *ZOO])
def test_segments_cover_axes_and_every_weight_is_accounted_for(name: str) -> None:
    model = graph(name) if name in GRAPHS else imported(ZOO[name]())
    before = ir.to_proto(model).SerializeToString()
    channels = analyse(model)
    assert ir.to_proto(model).SerializeToString() == before
    lengths = {name: list(value.shape or ()) for name, value in model.graph.initializers.items()}
    for tensor, axes in channels.axes.items():
        for axis, segments in axes.items():
            assert [one.start for one in segments] == list(np.cumsum([0, *(one.length for one in segments)])[:-1])
            assert sum(one.length for one in segments) == lengths[tensor][axis]
            assert all(one.space is None or one.units == channels.size(one.space) for one in segments)
    weights = {str(weight.name) for weight in layer_weights(model)}
    assert weights == channels.produced.keys()
    assert weights == (weights & channels.axes.keys()) | {weight for stop in channels.stops for weight in stop.weights}


def test_a_wide_resnet_is_analysed_at_once() -> None:
    model = imported(from_torch(lambda: resnet18(64, CLASSES)))
    started = time.process_time()
    channels = analyse(model)
    assert time.process_time() - started < 2.0
    assert len(channels.spaces) == 12


def test_the_helper_exports_the_graph_it_is_asked_for() -> None:
    proto: onnx.ModelProto = GRAPHS["resnet"]()
    assert [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim][1:] == list(COLOUR)
