"""The first states of recurrent layers, in the forms that exporters write them."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import values_with_role
from tests.support.gradient_check import by_rules, imported, worst_gradient
from tests.support.zoo_ort import only_ort

TOLERANCE = 1e-3
BATCH, HIDDEN = 4, 3
TEXT = """<ir_version: 8, opset_import: ["" : 17]> layer (float[4, 5, 2] x) => (float[4, 6] logits) {
    turned = Transpose<perm = [1, 0, 2]>(x)
    states, last = GRU<hidden_size = 3, linear_before_reset = 1>(turned, w, r, b, , first)
    one = Squeeze(last, axis)
    logits = Gemm(one, head)
}"""


def with_first_state(first: np.ndarray) -> onnx.ModelProto:
    """A layer whose first state is a constant for the file's batch of 4."""
    random = np.random.default_rng(0)
    shapes = {"w": (1, 9, 2), "r": (1, 9, 3), "b": (1, 18), "head": (3, 6)}
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays |= {"first": first.astype(np.float32), "axis": np.array([0])}
    model = onnx.parser.parse_model(TEXT)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return model


def layer_of(model: ir.Model) -> ir.Node:
    return next(node for node in model.graph if node.op_type in ("LSTM", "GRU", "RNN"))


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "keywords"])
def test_states_of_zeros_go_with_all_that_makes_them(name: str, batch: int | None) -> None:
    model = imported(only_ort(name, batch), target="ort")
    assert len([value for value in layer_of(model).inputs if value is not None]) == 4
    assert not {"Shape", "Expand", "ConstantOfShape"} & {node.op_type for node in model.graph}
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


def test_a_state_that_is_the_same_for_all_rows_is_repeated_for_any_batch() -> None:
    row = np.array([0.5, -1.0, 0.25])
    model = imported(with_first_state(np.broadcast_to(row, (1, BATCH, HIDDEN))), target="ort")
    first = layer_of(model).inputs[5]
    assert first is not None
    producer = first.producer()
    assert producer is not None
    assert producer.op_type == "Expand"
    worst, parameter = worst_gradient(model, by=by_rules)
    assert worst < TOLERANCE, parameter


def test_a_state_of_each_row_is_refused() -> None:
    with pytest.raises(
        ModelError, match=r"^GRU \(.*\): its first state has another value in each row of the batch; export"
    ):
        imported(with_first_state(np.random.default_rng(1).normal(size=(1, BATCH, HIDDEN))), target="ort")


def test_the_weights_are_parameters() -> None:
    model = imported(only_ort("lstm"), target="ort")
    assert len(list(values_with_role(model, Role.PARAMETER))) == 5
