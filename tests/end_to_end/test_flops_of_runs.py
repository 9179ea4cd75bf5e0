"""The FLOPs of whole runs, counted a second time from the masks that every batch met."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.export import export
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.runtime.session.engine import Engine
from sparcl_compile.settings.options import CompileOptions
from tests.reference.policies import macs
from tests.runtime.driver.test_trainer import array_of
from tests.support.cli import write_data

TASKS, EPOCHS = 2, 2
GRADIENT_MASKS = {"gradient_sparsity": 0.9}
SHAPE = (3, 8, 8)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(8, 12, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(12, 6),
    )


@dataclasses.dataclass
class Counter:
    """Counts two FLOPs a multiply-accumulate, by the masks that a batch meets.

    Forward and gradient of the input take the kept weights, the gradient of the weight those that it is used for.

    Attributes:
        run: whose graphs are called.
        macs: multiply-accumulates of one sample by the name of the weight.
        whole: whether gradients of pruned weights are measured.
        true: all that was computed.
        paper: the same by the papers: no backward pass of replayed samples, nothing measured.
        current: samples of the task that were trained on.
        replayed: samples of the buffer that were trained on.
    """

    run: Run
    macs: dict[str, int]
    whole: bool
    true: float = 0.0
    paper: float = 0.0
    current: int = 0
    replayed: int = 0

    def see(self, graph: str, feeds: Any) -> None:
        """Add a call of a graph that is about to be made."""
        if graph not in ("train", "measure"):
            return
        rows, ids = len(array_of(feeds["labels"])), array_of(feeds["sample_id"])
        forward, trained, measured = self._costs()
        if graph == "measure":
            self.true += rows * measured
            return
        replayed = bool((ids == -1).all())
        self.true += rows * trained
        self.paper += rows * (forward if replayed else trained)
        self.replayed += rows * replayed
        self.current += rows * (not replayed)

    def _costs(self) -> tuple[float, float, float]:
        """FLOPs of one sample: forward, trained on, and measured."""
        layers, forward, used = {one.weight: one for one in self.run.engine.manifest.weights}, 0.0, 0.0
        for name, number in self.macs.items():
            layer = layers.get(name)
            kept = self._share(layer.mask) if layer else 1.0
            forward += 2.0 * number * kept
            used += 2.0 * number * (self._share(layer.gradient_mask) if layer and layer.gradient_mask else kept)
        dense = 2.0 * sum(self.macs.values())
        return forward, 2.0 * forward + used, 3.0 * (dense if self.whole else forward)

    def _share(self, mask: str | None) -> float:
        return float(self.run.engine.array(mask).mean(dtype=np.float64)) if mask else 1.0


@pytest.mark.parametrize(
    ("whole", "options"),
    [
        (False, {"mask_policy": "static", **GRADIENT_MASKS}),
        (False, {"mask_policy": "static", "method": "finetune", "gradient_sparsity": 0.0}),
        (False, {"mask_policy": "gradual", **GRADIENT_MASKS}),
        (False, {"mask_policy": "mest-em-s", **GRADIENT_MASKS}),
        (True, {"mask_policy": "rigl", **GRADIENT_MASKS}),
        (True, {"mask_policy": "set", "growth": "gradient", "gradient_sparsity": 0.0}),
        (False, {"sparsity": 0.0, "gradient_sparsity": 0.0}),
        (False, {"sparsity": 0.0, "gradient_sparsity": 0.6, "recipe": "reference-code"}),
    ],
    ids=str,
)
def test_a_run_costs_what_its_batches_did(
    whole: bool, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = network()
    export(module, SHAPE, tmp_path / "plain.onnx")
    given = {"sparsity": 0.75, "data_removal": 0.0, "target": "ort", "dense": ("0.*",), "method": "der++", **options}
    compile_model(tmp_path / "plain.onnx", tmp_path / "a.sparcl", CompileOptions(**given))
    config = RunConfig(data=write_data(tmp_path), tasks=TASKS, epochs=EPOCHS, batch_size=8, buffer_size=20, threads=1)
    run = Run(load(tmp_path / "a.sparcl"), config, tmp_path / "run")
    counter, original = Counter(run, macs(module, SHAPE), whole), Engine.run

    def watched(engine: Engine, graph: str, feeds: Any, instead: Any = None) -> Any:
        counter.see(graph, feeds)
        return original(engine, graph, feeds, instead)

    monkeypatch.setattr(Engine, "run", watched)
    with Reporter(console(), TASKS, EPOCHS, quiet=True) as reporter:
        run.train(reporter)
    names = ("true_dense", "true_sparse", "paper_dense", "paper_sparse")
    found = {name: float(run.trainer.result(f"result.{name}")) for name in names}
    dense, all_rows = 2.0 * sum(counter.macs.values()), counter.current + counter.replayed
    assert (counter.current, counter.replayed) == (run.trainer["samples_seen"], run.trainer["samples_replayed"])
    assert counter.current > 0
    wanted = {
        "true_dense": 3.0 * dense * all_rows,
        "true_sparse": counter.true,
        "paper_dense": 3.0 * dense * counter.current + dense * counter.replayed,
        "paper_sparse": counter.paper,
    }
    assert found == pytest.approx(wanted, rel=1e-9)
