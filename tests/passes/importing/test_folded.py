"""The line about a BatchNormalization that an exporter has folded away, and the networks that get none."""

import io
import re
import warnings
from collections.abc import Callable

import onnx
import pytest
import torch

from sparcl_compile.passes.importing.remarks import remarks_of
from tests.support.gradient_check import imported
from tests.support.zoo import ZOO, Net


class Residual(torch.nn.Module):
    """Four normalised convolutions, three of them beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv2d(width, 6, 3, padding=1, bias=False) for width in (3, 6, 6, 6)
        )
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(6) for _ in range(4))
        self.fc = torch.nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            y = torch.relu(norm(convolution(x)))
            x = y if y.shape != x.shape else x + y
        return torch.as_tensor(self.fc(x.mean((2, 3))))


def exported(*, trained: bool = True, dynamo: bool = False, **options: object) -> bytes:
    file, model = io.BytesIO(), Residual().train(trained)
    model(torch.randn(8, 3, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), (torch.randn(1, 3, 8, 8),), file, dynamo=dynamo, **options)  # type: ignore[arg-type]
    return file.getvalue()


def told(content: bytes) -> str:
    return " ".join(remarks_of(imported(onnx.load_model_from_string(content))))


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_a_folded_export_is_told_and_the_export_that_it_names_is_not(trained: bool, dynamo: bool) -> None:
    line = told(exported(trained=trained, dynamo=dynamo))
    assert re.match(r"none of the 4 convolutions is normalised: by the name of \S+ the exporter has folded", line)
    assert "training=TrainingMode.PRESERVE, do_constant_folding=False, dynamo=False" in line
    assert told(exported(training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)) == ""


def stack(*, bias: str = "c{}.bias", count: int = 4, shortcut: bool = False, zero: bool = False) -> Net:
    """Convolutions of three channels without a normalisation."""
    net = Net(["batch", 3, 8, 8])
    for number in range(count):
        before = net.last
        name = bias.format(number)
        values = net.array(name, [0.0] * 3) if zero else net.weight(name, 3)
        net.op("Conv", net.weight(f"c{number}.weight", 3, 3, 3, 3), values, pads=[1] * 4)
        if shortcut:
            net.op("Add", before)
        net.op("Relu")
    return net


def bare() -> Net:
    net = Net(["batch", 3, 8, 8])
    for number in range(4):
        net.conv(f"c{number}", 3, 3)
        net.op("Relu")
    return net


def depthwise() -> Net:
    net = stack()
    net.op("Conv", net.weight("deep.weight", 3, 1, 3, 3), net.weight("deep.bias", 3), pads=[1] * 4, group=3)
    return net


def normalised_by_hand() -> Net:
    net = stack(shortcut=True)
    mean = net.op("ReduceMean", net.ints("axes", 1))
    square = net.op("Mul", mean)
    deviation = net.op("Sqrt", source=net.op("Add", net.array("eps", 1.0), source=square))
    net.op("Div", deviation, source=mean)
    return net


def test_an_exporter_that_lists_no_running_statistics_had_none() -> None:
    proto = stack(shortcut=True).head(3)
    listed = proto.graph.metadata_props.add(key="pkg.torch.export.ExportedProgram.graph_signature")
    listed.value = "p_c0: PARAMETER target='c0.weight'"
    assert remarks_of(imported(proto)) == ()
    listed.value += "\nb_bn: BUFFER target='bn.running_var' persistent=True"
    assert "by the name of bn.running_var the exporter has folded" in remarks_of(imported(proto))[0]


@pytest.mark.parametrize(
    "name", ["onnx::Conv_{}", "c{}.weight_bias", "model/n{}/FusedBatchNormV3", "c{}_bias_fused_bn:0"]
)
def test_a_name_that_folding_gives_is_evidence(name: str) -> None:
    (line,) = remarks_of(imported(stack(bias=name).head(3)))
    assert f"by the name of {name.format(0)} the exporter has folded BatchNormalization into them" in line
    assert "a model that never had any" not in line


def test_factors_that_are_left_of_a_normalisation_are_evidence() -> None:
    """Keras's BatchNormalization behind a convolution with a bias."""
    net = stack()
    net.op("Mul", net.weight("n/batchnorm/mul:0", 3, 1, 1))
    (line,) = remarks_of(imported(net.head(3)))
    assert "by the name of n/batchnorm/mul:0 the exporter has folded BatchNormalization into them" in line


def test_tf2onnx_leaves_names_so_that_there_is_no_doubt() -> None:
    proto = stack(shortcut=True).head(3)
    proto.producer_name = "tf2onnx"
    assert remarks_of(imported(proto)) == ()


@pytest.mark.parametrize(
    ("net", "sign"),
    [
        (lambda: stack(shortcut=True), "with shortcuts or depthwise convolutions"),
        (depthwise, "with shortcuts or depthwise convolutions"),
        (bare, "whose convolutions have no bias"),
    ],
)
def test_a_structure_that_mostly_has_a_normalisation_is_a_doubt(net: Callable[[], Net], sign: str) -> None:
    (line,) = remarks_of(imported(net().head(3)))
    assert f"which is rare in a network {sign}: if the model has BatchNormalization, the exporter has folded it" in line
    assert line.endswith("; a model that never had any loses nothing")


@pytest.mark.parametrize(
    "net",
    [stack, lambda: stack(shortcut=True, zero=True), lambda: stack(shortcut=True, count=2), normalised_by_hand],
    ids=["plain stack", "biases of 0", "two convolutions", "normalised by hand"],
)
def test_networks_that_were_made_so_are_left_in_peace(net: Callable[[], Net]) -> None:
    width = 1 if net is normalised_by_hand else 3
    assert remarks_of(imported(net().head(width))) == ()


def test_a_network_that_has_no_bias_anywhere_is_left_in_peace() -> None:
    net = bare()
    net.op("GlobalAveragePool")
    net.op("Flatten")
    net.op("MatMul", net.weight("fc.weight", 3, 5))
    assert remarks_of(imported(net.model())) == ()


@pytest.mark.parametrize("name", ["cnn_bn", "resnet", "group_norm_21", "mlp", "local_response"])
def test_normalised_networks_and_perceptrons_are_left_in_peace(name: str) -> None:
    assert remarks_of(imported(ZOO[name]())) == ()
