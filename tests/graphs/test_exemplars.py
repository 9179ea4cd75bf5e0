"""iCaRL's graphs against NumPy: targets, herding, the reduction of the buffer, the nearest mean."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.graphs import (
    add_means,
    begin_herding,
    buffer_rows,
    buffer_slots,
    herd,
    nearest_mean,
    place_exemplar,
    record_features,
    reduce_exemplars,
    renew_outputs,
    sigmoid_targets,
)
from sparcl_compile.interface.names import Role
from tests.reference.methods import herding, unit
from tests.support import harness

CLASSES, SIZE = 4, 3
Arrays = dict[str, harness.Array]


def run(model: ir.Model, feeds: Arrays) -> Arrays:
    """The graph in ONNX Runtime alone: sums of floats may differ from onnx.reference's in the last bit."""
    session = harness.session(model)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {k: np.asarray(v) for k, v in feeds.items()}), strict=True))


@pytest.mark.parametrize(
    "model",
    [
        add_means.build(CLASSES, SIZE),
        begin_herding.build(CLASSES, SIZE),
        buffer_rows.build(ir.DataType.UINT8),
        buffer_slots.build(4),
        herd.build(SIZE),
        nearest_mean.build(CLASSES, SIZE),
        place_exemplar.build(),
        record_features.build(SIZE),
        reduce_exemplars.build(CLASSES),
        renew_outputs.build(CLASSES),
        sigmoid_targets.build(CLASSES),
    ],
    ids=lambda model: model.graph.name,
)
def test_form(model: ir.Model) -> None:
    graph = harness.Graph(model)
    graph.check_form()
    assert set(graph.roles.values()) <= {Role.BUFFER, Role.METHOD}


def test_targets_are_old_outputs_and_new_labels() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (3, CLASSES)).astype(np.float32)
    seen = np.array([0, 1, 0, 0], np.float32)
    feeds = {"outputs": logits, "labels": [0, 3, 1], "classes": [3, 0], "distill": np.array(0.5), "classes_seen": seen}
    found = run(sigmoid_targets.build(CLASSES), feeds)
    wanted = np.array([[1, 0, -1, 0], [0, 0, -1, 1], [0, 0, -1, 0]], np.float32)
    wanted[:, 1] = 1 / (1 + np.exp(-logits[:, 1]))
    np.testing.assert_allclose(found["distill_target"], wanted, rtol=1e-6)
    np.testing.assert_array_equal(found["distill_weight"], np.full(3, 0.5 / 3, np.float32))
    np.testing.assert_array_equal(found["ce_weight"], np.zeros(3))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("room", "members"), [(12, 6), (9, 4), (40, 5), (4, 1)])
