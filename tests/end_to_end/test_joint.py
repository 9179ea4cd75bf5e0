"""Joint training: an epoch goes through the samples of all tasks so far."""

from pathlib import Path

import numpy as np

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.settings.options import CompileOptions
from tests.reference.hashing import stream
from tests.support.cli import write_model

TASKS, EACH, BATCH, EPOCHS, SEED = 3, 8, 4, 2, 5


def samples(folder: Path) -> Path:
    """Each sample is of one brightness, its number."""
    y = np.arange(TASKS * 2 * EACH) % (TASKS * 2)
    x = np.tile(np.arange(len(y), dtype=np.uint8)[:, None, None, None], (1, 3, 8, 8))
    np.savez(folder / "numbers.npz", x_train=x, y_train=y, x_test=x[:12], y_test=y[:12])
    return folder / "numbers.npz"


def test_every_epoch_presents_all_that_was_seen(tmp_path: Path) -> None:
    options = CompileOptions(
        method="joint", classes=6, sparsity=0.0, gradient_sparsity=0.0, data_removal=0.0, target="ort"
    )
    compile_model(write_model(tmp_path), tmp_path / "a.sparcl", options)
    data = samples(tmp_path)
    config = RunConfig(
        data=f"npz:{data}", tasks=TASKS, epochs=EPOCHS, batch_size=BATCH, seed=SEED, learning_rate=0.01, threads=1
    )
    run = Run(load(tmp_path / "a.sparcl"), config, tmp_path / "run")
    presented: list[tuple[int, int, list[int]]] = []

    def watch(graph: str, _: object) -> None:
        if graph == "batch":
            found = run.trainer.result("current.raw")[:, 0, 0, 0].tolist()
            presented.append((run.trainer["task"], run.trainer["epoch"], found))

    run.trainer.watch(watch)
    with Reporter(console(), TASKS, EPOCHS, quiet=True) as reporter:
        result = run.train(reporter)
    labels = np.arange(TASKS * 2 * EACH) % (TASKS * 2)
    for task in range(TASKS):
        # One task after another, each in the order of the data.
        seen = np.concatenate([np.flatnonzero(np.isin(labels, (2 * one, 2 * one + 1))) for one in range(task + 1)])
        for epoch in range(EPOCHS):
            rows = np.arange(len(seen))
            order = np.lexsort((rows, stream(SEED, "order", task, epoch, rows)))
            found = [number for at, when, batch in presented if (at, when) == (task, epoch) for number in batch]
            assert found == seen[order].tolist()
    assert result["samples_seen"] == EPOCHS * 2 * EACH * (1 + 2 + 3)
