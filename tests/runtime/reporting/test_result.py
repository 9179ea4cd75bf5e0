"""The result of a run: JSON that says what the last block of the program gave, under the keys that are promised."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from sparcl_compile.interface.errors import ArtifactError
from sparcl_compile.runtime.config import RunConfig
from sparcl_compile.runtime.data.tasks import Task
from sparcl_compile.runtime.reporting.result import COUNTS, FLOPS, METRICS, build_result
from tests.reference.metrics import average_accuracy, summary
from tests.support import described

NAN = math.nan
HAND = np.array([[90.0, NAN, NAN], [95.0, 80.0, NAN], [60.0, 84.0, 70.0]])
OTHER = np.array([[99.0, NAN, NAN], [98.0, 97.0, NAN], [96.0, 95.0, 94.0]])
STATE = {"accuracy.class": HAND, "accuracy.task": OTHER}
CONFIG = RunConfig(data="digits", learning_rate=0.03, seed=7)


@dataclasses.dataclass
class Finished:
    """Stands for a trainer behind the block ``end_run``."""

    results: dict[str, Any]
    counters: dict[str, int]
    seconds: float = 4.0

    def __getitem__(self, name: str) -> int:
        return self.counters[name]

    def result(self, name: str) -> np.ndarray:
        return np.asarray(self.results[name])


def finished(**changed: object) -> Finished:
    given = {f"result.{name}": np.float64(value) for name, value in summary(HAND, OTHER).items()}
    given |= {f"result.{name}": np.float64(number) for number, name in enumerate(FLOPS)}
    given |= {f"result.{prefix}overall": np.float64(0.75) for prefix in ("", "gradient_")}
    given |= {"result.per_layer": np.array([0.5, 1.0]), "result.gradient_per_layer": np.array([0.25, 0.5])}
    counters = {name: 10 * (number + 1) for number, name in enumerate(COUNTS)} | {"step": 12}
    return Finished({**given, "result.all_parameters": np.float64(0.6), **changed}, counters)


def result(run: Finished, weights: tuple[str, ...] = ("a.weight", "b.weight")) -> dict[str, Any]:
    manifest = described.manifest(weights=tuple(described.weight(name, (2, 2), 2, 1) for name in weights))
    nothing = np.zeros(0)
    tasks = [Task(classes, nothing, nothing, nothing, nothing) for classes in ((0, 1), (2,))]
    found = build_result(manifest, STATE, run, CONFIG, tasks)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def test_the_metrics_are_json_with_none_for_what_was_not_measured() -> None:
    found = result(finished())
    assert found["accuracy_matrix"][0] == [90.0, None, None]
    assert found["task_accuracy_matrix"][1] == [98.0, 97.0, None]
    assert found["class_il"] == average_accuracy(HAND)
    assert found["task_il"] == pytest.approx(95.0)
    assert found["task_forgetting"] == pytest.approx(((99 - 96) + (97 - 95)) / 2)
    keys = {"class_il", "task_il", "accuracy_matrix", "forgetting", "backward_transfer", "learning_accuracy"}
    assert keys <= found.keys()
    assert {name: found[name] for name in METRICS} == summary(HAND, OTHER)


def test_sparsities_stand_under_the_names_of_the_weights() -> None:
    found = result(finished())
    layers = {"a.weight": 0.5, "b.weight": 1.0}
    assert found["sparsity"] == {"overall": 0.75, "per_layer": layers, "all_parameters": 0.6}
    assert found["gradient_sparsity"] == {"overall": 0.75, "per_layer": {"a.weight": 0.25, "b.weight": 0.5}}


def test_where_gradients_are_not_masked_there_are_no_layers() -> None:
    found = result(finished(**{"result.gradient_per_layer": np.zeros(0)}))
    assert found["gradient_sparsity"]["per_layer"] == {}
    assert found["sparsity"]["per_layer"].keys() == {"a.weight", "b.weight"}


def test_counters_and_speed() -> None:
    run = finished()
    found = result(run)
    assert {name: found[name] for name in COUNTS} == {name: run[name] for name in COUNTS}
    assert (found["optimizer_steps"], found["training_seconds"]) == (12, 4.0)
    assert found["samples_per_second"] == run["samples_seen"] / 4.0
    assert found["training_flops"] == {"paper_dense": 0.0, "paper_sparse": 1.0, "true_dense": 2.0, "true_sparse": 3.0}


def test_a_run_that_took_no_time_has_no_speed() -> None:
    run = finished()
    run.seconds = 0.0
    assert result(run)["samples_per_second"] == 0.0


def test_the_run_is_told() -> None:
    found = result(finished())
    assert found["seed"] == 7
    assert found["classes_by_task"] == [[0, 1], [2]]
    assert found["config"]["learning_rate"] == 0.03
    assert "threads" not in found["config"]


def test_more_layers_than_weights_are_refused() -> None:
    with pytest.raises(ArtifactError, match="names 1 masked weights, the artifact's graphs count 2; compile"):
        result(finished(), weights=("a.weight",))


def test_a_result_that_the_program_did_not_give_is_refused() -> None:
    run = finished()
    del run.results["result.class_il"]
    with pytest.raises(KeyError, match=r"result\.class_il"):
        result(run)
