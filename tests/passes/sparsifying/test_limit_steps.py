"""The largest step of a parameter: a share of the norm that a layer begins with."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import NEXT, Role, accumulator_name
from sparcl_compile.passes.core.layers import full_limit_steps, rate_factor, step_limit
from sparcl_compile.passes.core.marks import FALL_KEY, LIMIT_KEY, RATE_KEY
from sparcl_compile.passes.core.roles import set_role, values_with_role
from sparcl_compile.passes.core.values import data_of
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.emitting.emit import optimizer_model
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from sparcl_compile.passes.sparsifying.limit_steps import LimitSteps
from sparcl_compile.passes.sparsifying.scale_by_density import ScaleByDensity
from tests.support.small_model import changed_lines, forward_model
from tests.support.training_form import differentiated

WEIGHT = "conv.weight"
RATE = np.array(0.05, np.float32)
CLASSES = 3
VECTORS = ("bn.scale", "bn.bias", "head.bias")
PARAMETERS = {WEIGHT, "head.weight", *VECTORS}


def limits(model: ir.Model) -> dict[str, float | None]:
    return {str(value.name): step_limit(value) for value in model.graph.initializers.values()}


def norm_of(model: ir.Model, name: str) -> float:
    return float(np.linalg.norm(data_of(model.graph.initializers[name]).astype(np.float64)))


def fill(model: ir.Model, name: str, value: float) -> None:
    parameter = model.graph.initializers[name]
    parameter.const_value = ir.tensor(np.full_like(data_of(parameter), value), name=name)


def masked_model() -> ir.Model:
    model = forward_model()
    InsertWeightMasks(sparsity=0.75)(model)
    return model


# The limits


def test_weights_have_a_share_of_the_norm_of_their_kept_elements_and_all_else_has_a_limit_too() -> None:
    model = masked_model()
    before = model.clone()
    assert LimitSteps(share=0.1)(model).modified
    found = limits(model)
    assert found["conv.weight"] == pytest.approx(0.1 * max(norm_of(model, "conv.weight"), (2 / 3) ** 0.5))
    assert found["head.weight"] == pytest.approx(0.1 * norm_of(model, "head.weight"))
    assert {name for name, limit in found.items() if limit is not None} == PARAMETERS
    assert not changed_lines(before, model)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_vectors_have_half_of_what_a_layer_with_as_many_outputs_has(value: float) -> None:
    model = masked_model()
    for name in VECTORS:
        fill(model, name, value)
    LimitSteps(share=0.1)(model)
    found = limits(model)
    assert found["bn.scale"] == found["bn.bias"] == pytest.approx(0.1 * (2 / 3) ** 0.5 / 2)
    assert found["head.bias"] == pytest.approx(0.1 * (CLASSES / 3) ** 0.5 / 2)


def test_a_layer_that_begins_at_nothing_may_move_as_a_fresh_one() -> None:
    model = masked_model()
    fill(model, "head.weight", 0.0)
    LimitSteps(share=0.1)(model)
    assert limits(model)["head.weight"] == pytest.approx(0.1 * (CLASSES / 3) ** 0.5)


def test_the_norm_is_that_of_the_scaled_weight() -> None:
    model = masked_model()
    ScaleByDensity()(model)
    LimitSteps(share=2.0)(model)
    assert limits(model)["conv.weight"] == pytest.approx(2.0 * max(norm_of(model, "conv.weight"), (2 / 3) ** 0.5))


def test_what_does_not_train_has_no_limit() -> None:
    model = masked_model()
    set_role(model.graph.initializers["head.weight"], Role.FROZEN)
    LimitSteps(share=0.1)(model)
    assert limits(model)["head.weight"] is None


def test_a_second_run_and_a_share_of_0_change_nothing() -> None:
    model = masked_model()
    assert not LimitSteps()(model).modified
    assert not any(limits(model).values())
    LimitSteps(share=0.1)(model)
    before = ir.to_proto(model)
    assert not LimitSteps(share=0.3)(model).modified
    assert ir.to_proto(model) == before


def plain_model() -> ir.Model:
    """The model without its normalisation."""
    model = masked_model()
    normalisation = next(node for node in model.graph if node.op_type == "BatchNormalization")
    conv = next(node for node in model.graph if node.op_type == "Conv")
    normalisation.outputs[0].replace_all_uses_with(conv.outputs[0])
    del model.graph.outputs[1:]
    model.graph.remove(normalisation, safe=True)
    return model


@pytest.mark.parametrize(("build", "full"), [(masked_model, 0), (plain_model, 10)])
def test_limits_fall_after_ten_steps_where_hidden_layers_are_not_normalised(
    build: Callable[[], ir.Model], full: int
) -> None:
    model = build()
    LimitSteps(share=0.1)(model)
    assert {full_limit_steps(value) for value in values_with_role(model, Role.PARAMETER)} == {full}


def test_a_share_below_0_is_refused() -> None:
    with pytest.raises(FieldError, match=r"^limit_steps: `share` -0\.1"):
        LimitSteps(share=-0.1)(masked_model())


# The steps


def step(
    gradient: np.ndarray,
    *,
    limit: float | None,
    factor: float = 1.0,
    momentum: float = 0.0,
) -> np.ndarray:
    """The change of a weight of zeros in one step of the optimizer's graph."""
    return steps([gradient], limit=limit, factor=factor, momentum=momentum)[0]


