"""Exports for a batch of 1 or another fixed number learn with any batch: as Keras, tf2onnx and PyTorch write them."""

import io
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.importing import verify
from tests.passes.importing.test_differentiable import TOLERANCE
from tests.passes.importing.test_training_exports import logits
from tests.support import fixed_batch as made
from tests.support.gradient_check import imported, worst_gradient
from tests.support.zoo import CLASSES

ROWS = 8


def check(proto: onnx.ModelProto, batch: int) -> None:
    """Compare the import with the original, a batch of the file's size at a time."""
    found = logits(proto, rows=ROWS)
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim][1:]
    x = verify.random_input((ROWS, *shape), seed=7)
    wanted = verify.run(proto, x, proto.graph.output[0].name, batch)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("make", made.ANY_BATCH)
def test_a_batch_that_is_written_into_a_node_becomes_any(make: Callable[[int], onnx.ModelProto], batch: int) -> None:
    check(make(batch), batch)


@pytest.mark.parametrize("make", made.BATCH_OF_ONE)
def test_a_batch_of_one_that_is_left_out_becomes_any(make: Callable[[], onnx.ModelProto]) -> None:
    check(make(), 1)


@pytest.mark.parametrize(
    "make",
    [
        made.flatten_by_number,
        made.flatten_the_rest,
        made.one_channel,
        made.normalised_vector,
    ],
)
def test_a_symbolic_input_with_a_number_in_a_node(make: Callable[[int], onnx.ModelProto]) -> None:
    proto = make(4)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    check(proto, 4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: made.positions(4),
        lambda: made.resized(4),
        made.a_matrix_of_one_row,
        made.scores_as_vector,
    ],
)
def test_the_gradients_are_right(make: Callable[[], onnx.ModelProto]) -> None:
    worst, parameter = worst_gradient(imported(make()))
    assert worst < TOLERANCE, parameter


def test_repeated_positions_are_one_parameter() -> None:
    parameters = {
        str(v.name): list(v.shape or ()) for v in values_with_role(imported(made.positions(4)), Role.PARAMETER)
    }
    assert [1, 4, 6] in parameters.values()


class Rows(torch.nn.Module):
    """A classifier that takes one row out of its batch."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv, self.linear, self.way = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(16, CLASSES), way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.conv(x))
        if self.way == "view":
            return self.linear(h.view(x.shape[0], -1))
        if self.way == "vector":
            return self.linear(h.reshape(-1))
        if self.way == "first":
            return self.linear(h[0].flatten()).unsqueeze(0)
        return self.linear(h.squeeze(0).flatten(0))


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("way", ["view", "vector", "first", "squeeze"])
def test_exports_of_pytorch_for_one_row(way: str, dynamo: bool) -> None:
    torch.manual_seed(0)
    net, file = Rows(way).eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.randn(1, 3, 4, 4),), file, dynamo=dynamo, opset_version=18, verbose=False)
    found = logits(onnx.load_model_from_string(file.getvalue()))
    x = torch.from_numpy(verify.random_input((5, 3, 4, 4), seed=7))
    wanted = torch.cat([net(row[None]).reshape(1, -1) for row in x])
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)


SYMBOLIC = r"; export it with a symbolic batch size .*, and let it compute every row of the input by itself .*"
BY_ITSELF = r"; let it compute every row of the input by itself .* and export it again"


@pytest.mark.parametrize(("batch", "mend"), [(4, SYMBOLIC), ("batch", BY_ITSELF)])
@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (
            made.mean_of_the_batch,
            r"no output holds class scores .* since ReduceMean \(ReduceMean_1\) keeps no batch",
        ),
        (
            made.other_constants,
            r"Add \(?Add_1\)?.* cannot take a batch of|node Add_1 \(Add\) cannot take a batch of",
        ),
    ],
)
def test_what_mixes_rows_is_refused_with_a_mend(
    make: Callable[[int | str], onnx.ModelProto], problem: str, batch: int | str, mend: str
) -> None:
    with pytest.raises(ModelError, match=f"({problem}).*{mend}"):
        imported(make(batch))


def test_rows_that_are_joined_are_refused() -> None:
    with pytest.raises(ModelError, match=f"with several samples in a row{SYMBOLIC}"):
        imported(made.rows_beside_each_other(4))


def test_the_mend_works() -> None:
    proto = made.flatten_by_number(4)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    proto.graph.initializer.remove(next(tensor for tensor in proto.graph.initializer if tensor.name == "flat"))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([-1, 256]), "flat"))
    assert imported(proto).graph.outputs[0].shape == ir.Shape(["N", CLASSES])
