"""Models that scale their samples themselves get them as they are."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from sparcl_compile.passes.core.model_input import input_of
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.importing.remarks import remarks_of

COLUMNS = 4
Step = tuple[str, object]
BYTES: Sequence[Step] = (("Div", 255.0), ("Sub", [0.4, 0.5, 0.5, 0.4]), ("Div", [0.2, 0.2, 0.3, 0.2]))
SHARES: Sequence[Step] = (("Sub", [0.4, 0.5, 0.5, 0.4]), ("Div", [0.2, 0.2, 0.3, 0.2]))


def imported(steps: Sequence[Step], *, rank: int = 2) -> ir.Model:
    """A perceptron behind steps of arithmetic with constants."""
    rng, value, nodes, stored = np.random.default_rng(0), "x", [], []
    shapes = {"a": (COLUMNS, 8), "b": (8, 3)}
    for place, (kind, number) in enumerate(steps):
        stored.append(numpy_helper.from_array(np.asarray(number, np.float32), f"k{place}"))
        nodes.append(helper.make_node(kind, [value, f"k{place}"], [f"v{place}"]))
        value = f"v{place}"
    stored += [numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name) for name, size in shapes.items()]
    nodes += [helper.make_node("MatMul", [value, "a"], ["h"]), helper.make_node("Relu", ["h"], ["r"])]
    pooled = "r" if rank == 2 else "p"
    if rank == 3:
        nodes.append(helper.make_node("ReduceMean", ["r"], ["p"], axes=[1], keepdims=0))
    nodes.append(helper.make_node("MatMul", [pooled, "b"], ["z"]))
    shape = ["N", COLUMNS] if rank == 2 else ["N", 5, COLUMNS]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    model = ir.from_proto(proto)
    ImportForward()(model)
    return model


def notes(model: ir.Model) -> list[str]:
    return [line for line in remarks_of(model) if "scales its samples" in line]


@pytest.mark.parametrize(
    "steps",
    [
        BYTES,
        [("Mul", 1 / 127.5), ("Add", -1.0)],
        [("Sub", [103.9, 116.8, 123.7, 120.0])],
        [("Sub", [13.0, 2.3, 19.5, 746.0]), ("Div", [0.8, 1.1, 3.3, 314.0])],
    ],
    ids=["of bytes", "Keras's Rescaling", "means of bytes", "columns of several units"],
)
def test_samples_come_as_they_are(steps: Sequence[Step]) -> None:
    model = imported(steps)
    assert input_of(model).raw
    assert notes(model) == ["the model scales its samples itself: they are fed as they are, not normalised"]


@pytest.mark.parametrize("steps", [SHARES, [("Mul", 2.0), ("Sub", 1.0)]], ids=["shares", "twice less one"])
def test_doubtful_scales_are_said(steps: Sequence[Step]) -> None:
    model = imported(steps)
    assert not input_of(model).raw
    (line,) = notes(model)
    assert "--normalise raw" in line


@pytest.mark.parametrize("steps", [(), [("Mul", 1.0), ("Add", 0.0)]], ids=["nothing", "neutral constants"])
def test_other_models_say_nothing(steps: Sequence[Step]) -> None:
    model = imported(steps)
    assert not input_of(model).raw
    assert not notes(model)


def test_positions_are_no_scale() -> None:
    """A table of [T, C] is added to a series; whatever it holds, the samples are as normalised as before."""
    model = imported([("Add", np.full((5, COLUMNS), 20.0))], rank=3)
    assert not input_of(model).raw
    assert not notes(model)
