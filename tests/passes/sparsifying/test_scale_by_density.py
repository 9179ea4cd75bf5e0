"""What a mask takes from the size of a layer's activations and of its first updates, the scaling gives back."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from models.export import export
from sparcl_compile.passes.core.layers import layer_weights, masked_layers, rate_factor
from sparcl_compile.passes.core.marks import RATE_KEY
from sparcl_compile.passes.core.values import data_of
from sparcl_compile.passes.schemes.density import densities
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from sparcl_compile.passes.sparsifying.scale_by_density import ScaleByDensity, density
from tests.support.gradient_check import imported
from tests.support.small_model import changed_lines, forward_model
from tests.support.zoo import ZOO


def weight(model: ir.Model, name: str) -> np.ndarray:
    return data_of(model.graph.initializers[name])


# The rule


def test_a_layer_has_its_norm_again_and_a_factor_of_one_over_its_density() -> None:
    model = forward_model()
    before = weight(model, "conv.weight").copy()
    InsertWeightMasks(sparsity=0.75)(model)
    masked, plain = weight(model, "conv.weight").copy(), model.clone()
    assert ScaleByDensity()(model).modified
    after, mask = weight(model, "conv.weight"), weight(model, "conv.weight.mask")
    rows = mask.reshape(len(mask), -1).any(axis=1)
    np.testing.assert_array_equal(after != 0, masked != 0)
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before[rows]))
    gain = after[mask > 0] / masked[mask > 0]
    np.testing.assert_allclose(gain, gain[0], rtol=1e-6)
    assert gain[0] > 1.0
    assert rate_factor(model.graph.initializers["conv.weight"]) == pytest.approx(1 / mask[rows].mean())
    assert not changed_lines(plain, model)


def test_layers_without_a_mask_are_left_alone() -> None:
    model = forward_model()
    InsertWeightMasks(sparsity=0.75)(model)
    head = weight(model, "head.weight").copy()
    ScaleByDensity()(model)
    np.testing.assert_array_equal(weight(model, "head.weight"), head)
    assert rate_factor(model.graph.initializers["head.weight"]) == 1.0
    dense = forward_model()
    InsertWeightMasks(sparsity=0.0)(dense)
    assert not ScaleByDensity()(dense).modified


def test_a_second_run_changes_nothing() -> None:
    model = forward_model()
    InsertWeightMasks(sparsity=0.75)(model)
    ScaleByDensity()(model)
    before = ir.to_proto(model)
    assert not ScaleByDensity()(model).modified
    assert ir.to_proto(model) == before


def test_channels_that_keep_nothing_do_not_count() -> None:
    assert density(np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]])) == pytest.approx(3 / 8)
    assert density(np.zeros((3, 4))) == 1.0


def test_the_outputs_of_a_product_lie_on_its_last_axis() -> None:
    model = imported(ZOO["mlp_matmul"]())
    name = str(layer_weights(model)[0].name)
    before = weight(model, name).copy()
    InsertWeightMasks(sparsity=0.9)(model)
    ScaleByDensity()(model)
    mask = weight(model, f"{name}.mask") > 0
    outputs = mask.any(axis=0)
    assert not outputs.all()
    assert not mask.any(axis=1).all()
    assert np.linalg.norm(weight(model, name)) == pytest.approx(np.linalg.norm(before[:, outputs]))
    assert rate_factor(model.graph.initializers[name]) == pytest.approx(1 / mask[:, outputs].mean())


@pytest.mark.parametrize("distribution", ["uniform", "erk"])
def test_every_layer_has_the_factor_of_its_own_density(distribution: str) -> None:
    model = imported(mlp(64))
    InsertWeightMasks(sparsity=0.8, distribution=distribution)(model)
    ScaleByDensity()(model)
    layers = masked_layers(model)
    share = densities({str(w.name): [int(d) for d in w.shape or ()] for w in layers}, 0.8, distribution)
    found = {str(w.name): rate_factor(w) for w in layers}
    assert found == pytest.approx({name: 1 / part for name, part in share.items()}, rel=0.02)
    assert (max(found.values()) > 1.5 * min(found.values())) == (distribution == "erk")


def test_whole_channels_count_by_the_inputs_that_are_left() -> None:
    model = imported(ZOO["resnet"]())
    InsertWeightMasks(sparsity=0.75, scheme="channel")(model)
    ScaleByDensity()(model)
    for one in masked_layers(model):
        mask = data_of(model.graph.initializers[f"{one.name}.mask"])
        assert float(one.metadata_props[RATE_KEY]) == pytest.approx(1 / density(mask.reshape(len(mask), -1)))


# The derivation


WIDTH = 256
SPARSITIES = (0.5, 0.8, 0.9, 0.95)


def mlp(width: int) -> onnx.ModelProto:
    """Three hidden layers without normalisation, drawn anew as PyTorch draws them."""
    torch.manual_seed(0)
    sizes = [(32, width), (width, width), (width, width // 2)]
    hidden = [part for inputs, outputs in sizes for part in (nn.Linear(inputs, outputs), nn.ReLU())]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "mlp.onnx")
        export(nn.Sequential(*hidden, nn.Linear(width // 2, 10)), (32,), file)
        return onnx.load(file)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Root mean squares of the pre-activations of each hidden layer, and of their change by one layer's own step."""

    activations: list[float]
    updates: list[float]


