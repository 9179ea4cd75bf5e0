"""PackNet in whole runs: what an earlier task has learned stays as it was, to the bit."""

from pathlib import Path

import numpy as np
import pytest

from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.reporting.progress import Reporter
from sparcl_compile.runtime.reporting.report import console
from sparcl_compile.runtime.runs.observer import Observer
from sparcl_compile.runtime.runs.run import Run
from sparcl_compile.settings.options import CompileOptions
from tests.support.cli import write_model

DENSE = {"sparsity": 0.0, "gradient_sparsity": 0.0}
TASKS = 3


class Watched(Run):
    """A run that looks at its state when a task is over."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.owned: list[dict[str, np.ndarray]] = []
        self.answers: list[np.ndarray] = []
        rng = np.random.default_rng(0)
        self.asked = rng.normal(size=(4, *self.dataset.sample_shape)).astype(np.float32)

    def answer(self, of: int) -> np.ndarray:
        """The logits of the network of a task."""
        return self.engine.run("eval_of", {"x": self.asked, "of": np.array(of)})["logits"].numpy().copy()

    def _train_task(self, reporter: Reporter, observer: Observer) -> None:
        super()._train_task(reporter, observer)
        self.owned.append({name: self.engine.array(name).copy() for name in self.names()})
        self.answers.append(self.answer(len(self.answers)))

    def names(self) -> list[str]:
        return [*self.engine.names("parameter"), *self.engine.names("method")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, rng = tmp_path_factory.mktemp("data") / "colours.npz", np.random.default_rng(0)
    y = np.arange(72) % 6
    x = (rng.integers(0, 156, size=(72, 3, 8, 8)) + 20 * y[:, None, None, None]).astype(np.uint8)
    np.savez(path, x_train=x, y_train=y, x_test=x[:18], y_test=y[:18])
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9, "target": "ort"},
        {"optimizer": "adamw", "target": "ort-training", "data_removal": 0.0},
        {"target": "ort", "update": "last:2"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_earlier_tasks_stay_to_the_bit(options: dict[str, object], data: Path, tmp_path: Path) -> None:
    chosen = CompileOptions(method="packnet", classes=6, **DENSE, **options)  # type: ignore[arg-type]
    compile_model(write_model(tmp_path, "resnet"), tmp_path / "a.sparcl", chosen)
    config = RunConfig(data=f"npz:{data}", tasks=TASKS, epochs=3, batch_size=4, learning_rate=0.05, threads=1)
    run = Watched(load(tmp_path / "a.sparcl"), config, tmp_path / "run")
    with Reporter(console(), TASKS, 3, quiet=True) as reporter:
        run.train(reporter)
    last, packed = run.owned[-1], [name for name in run.names() if f"{name}.owner" in run.owned[0]]
    assert packed
    for task, before in enumerate(run.owned):
        for name in packed:
            mine = before[f"{name}.owner"] == task + 1
            count = mine.size * (task + 1) // TASKS - mine.size * task // TASKS
            assert np.count_nonzero(mine) == count, (task, name)
            np.testing.assert_array_equal(before[name][mine], last[name][mine], err_msg=f"{name} of task {task}")
            np.testing.assert_array_equal(last[f"{name}.owner"][mine], task + 1)
            assert not before[name][before[f"{name}.owner"] == -1].any()
        own = list(run.tasks[task].classes)
        np.testing.assert_array_equal(run.answer(task)[:, own], run.answers[task][:, own])
    moved = [name for name in packed if (run.owned[0][name] != last[name]).any()]
    assert moved == packed, "later tasks learn"
    accuracy = run.engine.array("accuracy.task")
    for of in range(TASKS):
        assert len(set(accuracy[of:, of].tolist())) == 1, "nothing is forgotten"
