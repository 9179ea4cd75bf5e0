"""Both weights of a recurrent layer get masks, by units of all directions."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.passes.core.layers import masked_layers, weighted_layers
from sparcl_compile.passes.schemes.axes import axes_of
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.gradient_check import imported
from tests.support.zoo_ort import only_ort


def layers(name: str) -> tuple[ir.Model, list[tuple[ir.Node, ir.Value]]]:
    model = imported(only_ort(name), target="ort")
    return model, [pair for pair in weighted_layers(model.graph) if pair[0].op_type in ("LSTM", "GRU", "RNN")]


@pytest.mark.parametrize("name", ["lstm", "lstm_both_ways", "gru", "rnn"])
def test_a_matrix_a_direction_with_the_gates_as_outputs(name: str) -> None:
    _, found = layers(name)
    assert found
    assert {axes_of(node, weight) for node, weight in found} == {"boi"}
    assert [list(node.inputs).index(weight) for node, weight in found] == [1, 2] * (len(found) // 2)


@pytest.mark.parametrize("name", ["lstm", "lstm_both_ways", "gru", "rnn"])
def test_both_weights_are_masked(name: str) -> None:
    model, found = layers(name)
    InsertWeightMasks(sparsity=0.5)(model)
    masked = {str(weight.name) for weight in masked_layers(model)}
    assert {str(weight.name) for _, weight in found} <= masked
    for _, weight in found:
        mask = model.graph.initializers[f"{weight.name}.mask"].const_value
        assert mask is not None
        kept = np.asarray(mask.numpy()).mean()
        assert kept == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "transposed"])
def test_fresh_weights_are_drawn_as_pytorch_draws_them(name: str) -> None:
    """U(+-1/sqrt(H)) for H units; U(+-1/sqrt(fan)) for a ConvTranspose, whose fan is that of its outputs."""
    model = imported(only_ort(name), target="ort", init="fresh", seed=3)
    bounds = {"transposed": 1 / np.sqrt(4 * 16)}
    nodes = [node for node in model.graph if node.op_type in ("LSTM", "GRU", "RNN", "ConvTranspose")]
    for value in nodes[0].inputs[1:3] if name == "transposed" else nodes[0].inputs[1:4]:
        assert value is not None
        assert value.const_value is not None
        data, bound = np.asarray(value.const_value.numpy()), bounds.get(name, 1 / np.sqrt(8))
        assert np.abs(data).max() <= bound
        assert np.abs(data).max() > 0.4 * bound
