from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.differentiating.attach_loss import AttachLoss
from sparcl_compile.passes.differentiating.insert_sample_filter import SCORES, InsertSampleFilter
from tests.passes.differentiating.test_attach_loss import NOTHING
from tests.support.small_model import changed_lines, forward_model, run_twice

EYE = np.eye(3, dtype=np.float32) * 5


def filtered(score: str) -> ir.Model:
    model = ir.from_onnx_text(NOTHING)
    AttachLoss().call(model)
    InsertSampleFilter(score=score).call(model)
    return model


def step(model: ir.Model, state: Mapping[str, np.ndarray], answers: list[int], labels: list[int], ids: list[int]):
    size = len(ids)
    feeds = {
        "x": EYE[answers],
        "labels": np.array(labels),
        "class_mask": np.zeros((size, 3), np.float32),
        "ce_weight": np.ones(size, np.float32),
        "distill_target": np.zeros((size, 3), np.float32),
        "distill_weight": np.zeros(size, np.float32),
        "sample_id": np.array(ids),
        **state,
    }
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    names = [value.name for value in model.graph.outputs]
    results = dict(zip(names, session.run(names, feeds), strict=True))
    after = {**state, **{n.removesuffix(".next"): v for n, v in results.items() if n.endswith(".next")}}
    return results["loss"], after


def fresh(score: str, samples: int = 4) -> dict[str, np.ndarray]:
    counters = {name: np.zeros(samples, np.int64) for name in SCORES[score]}
    return {"sample_keep": np.ones(samples, np.float32), **counters}


@pytest.mark.parametrize("score", SCORES)
def test_the_weight_is_read_through_the_filter(score: str) -> None:
    model = forward_model()
    AttachLoss()(model)
    before = run_twice(InsertSampleFilter(score=score), model)
    changes = changed_lines(before, model)
    assert [line for line in changes if line.startswith("-")] == [
        '-["loss.weighted_cross_entropy"] "loss.weighted_cross_entropy" = Mul ("loss.cross_entropy", ce_weight)'
    ]
    assert [v.name for v in values_with_role(model, Role.SAMPLE)] == ["sample_keep", *_in_graph_order(model, score)]
    added = [node for node in model.graph if node.metadata_props.get(PASS_KEY) == "insert_sample_filter"]
    assert len(added) == sum(line.startswith("+") for line in changes) - 1


def _in_graph_order(model: ir.Model, score: str) -> list[str]:
    return [str(v.name) for v in model.graph.inputs if v.name in SCORES[score]]


def test_misclassifications_are_counted_and_replay_is_not() -> None:
    _, after = step(filtered("misclassified"), fresh("misclassified"), [0, 1, 2], [0, 2, 1], [3, 1, -1])
    np.testing.assert_array_equal(after["sample_score"], [0, 1, 0, 0])
    np.testing.assert_array_equal(after["sample_seen"], [0, 1, 0, 1])


def test_classes_that_take_no_part_are_no_answers() -> None:
    """The largest logit of both samples is that of class 0, which the mask leaves out: the next one counts."""
    masked = {"class_mask": np.tile(np.array([-1e9, 0, 0], np.float32), (2, 1))}
    _, after = step(filtered("misclassified"), {**fresh("misclassified"), **masked}, [0, 0], [1, 2], [0, 1])
    np.testing.assert_array_equal(after["sample_score"], [0, 1, 0, 0])


def test_forgetting_counts_changes_from_correct_to_wrong() -> None:
    model, state = filtered("forgetting"), fresh("forgetting")
    for answer in (1, 0, 1, 1, 0, 2):
        _, state = step(model, state, [answer, 2], [0, 0], [2, -1])
    np.testing.assert_array_equal(state["sample_score"], [0, 0, 2, 0])
    np.testing.assert_array_equal(state["sample_seen"], [0, 0, 6, 0])
    np.testing.assert_array_equal(state["sample_learned"], [0, 0, 1, 0])
    np.testing.assert_array_equal(state["sample_correct"], [0, 0, 0, 0])


def test_a_removed_sample_has_no_loss_and_a_replayed_one_has() -> None:
    model, state = filtered("misclassified"), fresh("misclassified")
    state["sample_keep"][:2] = 0
    alone, _ = step(model, state, [0], [1], [3])
    with_removed, _ = step(model, state, [0, 0], [1, 1], [3, 1])
    with_replayed, _ = step(model, state, [0, 0], [1, 1], [3, -1])
    assert with_removed == alone
    assert with_replayed == pytest.approx(2 * alone)
