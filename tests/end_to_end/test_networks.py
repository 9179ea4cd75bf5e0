"""Networks that people train, compiled for the target ``ort``: gradients against autograd, and the loss falls."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.names import accumulator_name
from sparcl_compile.runtime.session.engine import Engine, Sizes
from sparcl_compile.settings.options import CompileOptions
from tests.end_to_end.test_gradients import BATCH, TOLERANCE, autograd, batch_for
from tests.support.networks import NETWORKS

STEPS = 12
RATE, RATES = 0.05, {"lstm_keywords": 0.5, "gru_keywords": 0.5, "mobilenet_v3": 0.2}
"""Learning rates by network, and that of the others: a recurrent layer of small weights learns slowly."""


GATES = {3: [1, 0, 2], 4: [0, 3, 1, 2]}
"""The order of PyTorch's gates in ONNX, by their number: GRU, LSTM."""


def engine_of(name: str, folder: Path) -> tuple[Engine, torch.nn.Module, tuple[int, ...]]:
    """The artifact of a seeded network, whose gradients are stored, and the network."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    module = make()
    with torch.no_grad():
        for parameter in module.parameters():
            # No two of them are alike: they are found by their values.
            parameter += 0.1 * torch.randn_like(parameter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(module, shape, folder / "model.onnx")
    options = CompileOptions(sparsity=0.0, gradient_sparsity=0.0, replay_batches="separate")
    compile_model(folder / "model.onnx", folder / "model.sparcl", options)
    engine = Engine(load(folder / "model.sparcl"), threads=1, sizes=Sizes(dimensions={"samples": BATCH}))
    engine.reset_all()
    return engine, module, shape


def written(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Parameters, or their gradients, as the exporter writes them: gates in ONNX's order, two biases in one tensor."""
    found = []
    for name, one in arrays.items():
        if ".bias_hh" in name:
            continue
        parts = [one, arrays[name.replace("_ih", "_hh")]] if ".bias_ih" in name else [one]
        if not name.startswith("recurrent."):
            found += [one, one.T]
            continue
        gates = len(one) // arrays["recurrent.weight_hh_l0"].shape[1]
        found += [np.concatenate([np.split(part, gates)[gate] for part in parts for gate in GATES[gates]])[None]] * 2
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_autograd(name: str, tmp_path: Path) -> None:
    engine, module, shape = engine_of(name, tmp_path)
    batch = batch_for(shape)
    values = {n: p.detach().numpy().copy() for n, p in module.named_parameters()}
    ours = {n: engine.array(n).copy() for n in engine.names("parameter")}
    engine.run("train", batch.feeds(first=True))
    pairs = list(zip(written(values), written(autograd(module, {}, batch)), strict=True))
    scale = max(np.abs(gradient).max() for _, gradient in pairs)
    for parameter, array in ours.items():
        wanted = next(gradient for value, gradient in pairs if np.array_equal(value, array))
        size = max(np.abs(wanted).max(), 1e-3 * scale)
        found = engine.array(accumulator_name(parameter))
        assert np.abs(found - wanted).max() / size < TOLERANCE, parameter
    assert len(ours) == len(pairs) // 2


@pytest.mark.parametrize("name", NETWORKS)
def test_the_loss_falls(name: str, tmp_path: Path) -> None:
    """Plain descent on one batch, by the artifact's own graphs."""
    engine, _, shape = engine_of(name, tmp_path)
    batch = batch_for(shape)
    losses = []
    for count in range(1, STEPS + 1):
        losses.append(float(engine.run("train", batch.feeds(first=True))["loss"].numpy()))
        of_step = {"count": np.float32(count), "task_step": np.int64(count - 1)}
        engine.run("optimizer", {"learning_rate": np.float32(RATES.get(name, RATE)), **of_step})
    assert np.isfinite(losses).all()
    assert min(losses[-2:]) < 0.9 * losses[0], losses
