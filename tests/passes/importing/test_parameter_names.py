"""Parameters have the model's names, also where an exporter or the import folds them."""

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

from sparcl_compile.passes.importing.parameter_names import module_of
from sparcl_compile.passes.sparsifying.freeze_parameters import FreezeParameters
from tests.passes.importing.test_constants import file_of, parameters
from tests.support.gradient_check import imported

OLDER = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}}
NEWER = {"dynamo": True, "verbose": False, "dynamic_shapes": ({0: torch.export.Dim("N")},)}


class Norms(nn.Module):
    """A normalisation of a list in a list, one of its own, and a layer on three axes, all as if they were trained."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4))])
        self.norm, self.mix, self.head = nn.GroupNorm(4, 4), nn.Linear(64, 5), nn.Linear(5, 3)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stages[0](x))).flatten(2)
        return self.head(torch.relu(self.mix(x)).mean(1))


@pytest.mark.parametrize(
    "options", [{**OLDER, "opset_version": 18}, {**NEWER, "opset_version": 18}, {**NEWER, "opset_version": 21}], ids=str
)
def test_a_parameter_that_was_folded_has_the_name_of_the_module(options: dict[str, object]) -> None:
    module = Norms()
    assert parameters(file_of(module, **options)) == dict(module.named_parameters()).keys()


def test_the_given_model_keeps_its_names() -> None:
    proto = file_of(Norms(), **OLDER)
    before = [tensor.name for tensor in proto.graph.initializer]
    parameters(proto)
    assert [tensor.name for tensor in proto.graph.initializer] == before


def test_a_group_norm_is_frozen_by_its_own_name() -> None:
    model = imported(file_of(Norms(), **OLDER))
    FreezeParameters(freeze=("norm.*", "stages.0.1.weight"))(model)


class Own(nn.Module):
    """A module whose parameters have other names than those of PyTorch's layers, and which does more."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.rand(4)), nn.Parameter(torch.rand(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(functional.group_norm(x, 2, self.gain, self.shift))


def test_what_a_module_of_the_users_has_keeps_its_made_up_name() -> None:
    """That these are ``1.gain`` and ``1.shift`` the older exporter does not write."""
    layers = [nn.Conv2d(1, 4, 3), Own(), nn.Flatten(), nn.Linear(144, 3)]
    found = parameters(file_of(nn.Sequential(*layers), **OLDER))
    assert len([name for name in found if name.startswith("onnx::")]) == 2
    assert {name for name in found if not name.startswith("onnx::")} == {"0.weight", "0.bias", "3.weight", "3.bias"}


def test_a_weight_in_another_shape_has_its_name_and_two_of_one_have_it_in_front() -> None:
    text = """<ir_version: 8, opset_import: ["" : 18]>
        g (float[N,4] x) => (float[N,3] y) {
            t = Transpose <perm = [1, 0]> (w)
            h = MatMul (x, t)
            r = Relu (h)
            one = Transpose <perm = [1, 0]> (v)
            two = Reshape (v, shape)
            a = MatMul (r, one)
            b = MatMul (r, two)
            y = Add (a, b)
        }"""
    proto = onnx.parser.parse_model(text)
    drawn = np.random.default_rng(0)
    for name, shape in {"w": (5, 4), "v": (3, 5)}.items():
        proto.graph.initializer.append(numpy_helper.from_array(drawn.random(shape, np.float32), name))
    proto.graph.initializer.append(numpy_helper.from_array(np.int64([5, 3]), "shape"))
    assert parameters(proto) == {"w", "v.one", "v.two"}


@pytest.mark.parametrize(
    ("scope", "module"),
    [
        ("/norm", "norm"),
        ("/layer1/layer1.0/norm", "layer1.0.norm"),
        ("/layer1/layer1.0/downsample/downsample.1", "layer1.0.downsample.1"),
        ("/a/a/b", "a.a.b"),
    ],
)
def test_the_scope_of_a_node_is_the_name_of_its_module(scope: str, module: str) -> None:
    assert module_of(scope) == module