def test_herding_chooses_as_algorithm_4_does(seed: int, room: int, members: int) -> None:
    """Exemplar by exemplar, as a program calls the graphs; with more room than samples all of them, each once."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation([0] * 4 + [2] * members)
    features = unit(rng.normal(size=(len(labels), SIZE)).astype(np.float32))
    state: Arrays = {"sample_features": features, "sample_labels": labels, "herd.chosen": rng.normal(size=3)}
    state["herd.chosen"] = state["herd.chosen"].astype(np.float32)
    seen = np.array([1, 0, 1, 1], np.float32)
    held = {"classes_seen": seen, "buffer.labels": np.full(room, 2), "buffer.seen": np.array(0)}
    begun = run(begin_herding.build(CLASSES, SIZE), {"classes": [0, 2], "member": np.array(1), **held, **state})
    assert begun["label"] == 2
    mine = np.flatnonzero(labels == 2)
    wanted = mine[herding(features[mine], min(room // 3, members))].tolist()
    assert begun["last_pick"] == len(wanted) - 1
    np.testing.assert_allclose(begun["herd.mean.next"], unit(features[mine].mean(axis=0)), rtol=1e-5, atol=1e-6)
    state |= {"herd.mean": begun["herd.mean.next"], "herd.chosen": begun["herd.chosen.next"]}
    picked = []
    for _ in wanted:
        found = run(herd.build(SIZE), {"label": np.array(2), **state})
        picked += found["row"].tolist()
        state |= {"sample_labels": found["sample_labels.next"], "herd.chosen": found["herd.chosen.next"]}
    assert picked == wanted


def buffer(size: int) -> Arrays:
    rng = np.random.default_rng(size)
    return {
        "buffer.x": rng.normal(size=(size, 1, 2, 2)).astype(np.float32),
        "buffer.labels": np.array([1, 1, 1, 3, 3, 0, 0], np.int64)[:size],
        "buffer.logits": rng.normal(size=(size, CLASSES)).astype(np.float32),
        "buffer.rank": np.array([0, 1, 2, 0, 1, 0, 1], np.int64)[:size],
        "buffer.seen": np.array(5),
    }


@pytest.mark.parametrize(("classes", "kept"), [(3, [0, 1, 3, 4]), (4, [0, 3]), (1, [0, 1, 2, 3, 4])])
def test_the_first_exemplars_of_each_class_stay(classes: int, kept: list[int]) -> None:
    held, seen = buffer(7), np.zeros(CLASSES, np.float32)
    seen[:classes] = 1
    found = run(reduce_exemplars.build(CLASSES), {"classes": [2], "classes_seen": seen, **held})
    assert found["buffer.seen.next"] == len(kept)
    assert found["last_member"] == 0
    for name in ("buffer.x", "buffer.labels", "buffer.logits", "buffer.rank"):
        np.testing.assert_array_equal(found[f"{name}.next"][: len(kept)], held[name][kept])


@pytest.mark.parametrize(("classes", "kept"), [(3, [0, 3, 4]), (2, [0, 1, 3, 4]), (1, [0, 1, 2, 3, 4])])
def test_a_class_that_comes_again_makes_room(classes: int, kept: list[int]) -> None:
    """Of at most 2, 3 and 7 exemplars the first 1, 2 and 4 stay; the new ones take the other places, and no more."""
    held, seen = buffer(7), np.zeros(CLASSES, np.float32)
    seen[:classes] = 1
    own = {"classes": [2, 1], "classes_seen": seen}
    found = run(reduce_exemplars.build(CLASSES), {**own, **held})
    assert found["buffer.seen.next"] == len(kept)
    np.testing.assert_array_equal(found["buffer.x.next"][: len(kept)], held["buffer.x"][kept])
    after = {name: found[f"{name}.next"] for name in ("buffer.labels", "buffer.seen")}
    labels = np.array([1] * 9 + [2], np.int64)
    samples = {"sample_features": np.ones((10, SIZE), np.float32), "sample_labels": labels}
    chosen = {"herd.chosen": np.zeros(SIZE, np.float32)}
    begun = run(begin_herding.build(CLASSES, SIZE), {**own, "member": np.array(1), **after, **samples, **chosen})
    assert begun["last_pick"] + 1 == 7 // classes - sum(held["buffer.labels"][kept] == 1)


def test_an_exemplar_ranks_behind_the_older_ones_of_its_class() -> None:
    held = {name: value for name, value in buffer(7).items() if name != "buffer.logits"}
    found = run(
        place_exemplar.build(), {"x": np.zeros((1, 1, 2, 2), np.float32), "labels": [1], "pick": np.array(0), **held}
    )
    assert found["buffer.rank.next"][5] == 3


def test_an_exemplar_takes_the_first_free_slot() -> None:
    held = {name: value for name, value in buffer(7).items() if name != "buffer.logits"}
    found = run(
        place_exemplar.build(), {"x": np.full((1, 1, 2, 2), 9, np.float32), "labels": [2], "pick": np.array(3), **held}
    )
    assert (found["buffer.seen.next"], found["buffer.labels.next"][5], found["buffer.rank.next"][5]) == (6, 2, 3)
    np.testing.assert_array_equal(found["buffer.x.next"][5], np.full((1, 2, 2), 9))
    np.testing.assert_array_equal(found["buffer.x.next"][:5], held["buffer.x"][:5])


@pytest.mark.parametrize(("seen", "filled", "last"), [(0, 0, 0), (3, 3, 0), (4, 4, 0), (5, 5, 1), (99, 7, 1)])
def test_slots_come_in_chunks(seen: int, filled: int, last: int) -> None:
    found = run(buffer_slots.build(4), {"buffer.labels": np.zeros(7, np.int64), "buffer.seen": np.array(seen)})
    assert (found["slots"].tolist(), found["filled"], found["last_chunk"]) == ([*range(filled)], filled, last)


def test_rows_are_read_and_outputs_written() -> None:
    held = buffer(7)
    rows = run(
        buffer_rows.build(), {"slot": [4, 0], "buffer.x": held["buffer.x"], "buffer.labels": held["buffer.labels"]}
    )
    np.testing.assert_array_equal(rows["x"], held["buffer.x"][[4, 0]])
    assert rows["labels"].tolist() == [3, 1]
    new = np.ones((2, CLASSES), np.float32)
    found = run(renew_outputs.build(CLASSES), {"slot": [4, 0], "logits": new, "buffer.logits": held["buffer.logits"]})
    wanted = held["buffer.logits"].copy()
    wanted[[4, 0]] = 1
    np.testing.assert_array_equal(found["buffer.logits.next"], wanted)


def test_features_are_kept_at_length_1() -> None:
    features = np.array([[3e-9, 0, 4e-9], [0, 0, 0], [-5, 12, 0]], np.float32)
    state = {"sample_features": np.ones((5, SIZE), np.float32), "sample_labels": np.zeros(5, np.int64)}
    found = run(record_features.build(SIZE), {"features": features, "labels": [2, 1, 3], "first": np.array(1), **state})
    wanted = np.array([[1, 1, 1], [0.6, 0, 0.8], [0, 0, 0], [-5 / 13, 12 / 13, 0], [1, 1, 1]], np.float32)
    np.testing.assert_allclose(found["sample_features.next"], wanted, rtol=1e-6)
    assert found["sample_labels.next"].tolist() == [0, 2, 1, 3, 0]


def test_no_sample_of_another_class_is_an_exemplar() -> None:
    """Even where all of the class lie opposite to its mean."""
    features = np.array([[1, 0, 0], [-1, 0, 0], [-0.8, 0.6, 0]], np.float32)
    mean, chosen = np.array([1, 0, 0], np.float32), np.zeros(SIZE, np.float32)
    state = {"sample_features": features, "sample_labels": [0, 2, 2], "herd.mean": mean, "herd.chosen": chosen}
    assert run(herd.build(SIZE), {"label": np.array(2), **state})["row"].tolist() == [2]


def test_a_mean_may_add_up_to_nothing_over_its_features() -> None:
    """Only a class without exemplars has no mean."""
    sums = np.array([[2, -1, -1], [0, 0, 0], [0, 0, 0], [3, 0, 4]], np.float32)
    asked = np.array([[2, -1, -1]], np.float32)
    (found,) = run(nearest_mean.build(CLASSES, SIZE), {"features": asked, "exemplar_sums": sums})["logits"]
    other = np.linalg.norm(unit(asked[0]) - np.array([0.6, 0, 0.8])) ** 2
    np.testing.assert_allclose(found, [0, -1e9, -1e9, -other], atol=1e-6)


def test_the_nearest_mean_answers() -> None:
    """Equation 2, over exemplars of classes 1 and 3 in two chunks."""
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(5, SIZE)).astype(np.float32), np.array([1, 3, 3, 1, 1])
    sums = np.zeros((CLASSES, SIZE), np.float32)
    for part in (slice(0, 2), slice(2, 5)):
        feeds = {"features": features[part], "labels": labels[part], "exemplar_sums": sums}
        sums = run(add_means.build(CLASSES, SIZE), feeds)["exemplar_sums.next"]
    asked = rng.normal(size=(6, SIZE)).astype(np.float32)
    found = run(nearest_mean.build(CLASSES, SIZE), {"features": asked, "exemplar_sums": sums})["logits"]
    for label in (1, 3):
        mean = unit(unit(features[labels == label]).mean(axis=0))
        np.testing.assert_allclose(found[:, label], -(np.linalg.norm(unit(asked) - mean, axis=1) ** 2), atol=1e-5)
    assert (found[:, [0, 2]] == -1e9).all()