def first_step(sparsity: float, scaled: bool, adam: bool) -> Sizes:
    """Sizes at the first step of a batch, computed by PyTorch from the weights and factors of the passes."""
    model = imported(mlp(WIDTH), init="fresh", seed=3)
    InsertWeightMasks(sparsity=sparsity)(model)
    if scaled:
        ScaleByDensity()(model)
    values = model.graph.initializers
    names = [f"{layer}.weight" for layer in (0, 2, 4, 6)]
    weights = [torch.tensor(weight(model, name), requires_grad=True) for name in names]
    biases = [torch.tensor(weight(model, name.replace("weight", "bias"))) for name in names]
    masks = [torch.tensor(data_of(values[f"{n}.mask"])) if f"{n}.mask" in values else torch.ones(()) for n in names]
    generator = torch.Generator().manual_seed(1)
    # Samples share a direction, as images do and all activations behind a ReLU.
    x, labels = torch.rand(64, 32, generator=generator), torch.randint(0, 10, (64,), generator=generator)

    def layers(w: list[torch.Tensor]) -> list[torch.Tensor]:
        found, value = [], x
        for matrix, bias, mask in zip(w, biases, masks, strict=True):
            found.append(value @ (matrix * mask).T + bias)
            value = torch.relu(found[-1])
        return found

    before = layers(weights)
    nn.functional.cross_entropy(before[-1], labels).backward()  # type: ignore[no-untyped-call]
    updates = []
    for number, name in enumerate(names[:-1]):
        gradient = weights[number].grad
        assert gradient is not None
        step = (gradient.sign() if adam else gradient) * masks[number] * rate_factor(values[name])
        moved = [w.detach() - (1e-3 * step if number == other else 0) for other, w in enumerate(weights)]
        updates.append(_size(layers(moved)[number] - before[number].detach()))
    return Sizes([_size(value.detach()) for value in before[:-1]], updates)


def _size(value: torch.Tensor) -> float:
    return float(value.square().mean().sqrt())


@pytest.mark.parametrize("adam", [False, True], ids=["sgd", "adamw"])
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_first_activations_and_updates_do_not_depend_on_the_density(sparsity: float, adam: bool) -> None:
    dense, sparse = first_step(0.0, True, adam), first_step(sparsity, True, adam)
    np.testing.assert_allclose(np.divide(sparse.activations, dense.activations), 1.0, atol=0.15)
    np.testing.assert_allclose(np.divide(sparse.updates, dense.updates), 1.0, atol=0.35)


@pytest.mark.parametrize("adam", [False, True], ids=["sgd", "adamw"])
def test_without_the_scaling_they_shrink_with_the_density(adam: bool) -> None:
    dense, sparse = first_step(0.0, False, adam), first_step(0.95, False, adam)
    assert max(np.divide(sparse.activations[1:], dense.activations[1:])) < 0.7
    assert max(np.divide(sparse.updates[1:], dense.updates[1:])) < 0.25
