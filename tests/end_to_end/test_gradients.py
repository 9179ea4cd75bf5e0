"""Gradients of the compiled training graph against PyTorch autograd, model by model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import MODELS, build, export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.names import accumulator_name
from sparcl_compile.passes.importing.naming import is_reserved
from sparcl_compile.runtime.session.engine import Engine, Sizes
from sparcl_compile.settings.options import CompileOptions
from tests.support.batches import Batch, class_mask

BATCH = 6
CLASSES = 5
TOLERANCE = 1e-4
WIDTHS = {"mlp": 32, "cnn": 8, "depthwise_cnn": 8, "resnet18": 8, "transformer": 16, "digits_cnn": 8, "sensor_cnn": 8}


def batch_for(shape: tuple[int, ...]) -> Batch:
    rng = np.random.default_rng(5)
    return Batch(
        x=rng.normal(size=(BATCH, *shape)).astype(np.float32),
        labels=rng.integers(0, 3, BATCH),
        class_mask=np.tile(class_mask(CLASSES, [0, 1, 2]), (BATCH, 1)),
        ce_weight=rng.uniform(0.1, 0.3, BATCH).astype(np.float32),
        distill_target=rng.normal(size=(BATCH, CLASSES)).astype(np.float32),
        distill_weight=rng.uniform(0.0, 0.1, BATCH).astype(np.float32),
        sample_id=np.arange(BATCH),
    )


def autograd(module: torch.nn.Module, masks: dict[str, np.ndarray], batch: Batch) -> dict[str, np.ndarray]:
    """Gradients of the loss with respect to the unmasked weights, through ``weight * mask``, in double precision."""
    module = module.double().train()
    parameters = {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters()}
    masked = {n: p * torch.from_numpy(masks[n]).double() if n in masks else p for n, p in parameters.items()}
    logits = torch.func.functional_call(module, masked, (torch.from_numpy(batch.x).double(),))
    scores = logits + torch.from_numpy(batch.class_mask)
    ce = torch.nn.functional.cross_entropy(scores, torch.from_numpy(batch.labels), reduction="none")
    error = (logits - torch.from_numpy(batch.distill_target)).square().mean(1)
    loss = (torch.from_numpy(batch.ce_weight) * ce + torch.from_numpy(batch.distill_weight) * error).sum()
    loss.backward()
    return {name: p.grad.numpy() for name, p in parameters.items() if p.grad is not None}


def stored(parameter: str) -> str:
    """The name in the artifact: a name that graphs of the artifact use (``position``) has got an ending."""
    return f"{parameter}.weight" if is_reserved(parameter) else parameter


@pytest.mark.parametrize("sparsity", [0.0, 0.7])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_gradients_equal_autograd(name: str, sparsity: float, tmp_path: Path) -> None:
    # A seed by which no ReLU's input lies within rounding of zero: there two right gradients may differ.
    module = build(name, WIDTHS[name], CLASSES, seed=0)
    shape = MODELS[name][1]
    export(module, shape, tmp_path / "model.onnx")
    compile_model(
        tmp_path / "model.onnx",
        tmp_path / "model.sparcl",
        CompileOptions(sparsity=sparsity, gradient_sparsity=0.0, replay_batches="separate"),
    )
    engine = Engine(load(tmp_path / "model.sparcl"), threads=1, sizes=Sizes(dimensions={"samples": BATCH}))
    engine.reset_all()
    batch = batch_for(shape)
    engine.run("train", batch.feeds(first=True))

    masks = {n.removesuffix(".mask"): engine.array(n) for n in engine.names("mask")}
    assert bool(masks) == (sparsity > 0)
    with torch.no_grad():
        for parameter_name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(engine.array(stored(parameter_name))))
    wanted = {stored(parameter_name): gradient for parameter_name, gradient in autograd(module, masks, batch).items()}
    assert set(wanted) == set(engine.names("parameter"))
    scale = max(np.abs(gradient).max() for gradient in wanted.values())
    for parameter_name, gradient in wanted.items():
        found = engine.array(accumulator_name(parameter_name))
        # A bias in front of BatchNormalization has gradient 0 up to rounding: its error is relative to the whole.
        size = max(np.abs(gradient).max(), 1e-3 * scale)
        assert np.abs(found - gradient).max() / size < TOLERANCE, parameter_name
