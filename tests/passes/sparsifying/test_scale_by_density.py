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


def convolutions() -> onnx.ModelProto:
    """Three convolutions without normalisation and an average over their places, drawn anew."""
    torch.manual_seed(0)
    sizes = [(3, 48), (48, 64), (64, 64)]
    hidden = [part for inputs, outputs in sizes for part in (nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU())]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "convolutions.onnx")
        export(nn.Sequential(*hidden, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)), (3, 8, 8), file)
        return onnx.load(file)


NETWORKS = {"mlp": (lambda: mlp(WIDTH), (32,)), "convolutions": (convolutions, (3, 8, 8))}
"""A network, and the shape of its samples."""
SEEDS = (3, 4, 5)


@dataclasses.dataclass(frozen=True)
class Case:
    """A network under masks, an optimizer, and the share of its kept weights that have moved.

    TDM's updates move a hundredth of all weights: a twentieth of the kept ones at sparsity 0.8.
    """

    network: str = "mlp"
    adam: bool = False
    distribution: str = "uniform"
    moved: float = 0.0


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Root mean squares of the pre-activations of each hidden layer, and of their change by one layer's own step."""

    activations: np.ndarray
    updates: np.ndarray


def sizes(case: Case, sparsity: float, scaled: bool = True) -> Sizes:
    """The means over some seeds of the weights."""
    found = [first_step(case, sparsity, scaled, seed) for seed in SEEDS]
    return Sizes(np.mean([one.activations for one in found], axis=0), np.mean([one.updates for one in found], axis=0))


def first_step(case: Case, sparsity: float, scaled: bool, seed: int) -> Sizes:
    """Sizes at the first step of a batch, computed by PyTorch from the weights and factors of the passes."""
    make, shape = NETWORKS[case.network]
    model = imported(make(), init="fresh", seed=seed)
    InsertWeightMasks(sparsity=sparsity, distribution=case.distribution)(model)
    if scaled:
        ScaleByDensity()(model)
    values = model.graph.initializers
    names = [name for name in values if name.endswith(".weight")]
    generator = torch.Generator().manual_seed(1)
    arrays = {name: weight(model, name) for name in names}
    masks = [_mask(model, name, arrays, case.moved, generator) for name in names]
    weights = [torch.tensor(arrays[name], requires_grad=True) for name in names]
    biases = [torch.tensor(weight(model, name.replace("weight", "bias"))) for name in names]
    # Samples share a direction, as images do and all activations behind a ReLU.
    x, labels = torch.rand(64, *shape, generator=generator), torch.randint(0, 10, (64,), generator=generator)

    def layers(w: list[torch.Tensor]) -> list[torch.Tensor]:
        found, value = [], x
        for matrix, bias, mask in zip(w, biases, masks, strict=True):
            found.append(_applied(value, matrix * mask, bias))
            value = torch.relu(found[-1])
        return found

    before = layers(weights)
    nn.functional.cross_entropy(before[-1], labels).backward()  # type: ignore[no-untyped-call]
    updates = []
    for number, name in enumerate(names[:-1]):
        gradient = weights[number].grad
        assert gradient is not None
        step = (gradient.sign() if case.adam else gradient) * masks[number] * rate_factor(values[name])
        moved = [w.detach() - (1e-3 * step if number == other else 0) for other, w in enumerate(weights)]
        updates.append(_size(layers(moved)[number] - before[number].detach()))
    return Sizes(np.array([_size(value.detach()) for value in before[:-1]]), np.array(updates))


def _mask(
    model: ir.Model, name: str, arrays: dict[str, np.ndarray], share: float, generator: torch.Generator
) -> torch.Tensor:
    """The mask of a weight; the smallest share of what it keeps has moved to others, which begin at 0."""
    if f"{name}.mask" not in model.graph.initializers:
        return torch.ones(())
    mask = torch.tensor(weight(model, f"{name}.mask"))
    data, flat = arrays[name].reshape(-1), mask.reshape(-1)
    kept, others = np.flatnonzero(flat), np.flatnonzero(flat == 0)
    count = min(int(share * len(kept)), len(others))
    leaving = kept[np.argsort(np.abs(data[kept]))[:count]]
    coming = others[torch.randperm(len(others), generator=generator)[:count]]
    flat[leaving], flat[coming], data[leaving] = 0.0, 1.0, 0.0
    return mask


def _applied(value: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The outputs of a layer: a convolution with a margin of 1, or a product behind an average over places."""
    if matrix.ndim == 4:
        return nn.functional.conv2d(value, matrix, bias, padding=1)
    return (value.mean((2, 3)) if value.ndim == 4 else value) @ matrix.T + bias


def _size(value: torch.Tensor) -> float:
    return float(value.square().mean().sqrt())


CASES = [
    *(Case(adam=adam) for adam in (False, True)),
    *(Case(distribution="erk", adam=adam) for adam in (False, True)),
    *(Case("convolutions", adam=adam) for adam in (False, True)),
    Case("convolutions", distribution="erk"),
    *(Case(network, moved=0.05) for network in NETWORKS),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_first_activations_and_updates_do_not_depend_on_the_density(sparsity: float, case: Case) -> None:
    dense, sparse = sizes(case, 0.0), sizes(case, sparsity)
    np.testing.assert_allclose(sparse.activations / dense.activations, 1.0, atol=0.15)
    np.testing.assert_allclose(sparse.updates / dense.updates, 1.0, atol=0.25 if case.adam else 0.4)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("adam", [False, True], ids=["sgd", "adamw"])
def test_without_the_scaling_they_shrink_with_the_density(adam: bool, network: str) -> None:
    case = Case(network, adam)
    dense, sparse = sizes(case, 0.0, scaled=False), sizes(case, 0.95, scaled=False)
    assert max(sparse.activations[1:] / dense.activations[1:]) < 0.7
    assert max(sparse.updates[1:] / dense.updates[1:]) < 0.25
