"""The graphs between the gradients of a step and the move of the parameters, against NumPy."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.graphs import consolidate, keep_reference, project, pull_back
from sparcl_compile.graphs.gradients import Gradient
from sparcl_compile.interface.names import Role, accumulator_name, mask_name
from tests.support import harness

SHAPES = {"w": (3, 4), "b": (4,), "k": (2, 1, 1, 1), "s": ()}
GRADIENTS = [
    Gradient(name, shape, mask_name(name) if name == "w" else "", Role.MASK, 2.0 if name == "b" else 1.0)
    for name, shape in SHAPES.items()
]
Arrays = dict[str, harness.Array]


def run(model: ir.Model, feeds: Arrays) -> Arrays:
    """The graph in ONNX Runtime alone: sums of floats may differ from onnx.reference's in the last bit."""
    session = harness.session(model)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def drawn(seed: int, ending: str) -> Arrays:
    rng = np.random.default_rng(seed)
    return {f"{name}{ending}": rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def accumulators(seed: int) -> Arrays:
    return {accumulator_name(name): value for name, value in drawn(seed, "").items()}


@pytest.mark.parametrize(
    "model",
    [
        keep_reference.build(GRADIENTS),
        project.build(GRADIENTS),
        consolidate.build(GRADIENTS, 0.9),
        pull_back.build(GRADIENTS, 3.0),
    ],
    ids=lambda model: model.graph.name,
)
def test_form(model: ir.Model) -> None:
    harness.Graph(model).check_form()


def flat(values: Arrays) -> harness.Array:
    return np.concatenate([one.ravel() for one in values.values()]).astype(np.float64)


@pytest.mark.parametrize("size", [1.0, 1e-6])
@pytest.mark.parametrize("seed", range(8))
def test_a_gem_s_projection(seed: int, size: float) -> None:
    """Equation 11 on one long vector; both a gradient against the reference and one with it occur in these seeds.

    The length of the reference does not matter, as where old samples are learned and their gradients small.
    """
    stored = accumulators(seed)
    reference = {name: np.asarray(r * np.float32(size)) for name, r in drawn(seed + 100, ".reference").items()}
    found = flat(run(project.build(GRADIENTS), {**stored, **reference}))
    g, r = flat(stored), flat(reference)
    wanted = g - (g @ r) / (r @ r) * r if g @ r < 0 else g
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert found @ r > -1e-4


def test_the_seeds_have_both_cases() -> None:
    sides = {bool(flat(accumulators(seed)) @ flat(drawn(seed + 100, "")) < 0) for seed in range(8)}
    assert sides == {False, True}


def test_a_reference_of_nothing_changes_nothing() -> None:
    stored = accumulators(0)
    zeros = {f"{name}.reference": np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    found = run(project.build(GRADIENTS), {**stored, **zeros})
    np.testing.assert_array_equal(flat(found), flat(stored))


def test_the_reference_is_what_is_stored() -> None:
    stored = accumulators(1)
    np.testing.assert_array_equal(flat(run(keep_reference.build(GRADIENTS), stored)), flat(stored))


def test_information_is_added_to_what_is_left_of_the_old() -> None:
    parameters, fisher, squares = drawn(1, ""), drawn(2, ".fisher"), drawn(3, ".squares")
    feeds = {"samples": np.array(7), **parameters, **fisher, **squares}
    found = run(consolidate.build(GRADIENTS, 0.9), feeds)
    for name in SHAPES:
        wanted = 0.9 * fisher[f"{name}.fisher"] + squares[f"{name}.squares"] / 7
        np.testing.assert_allclose(found[f"{name}.fisher.next"], wanted, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(found[f"{name}.anchor.next"], parameters[name])


def test_the_pull_is_the_gradient_of_the_penalty_where_a_step_moves() -> None:
    parameters, anchors = drawn(1, ""), drawn(2, ".anchor")
    fisher = {name: np.asarray(np.abs(value)) for name, value in drawn(3, ".fisher").items()}
    mask = np.arange(12, dtype=np.float32).reshape(3, 4) % 2
    stored = accumulators(4)
    rate = np.array(0.25, np.float32)
    feeds = {"learning_rate": rate, **parameters, **anchors, **fisher, **stored, mask_name("w"): mask}
    found = run(pull_back.build(GRADIENTS, 3.0), feeds)
    for name in SHAPES:
        pull = 3.0 * fisher[f"{name}.fisher"] * (parameters[name] - anchors[f"{name}.anchor"])
        wanted = stored[accumulator_name(name)] + pull * (mask if name == "w" else 1)
        wanted /= 1 + 0.25 * (2 if name == "b" else 1) * 3.0 * fisher[f"{name}.fisher"]
        np.testing.assert_allclose(found[f"{accumulator_name(name)}.next"], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strength", [1.0, 1e3, 1e9])
def test_no_strength_makes_steps_overshoot(strength: float) -> None:
    """Without a loss, steps of plain SGD come nearer to the anchor and never pass it."""
    one = Gradient("w", (1,), "", Role.MASK)
    model, w, anchor = pull_back.build([one], strength), np.ones(1, np.float32), np.zeros(1, np.float32)
    kept = {"w.fisher": np.full(1, 0.5, np.float32), "w.anchor": anchor, "learning_rate": np.array(0.1, np.float32)}
    for _ in range(20):
        feeds = {"w": w, accumulator_name("w"): np.zeros(1, np.float32), **kept}
        after = w - np.float32(0.1) * run(model, feeds)[f"{accumulator_name('w')}.next"]
        assert -1e-6 <= after[0] < w[0] or w[0] < 1e-6
        w = after
