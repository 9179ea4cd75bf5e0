"""What stands in front of all weights needs no gradient and no rule of cost: spectrograms and the like are taken."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.passes.importing import verify
from tests.passes.importing.test_training_exports import logits
from tests.support.cli import done
from tests.support.gradient_check import imported
from tests.support.zoo import CLASSES, Net

SAMPLES = 32
Batch = int | str


def spectrum(net: Net) -> str:
    window = net.array("window", np.hanning(8))
    return net.op("STFT", net.array("step", 4, np.int64), window, net.array("length", 8, np.int64), onesided=1)


def head(net: Net, width: int) -> onnx.ModelProto:
    net.op("Flatten")
    net.op("Gemm", net.weight("fc", width, CLASSES), net.weight("fc.bias", CLASSES))
    return net.model()


def short_time(batch: Batch) -> onnx.ModelProto:
    net = Net([batch, SAMPLES, 1], opset=17)
    spectrum(net)
    return head(net, 70)


def mel(batch: Batch) -> onnx.ModelProto:
    """The logarithm of a mel spectrogram, as torchaudio's and TensorFlow's front ends compute it."""
    net = Net([batch, SAMPLES, 1], opset=17)
    spectrum(net)
    net.op("Mul", net.last)
    power = net.op("ReduceSum", net.ints("parts", -1), keepdims=0)
    lengths, rate = net.array("dft", 8, np.int64), net.array("rate", 16000, np.int64)
    bounds = net.array("low", 0.0), net.array("high", 8000.0)
    matrix = net.op("MelWeightMatrix", lengths, rate, *bounds, source=net.array("bins", 4, np.int64))
    net.op("MatMul", matrix, source=power)
    net.op("Add", net.array("floor", 1e-3))
    net.op("Log")
    return head(net, 28)


def fourier(batch: Batch) -> onnx.ModelProto:
    net = Net([batch, SAMPLES, 1], opset=17)
    net.op("DFT", axis=1, onesided=1)
    return head(net, 34)


def fourier_20(batch: Batch) -> onnx.ModelProto:
    """From opset 20 on the axis is an input, and another one when it is left out."""
    net = Net([batch, SAMPLES, 1], opset=20)
    net.nodes.append(helper.make_node("DFT", [net.last, "", net.array("axis", 1, np.int64)], ["d"], onesided=1))
    net.last = "d"
    return head(net, 34)


@pytest.mark.parametrize("batch", [1, "batch"])
@pytest.mark.parametrize("make", [short_time, mel, fourier, fourier_20])
def test_a_front_end_answers_as_before(make: object, batch: Batch) -> None:
    proto = make(batch)  # type: ignore[operator]
    x = verify.random_input((4, SAMPLES, 1), seed=7)
    wanted = verify.run(make(batch), x, proto.graph.output[0].name, batch=1)  # type: ignore[operator]
    np.testing.assert_allclose(logits(proto, rows=4), wanted, rtol=1e-3, atol=1e-4)


def test_the_matrix_of_a_front_end_is_no_parameter() -> None:
    model = imported(mel("batch"))
    assert {name for name, value in model.graph.initializers.items() if value.metadata_props.get("sparcl.role")} == {
        "fc",
        "fc.bias",
    }


def test_the_report_says_what_is_not_counted(tmp_path: Path) -> None:
    onnx.save(short_time("batch"), tmp_path / "model.onnx")
    outcome = done("compile", tmp_path / "model.onnx")
    assert "the work of STFT (STFT_0) is in none of the numbers of FLOPs" in " ".join(outcome.out.split())


def test_a_spectrum_behind_weights_is_refused() -> None:
    net = Net(["batch", SAMPLES, 1], opset=17)
    net.op("Mul", net.weight("gain", SAMPLES, 1))
    net.op("MatMul", net.weight("w", 1, 1))
    spectrum(net)
    with pytest.raises(UnsupportedOpsError, match=r"cannot be trained: STFT"):
        imported(head(net, 70))
