"""A recurrent layer has two weights, each with a cost of its own."""

import pytest

from sparcl_compile.costs.flops import computed_gradients, free_ops, layer_costs
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import set_role
from tests.support.gradient_check import imported
from tests.support.zoo_ort import CLASSES, FEATURES, STEPS, only_ort

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@pytest.mark.parametrize("name", GATES)
def test_each_place_of_both_weights_multiplies_at_every_step(name: str) -> None:
    model = imported(only_ort(name), target="ort")
    costs = layer_costs(model)
    assert [cost.op_type for cost in costs] == [name.upper(), name.upper(), "Gemm"]
    gates = GATES[name] * 8
    assert [cost.macs for cost in costs] == [gates * FEATURES * STEPS, gates * 8 * STEPS, 8 * CLASSES]
    assert len({cost.weight for cost in costs}) == 3
    assert name.upper() not in free_ops(model)


def test_both_directions_count() -> None:
    model = imported(only_ort("lstm_both_ways"), target="ort")
    first, second = layer_costs(model)[:2]
    assert (first.macs, second.macs) == (2 * 24 * FEATURES * STEPS, 2 * 24 * 6 * STEPS)


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 1)])
def test_a_layer_with_frozen_weights_computes_the_gradients_of_the_others(frozen: tuple[int, ...]) -> None:
    model = imported(only_ort("lstm"), target="ort")
    costs = layer_costs(model)
    for number in frozen:
        set_role(model.graph.initializers[str(costs[number].weight)], Role.FROZEN)
    found = computed_gradients(model)
    assert found is not None
    assert (costs[0].node in found.weights) == (len(frozen) == 1)
    assert costs[0].node not in found.inputs
