"""The exported models compute what the modules do, under the modules' names."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from click.testing import CliRunner
from onnx.reference import ReferenceEvaluator

from models.bottleneck import resnet101
from models.densenet import densenet121
from models.export import MODELS, build, export, main
from models.resnet import resnet110

READY = Path(__file__).parents[2] / "models" / "digits_cnn.onnx"
NORMALISED = {
    "resnet18": 20,
    "mlp": 0,
    "cnn": 2,
    "depthwise_cnn": 5,
    "transformer": 0,
    "digits_cnn": 3,
    "sensor_cnn": 3,
}
"""Number of BatchNormalization nodes of each model."""


@pytest.mark.parametrize("name", MODELS)
def test_export_keeps_names_values_and_batch_normalisation(name: str, tmp_path: Path) -> None:
    module, sample = build(name, width=4), MODELS[name][1]
    export(module, sample, tmp_path / "m.onnx")
    model = ir.load(tmp_path / "m.onnx")
    expected = {n: v.numpy() for n, v in module.state_dict().items() if not n.endswith("num_batches_tracked")}
    initializers = {n: v.const_value for n, v in model.graph.initializers.items()}
    assert set(initializers) == set(expected)
    for n, tensor in initializers.items():
        assert tensor is not None
        np.testing.assert_array_equal(tensor.numpy(), expected[n])
    operators = Counter(node.op_type for node in model.graph)
    assert operators["BatchNormalization"] == NORMALISED[name]
    assert operators["Identity"] == operators["AveragePool"] == 0
    assert model.opset_imports[""] == 18


@pytest.mark.parametrize("name", MODELS)
def test_export_computes_the_same_at_another_batch_size(name: str, tmp_path: Path) -> None:
    module, sample = build(name, width=4), MODELS[name][1]
    export(module, sample, tmp_path / "m.onnx")
    x = torch.randn(3, *sample, generator=torch.Generator().manual_seed(0))
    outputs = list(ReferenceEvaluator(str(tmp_path / "m.onnx")).run(None, {"x": x.numpy()}))
    np.testing.assert_allclose(np.asarray(outputs[0]), module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_ready_model_is_the_fresh_one_with_seed_0() -> None:
    state = build("digits_cnn", seed=0).state_dict()
    model = ir.load(READY)
    assert READY.stat().st_size < 300_000
    for name, value in model.graph.initializers.items():
        assert value.const_value is not None
        np.testing.assert_array_equal(value.const_value.numpy(), state[name].numpy())


def test_seeds_differ_and_repeat() -> None:
    one, two, other = (build("mlp", seed=seed).state_dict()["1.weight"] for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_command_writes_the_chosen_model(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    result = CliRunner().invoke(main, ["mlp", "--width", "8", "--classes", "3", "-o", str(file)])
    assert result.exit_code == 0, result.output
    assert ir.load(file).graph.initializers["5.weight"].shape == (3, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet"], "'lenet' is not one of"),
        (["mlp", "--classes", "1"], "'--classes'"),
        (["transformer", "--width", "6"], "not a multiple of the 4 heads"),
    ],
)
def test_command_refuses(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "m.onnx")])
    assert result.exit_code == 2
    assert message in result.output
    assert not list(tmp_path.iterdir())


def test_command_refuses_a_missing_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["mlp", "-o", str(tmp_path / "none" / "m.onnx")])
    assert result.exit_code == 2
    assert "cannot export mlp" in result.output


@pytest.mark.parametrize(("make", "layers"), [(densenet121, 121), (resnet101, 101), (resnet110, 110)])
def test_deep_networks_have_the_layers_of_their_names(make: Callable[..., torch.nn.Module], layers: int) -> None:
    module = make(width=2, classes=7).eval()
    weighted = [n for n, part in module.named_modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)]
    assert len([name for name in weighted if "shortcut" not in name]) == layers
    assert module(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
