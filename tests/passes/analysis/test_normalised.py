"""Models whose hidden layers are normalised, and others."""

from collections.abc import Callable

import onnx_ir as ir
import pytest

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.normalised import hidden_layers, hidden_layers_are_normalised
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from sparcl_compile.passes.sparsifying.raise_signal import RaiseSignal
from tests.support.deep import as_file, deep
from tests.support.gradient_check import imported
from tests.support.zoo import CLASSES, ZOO, Net
from tests.support.zoo_ort import only_ort


@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        ("cnn_bn", True),
        ("resnet", True),
        ("mobilenet", True),
        ("mlp", False),
        ("mlp_matmul", False),
        ("token_transformer_fixed", False),
    ],
)
@pytest.mark.parametrize("scheme", ["none", "unstructured", "channel"])
def test_the_zoo(name: str, normalised: bool, scheme: str) -> None:
    model = imported(ZOO[name]())
    if scheme != "none":
        InsertWeightMasks(sparsity=0.5, scheme=scheme)(model)
    assert hidden_layers_are_normalised(model.graph) == normalised


@pytest.mark.parametrize(
    ("name", "kind"),
    [("lstm", "gated"), ("lstm_both_ways", "gated"), ("gru", "gated"), ("rnn", "other"), ("keywords", "other")],
)
@pytest.mark.parametrize("masked", [False, True])
def test_networks_with_gates(name: str, kind: str, masked: bool) -> None:
    model = imported(only_ort(name))
    if masked:
        InsertWeightMasks(sparsity=0.5)(model)
    assert hidden_layers(model.graph) == kind


@pytest.mark.parametrize(("name", "kind"), [("cnn_bn", "normalised"), ("mlp", "other"), ("conv_head", "other")])
def test_networks_without_gates(name: str, kind: str) -> None:
    assert hidden_layers(imported(ZOO[name]()).graph) == kind


@pytest.mark.parametrize("masked", [False, True])
def test_networks_whose_weights_were_raised(masked: bool) -> None:
    model = imported(as_file(deep()))
    assert hidden_layers(model.graph) == "other"
    RaiseSignal()(model)
    if masked:
        InsertWeightMasks(sparsity=0.5)(model)
    assert hidden_layers(model.graph) == "raised"


def test_a_convolution_beside_a_gate_has_to_be_normalised() -> None:
    model = imported(only_ort("keywords"))
    convolution = next(node for node in model.graph if node.op_type == "Conv")
    readers = list(convolution.outputs[0].uses())
    normalisation = ir.node("LayerNormalization", [convolution.outputs[0]])
    model.graph.insert_after(convolution, normalisation)
    assert hidden_layers(model.graph) == "other"
    for reader in readers:
        reader.node.replace_input_with(reader.idx, normalisation.outputs[0])
    assert hidden_layers(model.graph) == "gated"


def test_a_convolution_beside_a_gate_that_does_not_train_decides_nothing() -> None:
    model = imported(only_ort("keywords"))
    convolution = next(node for node in model.graph if node.op_type == "Conv")
    for value in convolution.inputs[1:]:
        assert value is not None
        set_role(value, Role.FROZEN)
    assert hidden_layers(model.graph) == "gated"


def test_one_layer_without_a_normalisation_decides() -> None:
    net = Net(["batch", 3, 8, 8])
    net.op("Conv", net.weight("w", 4, 3, 3, 3))
    net.op("Relu")
    net.op("GlobalAveragePool")
    net.op("Flatten")
    net.op("Gemm", net.weight("head", 4, CLASSES))
    assert not hidden_layers_are_normalised(imported(net.model()).graph)


@pytest.mark.parametrize(
    ("op_type", "arrays", "attributes"),
    [
        ("InstanceNormalization", 4, {}),
        ("GroupNormalization", 2, {"num_groups": 2}),
        ("LayerNormalization", 0, {"axis": 1}),
        ("RMSNormalization", 0, {"axis": 1}),
    ],
)
def test_a_normalisation_of_samples_counts_however_the_import_writes_it(
    op_type: str, arrays: int, attributes: dict[str, int]
) -> None:
    net = Net(["batch", 3, 8, 8], opset=23 if op_type == "RMSNormalization" else 18)
    net.op("Conv", net.weight("w", 4, 3, 3, 3))
    length = (arrays,) if arrays else (4, 6, 6)
    shift = [] if op_type == "RMSNormalization" else [net.weight("shift", *length)]
    net.op(op_type, net.weight("scale", *length), *shift, **attributes)
    net.op("Relu")
    net.op("GlobalAveragePool")
    net.op("Flatten")
    net.op("Gemm", net.weight("head", 4, CLASSES))
    assert hidden_layers_are_normalised(imported(net.model()).graph)


