"""The graphs that keep outputs from before a task, against NumPy."""

import numpy as np
import pytest

from sparcl_compile.graphs import old_targets, recall, record_outputs, see_classes
from sparcl_compile.interface.names import Role
from tests.support import harness

CLASSES = 4


@pytest.mark.parametrize("build", [old_targets.build, recall.build, record_outputs.build, see_classes.build])
def test_form(build: object) -> None:
    graph = harness.Graph(build(CLASSES))  # type: ignore[operator]
    graph.check_form()
    assert set(graph.roles.values()) == {Role.METHOD}


def test_outputs_are_written_and_read_by_sample() -> None:
    rng = np.random.default_rng(0)
    held, logits = (rng.normal(size=(rows, CLASSES)).astype(np.float32) for rows in (6, 2))
    feeds = {"logits": logits, "first": np.array(3), "sample_outputs": held}
    found = harness.Graph(record_outputs.build(CLASSES))(feeds)["sample_outputs.next"]
    wanted = held.copy()
    wanted[3:5] = logits
    np.testing.assert_array_equal(found, wanted)
    rows = harness.Graph(recall.build(CLASSES))({"sample_id": np.array([4, 0]), "sample_outputs": found})["outputs"]
    np.testing.assert_array_equal(rows, wanted[[4, 0]])


def test_classes_are_remembered() -> None:
    seen = np.array([0, 1, 0, 0], np.float32)
    found = harness.Graph(see_classes.build(CLASSES))({"classes": np.array([3, 0]), "classes_seen": seen})
    assert found["classes_seen.next"].tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("samples", [0, 3])
def test_old_classes_are_the_target(samples: int) -> None:
    outputs = np.arange(samples * CLASSES, dtype=np.float32).reshape(samples, CLASSES)
    feeds = {"outputs": outputs, "distill": np.array(0.7), "classes_seen": np.array([0, 1, 1, 0], np.float32)}
    found = harness.Graph(old_targets.build(CLASSES))(feeds)
    wanted = np.full((samples, CLASSES), -1e9, np.float32)
    wanted[:, 1:3] = outputs[:, 1:3]
    np.testing.assert_array_equal(found["distill_target"], wanted)
    np.testing.assert_array_equal(found["distill_weight"], np.full(samples, 0.7 / max(samples, 1), np.float32))