def steps(
    gradients: list[np.ndarray],
    *,
    limit: float | None,
    factor: float = 1.0,
    momentum: float = 0.0,
    full: int = 0,
    tasks_begin: Sequence[int] = (0,),
) -> list[np.ndarray]:
    """The changes of a weight of zeros in steps of the optimizer's graph, of tasks that begin at these."""
    _, model = differentiated()
    for value in model.graph.inputs:
        if value.name == WEIGHT:
            value.metadata_props[RATE_KEY] = repr(factor)
            value.metadata_props.update({} if limit is None else {LIMIT_KEY: repr(limit)})
            value.metadata_props.update({FALL_KEY: str(full)} if full else {})
    AttachOptimizer(momentum=momentum)(model)
    graph = optimizer_model(AttachOptimizer(), model)
    inputs = {
        str(v.name): np.zeros([int(d) for d in v.shape or () if isinstance(d, int)], np.float32)
        for v in graph.graph.inputs
    }
    inputs |= {"learning_rate": RATE}
    inputs |= {"count": np.array(1, np.float32)} if "count" in inputs else {}
    session, changes = ort.InferenceSession(ir.to_proto(graph).SerializeToString()), []
    names = [str(value.name) for value in graph.graph.outputs]
    for number, gradient in enumerate(gradients):
        since = number - max(begin for begin in tasks_begin if begin <= number)
        inputs |= {"task_step": np.array(since, np.int64)} if full else {}
        found = dict(zip(names, session.run(names, {**inputs, accumulator_name(WEIGHT): gradient}), strict=True))
        changes.append(inputs[WEIGHT] - found[f"{WEIGHT}{NEXT}"])
        inputs |= {name.removesuffix(NEXT): value for name, value in found.items() if name.removesuffix(NEXT) in inputs}
    return changes


def gradient_of(norm: float) -> np.ndarray:
    gradient = np.random.default_rng(0).normal(size=(2, 1, 3, 3))
    return (gradient * (norm / np.linalg.norm(gradient))).astype(np.float32)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("factor", [1.0, 5.0])
def test_a_step_that_is_too_large_has_the_largest_norm_in_its_own_direction(factor: float, momentum: float) -> None:
    gradient = gradient_of(1000.0)
    moved = step(gradient, limit=0.3, factor=factor, momentum=momentum)
    assert np.linalg.norm(moved) == pytest.approx(0.3, rel=1e-5)
    np.testing.assert_allclose(moved / 0.3, gradient / 1000.0, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("norm", [0.0, 1.0])
def test_any_other_step_is_the_same_to_the_bit(norm: float, momentum: float) -> None:
    gradient = gradient_of(norm)
    plain = step(gradient, limit=None, factor=5.0, momentum=momentum)
    np.testing.assert_array_equal(step(gradient, limit=0.3, factor=5.0, momentum=momentum), plain)
    assert rate_factor(differentiated()[1].graph.inputs[0]) == 1.0


def test_momentum_carries_no_more_than_the_limit_into_the_next_steps() -> None:
    moved = steps([gradient_of(1000.0), *[gradient_of(0.0)] * 3], limit=0.3, momentum=0.9)
    sizes = [float(np.linalg.norm(one)) for one in moved]
    assert sizes == pytest.approx([0.3, 0.27, 0.243, 0.2187], rel=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("factor", [1.0, 5.0])
def test_a_limit_falls_with_the_root_of_the_number_of_long_steps(factor: float, momentum: float) -> None:
    """Long is a step at the parameter's own rate, its factor included: one of norm 10 is 0.5 or 2.5 long."""
    long, short = gradient_of(10.0), gradient_of(0.0)
    given = {"limit": 0.3 * factor, "factor": factor, "momentum": momentum, "full": 4}
    moved = [one / factor for one in steps([long, long, short, long, long, *[long] * 12], **given)]
    own = [now - momentum * before for before, now in itertools.pairwise([np.zeros_like(long), *moved])]
    wanted = [0.3, 0.3, 0.0, 0.3, 0.3, *(0.3 * (4 / long_steps) ** 0.5 for long_steps in range(5, 17))]
    assert [float(np.linalg.norm(one)) for one in own] == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_the_first_step_of_a_task_counts_anew() -> None:
    moved = steps([gradient_of(1000.0)] * 9, limit=0.3, full=4, tasks_begin=(0, 6))
    wanted = [*[0.3] * 4, *(0.3 * (4 / long_steps) ** 0.5 for long_steps in (5, 6)), *[0.3] * 3]
    assert [float(np.linalg.norm(one)) for one in moved] == pytest.approx(wanted, rel=1e-5)


def test_steps_as_long_as_the_limit_are_not_longer() -> None:
    gradient = np.zeros((2, 1, 3, 3), np.float32)
    gradient[0, 0, 0, 0] = 1.0
    moved = steps([gradient] * 6, limit=float(RATE), full=1)
    np.testing.assert_allclose(moved[-1], RATE * gradient, rtol=1e-5)


def test_steps_below_a_limit_are_the_same_to_the_bit_whether_it_falls_or_not() -> None:
    gradients = [gradient_of(norm) for norm in (1.0, 0.0, 1.1, 1.2, 0.9)]
    plain, counted = steps(gradients, limit=None, factor=5.0), steps(gradients, limit=0.4, factor=5.0, full=1)
    np.testing.assert_array_equal(counted, plain)