def test_a_mean_that_is_taken_away_is_no_normalisation() -> None:
    net = Net(["batch", 6])
    hidden = net.op("Gemm", net.weight("w", 6, 6))
    mean = net.op("ReduceMean", net.ints("axes", 1))
    net.op("Sub", mean, source=hidden)
    net.op("Relu")
    net.op("Gemm", net.weight("head", 6, CLASSES))
    assert not hidden_layers_are_normalised(imported(net.model()).graph)


@pytest.mark.parametrize(("last", "kind"), [("normalised", "normalised"), ("bare", "other")])
def test_a_frozen_head_is_the_head_all_the_same(last: str, kind: str) -> None:
    """The last layer that trains is a hidden one then."""
    net = Net(["batch", 3, 8, 8])
    net.conv("stem", 3, 4)
    net.bn("bn", 4)
    net.op("Relu")
    net.conv("body", 4, 4)
    if last == "normalised":
        net.bn("body_bn", 4)
    net.op("Relu")
    model = imported(net.head(4))
    FreezeParameters(freeze=("fc*",))(model)
    assert hidden_layers(model.graph) == kind


@pytest.mark.parametrize("attributes", [{}, {"training_mode": 0}], ids=str)
def test_fixed_statistics_normalise_nothing(attributes: dict[str, int]) -> None:
    model = imported(ZOO["cnn_bn"]())
    FreezeParameters(freeze=("bn*",))(model)
    for node in (node for node in model.graph if node.op_type == "BatchNormalization"):
        node.attributes.update({name: ir.AttrInt64(name, value) for name, value in attributes.items()})
    assert hidden_layers(model.graph) == "other"


def test_what_is_frozen_does_not_count() -> None:
    model = imported(ZOO["cnn_bn"]())
    FreezeParameters(freeze=("stem*", "body*", "bn*"))(model)
    assert not hidden_layers_are_normalised(model.graph)


def test_a_model_of_one_layer_is_of_no_kind_of_its_own() -> None:
    net = Net(["batch", 6])
    net.op("Gemm", net.weight("only", 6, CLASSES))
    assert hidden_layers(imported(net.model()).graph) == "other"


def test_an_output_may_go_to_its_normalisation_by_another_name() -> None:
    model = imported(ZOO["cnn_bn"]())
    for convolution in [node for node in model.graph if node.op_type == "Conv"]:
        (reader,) = list(convolution.outputs[0].uses())
        named = ir.node("Identity", [convolution.outputs[0]])
        model.graph.insert_after(convolution, named)
        reader.node.replace_input_with(reader.idx, named.outputs[0])
    assert hidden_layers(model.graph) == "normalised"


def unrooted(net: Net, hidden: str) -> None:
    """x / mean(x^2) without its root."""
    square = net.op("Mul", hidden, source=hidden)
    net.op("Div", net.op("ReduceMean", net.ints("axes", 1), source=square), source=hidden)


def rooted(net: Net, hidden: str) -> None:
    """RMSNormalization in single operators."""
    square = net.op("Mul", hidden, source=hidden)
    net.op("Div", net.op("Sqrt", source=net.op("ReduceMean", net.ints("axes", 1), source=square)), source=hidden)


def centred(net: Net, hidden: str) -> None:
    """LayerNormalization in single operators, without its shift."""
    mean = net.op("ReduceMean", net.ints("mean_axes", 1), source=hidden)
    rooted(net, net.op("Sub", mean, source=hidden))


@pytest.mark.parametrize(
    ("build", "skips", "kind"),
    [
        (rooted, False, "normalised"),
        (rooted, True, "other"),
        (centred, False, "normalised"),
        (centred, True, "other"),
        (unrooted, False, "other"),
    ],
)
def test_single_operators_normalise_where_a_root_divides_and_nothing_else_reads(
    build: Callable[[Net, str], None], skips: bool, kind: str
) -> None:
    net = Net(["batch", 6])
    hidden = net.op("Gemm", net.weight("w", 6, 6))
    build(net, hidden)
    if skips:
        net.op("Add", hidden)
    net.op("Relu")
    net.op("Gemm", net.weight("head", 6, CLASSES))
    assert hidden_layers(imported(net.model()).graph) == kind


def test_a_normalised_output_that_something_else_reads_does_not_count() -> None:
    model: ir.Model = imported(ZOO["cnn_bn"]())
    conv = next(node for node in model.graph if node.op_type == "Conv")
    model.graph.outputs.append(conv.outputs[0])
    assert not hidden_layers_are_normalised(model.graph)
