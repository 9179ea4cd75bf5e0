"""The bytes that training with compressed weights holds and writes, against dense training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import export
from models.resnet import resnet18
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import Artifact, load
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.names import Role
from sparcl_compile.runtime import checkpoint
from sparcl_compile.runtime.session import kernel_library as kernels
from sparcl_compile.runtime.session.engine import Engine
from sparcl_compile.settings.options import CompileOptions

pytestmark = pytest.mark.skipif(kernels.library() is None, reason=kernels.reason())

VALUE_AND_INDEX = 2.0
SLACK = 1.15
"""The room that masks grow into, and the beginnings of the rows."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bytes") / "model.onnx"
    torch.manual_seed(0)
    export(resnet18(width=32, classes=10), (3, 32, 32), path)
    return path


def held(manifest: Manifest, weights: set[str]) -> int:
    """Bytes of the state of these weights: values and places, gradients, optimizer.

    Measured gradients take memory only from the measurement to the mask update that it is for.
    """
    specs = [spec for spec in manifest.state if any(spec.name.startswith(weight) for weight in weights)]
    specs = [spec for spec in specs if spec.role is not Role.MEASURED]
    return sum(int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize for spec in specs)


def checkpoint_bytes(artifact: Artifact, weights: set[str], folder: Path) -> int:
    """Bytes of a checkpoint's file that are these weights': what a run saves of an engine (runtime/runs/run.py)."""
    engine = Engine(artifact, threads=1)
    engine.reset_all()
    saved = {name: array for name, array in engine.saved().items() if any(name.startswith(w) for w in weights)}
    checkpoint.save(folder, saved, {}, {})
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("sparsity", [0.75, 0.90, 0.95])
def test_state_and_checkpoint_are_as_small_as_the_kept_weights(sparsity: float, model: Path, tmp_path: Path) -> None:
    made = {}
    for name, options in {
        "dense": CompileOptions(sparsity=0.0, gradient_sparsity=0.0, momentum=0.9),
        "sparse": CompileOptions(sparsity=sparsity, gradient_sparsity=0.0, momentum=0.9, compress=True),
    }.items():
        compile_model(model, tmp_path / f"{name}.sparcl", options)
        made[name] = load(tmp_path / f"{name}.sparcl")
    manifest = made["sparse"].manifest
    weights = {layer.weight for layer in manifest.weights if layer.stored != "masked"}
    assert len(weights) == 16
    bound = SLACK * VALUE_AND_INDEX * (1.0 - sparsity)
    dense, sparse = (held(made[name].manifest, weights) for name in ("dense", "sparse"))
    assert 0.5 * (1.0 - sparsity) < sparse / dense < bound
    saved = {name: checkpoint_bytes(made[name], weights, tmp_path / name) for name in made}
    assert 0.5 * (1.0 - sparsity) < saved["sparse"] / saved["dense"] < bound
