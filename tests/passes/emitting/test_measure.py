"""The graph that measures: what of a training graph is left, and that its gradients are those of whole masks."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.options import TARGET
from sparcl_compile.passes.differentiating.insert_gradient_masks import InsertGradientMasks
from sparcl_compile.passes.emitting.measure import to_measuring
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.settings.options import CompileOptions
from tests.support.form import BATCH, Form, batches, write_small
from tests.support.numbers import check_same
from tests.support.small_model import changed_lines
from tests.support.training_form import TARGETS, differentiated


def measuring(training: ir.Model) -> ir.Model:
    copy = training.clone()
    to_measuring(copy)
    return copy


def names(model: ir.Model) -> tuple[list[str], list[str]]:
    return [str(value.name) for value in model.graph.inputs], [str(value.name) for value in model.graph.outputs]


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def training(target: str) -> ir.Model:
    """A training graph with a masked convolution, a normalisation and a dense head, of which half may move."""
    _, model = differentiated(target)
    InsertGradientMasks(gradient_sparsity=0.5)(model)
    return model


def added(changes: list[str]) -> list[str]:
    """Lines that came, but for the running statistics under their new names."""
    return [line for line in changes if line.startswith("+") and '.measured"' not in line.partition("=")[0]]


def test_the_gradient_mask_makes_way_for_the_mask_and_dense_gradients_go(training: ir.Model) -> None:
    changes = changed_lines(training, measuring(training))
    removed = [line for line in changes if line.startswith("-")]
    assert added(changes) == [
        '+["conv.weight.mask_gradient"] "conv.weight_grad.masked" = Mul ("conv.weight_grad", "conv.weight.mask")'
    ]
    assert removed.count(
        '-["conv.weight.mask_gradient"] "conv.weight_grad.masked" = Mul ("conv.weight_grad", '
        '"conv.weight.gradient_mask")'
    )
    accumulators = [line for line in removed if 'grad.accumulation.buffer"' in line.partition("=")[2]]
    assert len(accumulators) == 4  # scale and bias of the normalisation, weight and bias of the head
    assert not [line for line in accumulators if "conv.weight" in line]


def test_what_it_takes_and_gives(training: ir.Model, target: str) -> None:
    inputs, outputs = names(measuring(training))
    assert [name for name in inputs if "accumulation" in name] == ["conv.weight_grad.accumulation.buffer"]
    assert "conv.weight.gradient_mask" not in inputs
    assert {"conv.weight.mask", "lazy_reset_grad", "bn.mean", "head.weight"} <= set(inputs)
    sums = {"ort": "conv.weight_grad.accumulation.buffer.next", "ort-training": "conv.weight_grad.accumulation.out"}
    assert set(outputs) == {"loss", "logits", "bn.mean.measured", "bn.var.measured", sums[target]}


def test_every_input_is_read(training: ir.Model) -> None:
    made = measuring(training)
    assert all(any(True for _ in value.uses()) for value in made.graph.inputs)


def test_a_second_time_changes_nothing(training: ir.Model) -> None:
    made = measuring(training)
    assert not changed_lines(made, measuring(made))


def test_without_gradient_masks_only_dense_gradients_go() -> None:
    _, model = differentiated()
    assert not added(changed_lines(model, measuring(model)))


# The numbers

FORMS: Mapping[str, dict[str, Any]] = {
    "masked": {"sparsity": 0.75},
    "gradients alone": {"sparsity": 0.0},
    "compressed": {"sparsity": 0.75, "compress": True, "select_kernels": False},
    "some compressed": {"sparsity": 0.75, "compress": True, "batch_size": BATCH},
    "channels masked": {"sparsity": 0.5, "scheme": "channel", "fold": False},
    "channels folded": {"sparsity": 0.5, "scheme": "channel"},
}


def gradients_of(form: Form, graph: str) -> dict[str, np.ndarray]:
    """The accumulators of the masked weights after one batch through ``measure`` or ``train``."""
    current, _ = batches(3, tuple(form.manifest.model.input_shape))
    spec = form.engine.spec(graph)
    feeds = {name: value for name, value in current.feeds(first=True).items() if name in {i.name for i in spec.inputs}}
    into = {weight.accumulator: weight.g1 for weight in form.manifest.weights}
    form.engine.run(graph, feeds, into if graph == "measure" else None)
    held = into if graph == "measure" else {name: name for name in into}
    return {name: form.engine.array(place).copy() for name, place in held.items()}


@pytest.mark.parametrize("name", FORMS)
def test_measured_gradients_are_those_of_training_with_whole_masks(name: str, tmp_path: Path) -> None:
    if "compressed" in name and kernels.library() is None:
        pytest.skip(kernels.reason())
    write_small("pooled", tmp_path / "model.onnx", seed=1)
    form = Form(tmp_path / "model.onnx", tmp_path / "a.sparcl", CompileOptions(gradient_sparsity=0.9, **FORMS[name]))
    chosen = {weight.weight: weight.gradient_mask for weight in form.manifest.weights}
    assert all(chosen.values())
    # As few gradients as a choice leaves, which measuring must not heed ...
    for mask in chosen.values():
        form.engine.set_array(str(mask), np.zeros_like(form.engine.array(str(mask))))
    found = gradients_of(form, "measure")
    assert all(array.any() for array in found.values())
    # ... and all of them.
    for weight in form.manifest.weights:
        kept = form.engine.array(weight.mask) if weight.mask else np.ones_like(form.engine.array(weight.weight))
        form.engine.set_array(str(weight.gradient_mask), kept)
    for accumulator, wanted in gradients_of(form, "train").items():
        check_same(found[accumulator], wanted, accumulator)


@pytest.mark.parametrize(
    "options", [{"gradient_scheme": "channel"}, {"method": "finetune"}, {"replay_batches": "merged", "momentum": 0.9}]
)
def test_where_training_computes_less_or_stores_nothing_the_same_is_measured(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """Rows of gradients, and parameters that move in the backward pass."""
    write_small("pooled", tmp_path / "model.onnx", seed=1)
    sparse = CompileOptions(sparsity=0.75)
    whole = Form(tmp_path / "model.onnx", tmp_path / "whole.sparcl", sparse)
    other = Form(tmp_path / "model.onnx", tmp_path / "other.sparcl", dataclasses.replace(sparse, **options))
    wanted = gradients_of(whole, "measure")
    assert wanted
    for accumulator, array in gradients_of(other, "measure").items():
        check_same(array, wanted[accumulator], accumulator)
    accumulators = {one.name for one in other.engine.spec("measure").inputs if "accumulation" in one.name}
    assert accumulators == wanted.keys()


def test_a_second_batch_is_added_where_the_first_one_stays(tmp_path: Path) -> None:
    write_small("mlp", tmp_path / "model.onnx", seed=1)
    form = Form(tmp_path / "model.onnx", tmp_path / "a.sparcl", CompileOptions(sparsity=0.75))
    current, _ = batches(3, tuple(form.manifest.model.input_shape))
    once = gradients_of(form, "measure")
    into = {weight.accumulator: weight.g1 for weight in form.manifest.weights}
    for first, times in ((False, 2), (False, 3), (True, 1)):
        form.engine.run("measure", current.feeds(first=first), into)
        for weight in form.manifest.weights:
            np.testing.assert_allclose(form.engine.array(weight.g1), times * once[weight.accumulator], rtol=1e-6)


FOR_TRAINING = pytest.param({"target": "ort-training"}, marks=pytest.mark.training_build)


@pytest.mark.parametrize("gradient_sparsity", [0.0, 0.9])
@pytest.mark.parametrize("options", [{}, {"replay_batches": "merged"}, FOR_TRAINING], ids=str)
def test_where_weights_grow_by_gradient_those_of_pruned_weights_are_measured(
    options: dict[str, Any], gradient_sparsity: float, tmp_path: Path
) -> None:
    """They are what training gives where nothing is masked and the pruned weights are 0."""
    write_small("pooled", tmp_path / "model.onnx", seed=1)
    wanted = {"mask_policy": "rigl", "sparsity": 0.75, "gradient_sparsity": gradient_sparsity, "method": "der++"}
    form = Form(tmp_path / "model.onnx", tmp_path / "a.sparcl", CompileOptions(**{**wanted, **options}))
    found = gradients_of(form, "measure")
    plain = CompileOptions(sparsity=0.0, gradient_sparsity=0.0, target=options.get("target", TARGET))
    dense = Form(tmp_path / "model.onnx", tmp_path / "dense.sparcl", plain)
    for weight in form.manifest.weights:
        dense.engine.set_array(weight.weight, form.engine.array(weight.weight))
    current, _ = batches(3, tuple(dense.manifest.model.input_shape))
    inputs = {one.name for one in dense.engine.spec("train").inputs}
    dense.engine.run("train", {k: v for k, v in current.feeds(first=True).items() if k in inputs})
    for weight in form.manifest.weights:
        mask = form.engine.array(str(weight.mask))
        assert found[weight.accumulator][mask == 0].any()
        check_same(found[weight.accumulator], dense.engine.array(weight.accumulator), weight.weight)
