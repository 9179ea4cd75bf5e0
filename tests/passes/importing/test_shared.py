"""Weights that several nodes read: one where the file tells, as many as readers where exporters merge equal ones."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.importing.remarks import remarks_of
from tests.passes.importing.test_constants import file_of
from tests.support.gradient_check import imported, worst_gradient

UNROLLED = """<ir_version: 10, opset_import: ["" : 18], producer_name: "PRODUCER">
g (float[N,4] x, float[4,5] a, float[5,5] r, float[5] b, float[5,3] w) => (float[N,3] logits) {
  first = MatMul (x, a)
  h = Tanh (first)
  again = MatMul (h, r)
  moved = Add (again, b)
  i = Tanh (moved)
  third = MatMul (i, r)
  shifted = Add (third, b)
  j = Tanh (shifted)
  logits = MatMul (j, w)
}"""


def unrolled(producer: str) -> onnx.ModelProto:
    """A recurrent layer that Keras has unrolled, as ``producer`` wrote it."""
    proto = onnx.parser.parse_model(UNROLLED.replace("PRODUCER", producer))
    rng = np.random.default_rng(0)
    for name, shape in {"a": (4, 5), "r": (5, 5), "b": (5,), "w": (5, 3)}.items():
        proto.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    return proto


@pytest.mark.parametrize("producer", ["tf2onnx", "sparcl-compile"])
def test_an_unrolled_layer_of_keras_or_of_an_export_keeps_its_one_weight(producer: str) -> None:
    model = imported(unrolled(producer))
    assert {str(value.name) for value in values_with_role(model, Role.PARAMETER)} == {"a", "r", "b", "w"}
    assert not remarks_of(model)
    worst, parameter = worst_gradient(model)
    assert worst < 1e-3, parameter


def test_where_equal_weights_may_have_been_merged_each_reader_has_its_own_and_that_is_said() -> None:
    model = imported(unrolled("another"))
    assert len(list(values_with_role(model, Role.PARAMETER))) == 6
    (line,) = remarks_of(model)
    assert line.startswith("several nodes read r (2), and each trains a copy of its own")


class Called(nn.Module):
    """One layer of vectors at several places, which is called three times."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.layer, self.head = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.flatten(1, 2))
        for _ in range(3):
            x = torch.relu(self.layer(x)) + x
        return self.head(x.mean(1))


class Copies(nn.Module):
    """Two layers that begin as copies of each other, as those of PyTorch's TransformerEncoder do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.a, self.b, self.head = nn.Linear(64, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.b.load_state_dict(self.a.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.b(torch.relu(self.a(torch.relu(self.first(x.flatten(1))))))))


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("module", [Called, Copies])
def test_the_newer_exporter_tells_one_layer_from_two_equal_ones(module: type[nn.Module], optimize: bool) -> None:
    batch = ({0: torch.export.Dim("N")},)
    made = module()
    model = imported(file_of(made, dynamo=True, optimize=optimize, dynamic_shapes=batch, verbose=False))
    sizes = (int(np.prod(value.shape or ())) for value in values_with_role(model, Role.PARAMETER))
    assert sum(sizes) == sum(parameter.numel() for parameter in made.parameters())


class Tied(nn.Module):
    """An autoencoder whose decoder reads the encoder's weight the other way round, before a classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.encoder, self.head = nn.Linear(64, 8), nn.Linear(8, 6), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = torch.relu(self.encoder(torch.relu(self.first(x.flatten(1)))))
        return self.head(torch.relu(code @ self.encoder.weight))


@pytest.mark.parametrize("dynamo", [False, True])
def test_ties_that_are_lost_are_spoken_of(dynamo: bool) -> None:
    options: dict[str, object] = {"dynamic_axes": {"x": {0: "N"}}, "input_names": ["x"]}
    if dynamo:
        options = {"dynamic_shapes": ({0: torch.export.Dim("N")},), "verbose": False}
    model = imported(file_of(Tied(), dynamo=dynamo, **options))
    assert sum(tuple(value.shape or ()) == (6, 8) for value in values_with_role(model, Role.PARAMETER)) == 2
    assert [line.partition(",")[0] for line in remarks_of(model)] == [
        "several nodes read encoder.weight (2) in different ways"
    ]
