"""remove_idle_channels: a channel that is multiplied by zeros everywhere goes, and the answer stays."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.exporting.remove_idle_channels import RemoveIdleChannels, removed_channels
from sparcl_compile.passes.importing.import_forward import ImportForward
from sparcl_compile.passes.importing.verify import random_input, run
from tests.support.small_model import changed_lines, run_twice
from tests.support.zoo import ZOO

CHAIN = """
<ir_version: 10, opset_import: ["" : 18]>
g (float[N,2,4,4] x, float[4,2,3,3] "a.weight", float[4] "a.bias", float[3,4,1,1] "b.weight", float[5,3] "c.weight")
=> (float[N,5] logits)
<float[N,4,4,4] a, float[N,4,4,4] r, float[N,3,4,4] b, float[N,3,1,1] p, float[N,3] f>
{
  [a] a = Conv <pads = [1, 1, 1, 1]> (x, "a.weight", "a.bias")
  [r] r = Relu (a)
  [b] b = Conv (r, "b.weight")
  [p] p = GlobalAveragePool (b)
  [f] f = Flatten (p)
  [c] logits = Gemm <transB = 1> (f, "c.weight")
}
"""


def chain() -> ir.Model:
    """Two convolutions and a classifier with seeded constant weights."""
    model = ir.from_onnx_text(CHAIN)
    rng = np.random.default_rng(0)
    for value in list(model.graph.inputs[1:]):
        data = rng.normal(size=[int(d) for d in value.shape or ()]).astype(np.float32)
        value.const_value = ir.tensor(data, name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(set_role(value, Role.PARAMETER))
    return model


def zero(model: ir.Model, name: str, where: tuple[object, ...]) -> None:
    value = model.graph.initializers[name]
    assert value.const_value is not None
    data = value.const_value.numpy().copy()
    data[where] = 0
    value.const_value = ir.tensor(data, name=name)


def shapes(model: ir.Model) -> dict[str, list[int]]:
    return {name: [int(d) for d in value.shape or ()] for name, value in model.graph.initializers.items()}


def answer(model: ir.Model, shape: tuple[int, ...]) -> np.ndarray:
    return run(ir.to_proto(model), random_input(shape), "logits")


def test_text() -> None:
    model = chain()
    zero(model, "b.weight", (slice(None), [1, 3]))
    before = run_twice(RemoveIdleChannels(), model)
    assert changed_lines(before, model) == []
    assert shapes(model) == {"a.weight": [2, 2, 3, 3], "a.bias": [2], "b.weight": [3, 2, 1, 1], "c.weight": [5, 3]}
    assert [int(d) for d in list(model.graph[0].outputs[0].shape or ())[1:]] == [2, 4, 4]
    assert list(removed_channels(model).values()) == [2]
    np.testing.assert_allclose(answer(model, (3, 2, 4, 4)), answer(before, (3, 2, 4, 4)), rtol=1e-5, atol=1e-6)


def test_a_channel_whose_only_reader_goes_goes_too() -> None:
    """Channel 2 of a is read by row 0 of b alone, which no node reads."""
    model = chain()
    zero(model, "b.weight", (slice(1, None), [2]))
    zero(model, "c.weight", (slice(None), [0]))
    before = run_twice(RemoveIdleChannels(), model)
    assert shapes(model)["b.weight"] == [2, 3, 1, 1]
    np.testing.assert_allclose(answer(model, (3, 2, 4, 4)), answer(before, (3, 2, 4, 4)), rtol=1e-5, atol=1e-6)


def test_one_channel_is_left() -> None:
    model = chain()
    zero(model, "b.weight", (slice(None),))
    before = run_twice(RemoveIdleChannels(), model)
    assert shapes(model)["a.weight"] == [1, 2, 3, 3]
    np.testing.assert_allclose(answer(model, (3, 2, 4, 4)), answer(before, (3, 2, 4, 4)), rtol=1e-5, atol=1e-6)


def test_zero_rows_with_a_bias_stay() -> None:
    """A channel that is always its bias does change the answer."""
    model = chain()
    zero(model, "a.weight", ([0],))
    assert not RemoveIdleChannels()(model).modified
    assert removed_channels(model) == {}


def imported(name: str) -> ir.Model:
    """A model of the zoo as import_forward leaves it, without what belongs to training."""
    model = ir.from_proto(ZOO[name]())
    ImportForward()(model)
    del model.graph.outputs[1:]
    for node in model.graph:
        if node.op_type == "BatchNormalization":
            node.attributes.pop("training_mode", None)
            node.resize_outputs(1)
    return model


READERS = {
    "mobilenet": {"project.weight": (slice(None), [1, 6]), "expand.weight": (slice(None), [2])},
    "resnet": {"block.conv2.weight": (slice(None), [0, 5]), "block.conv1.weight": (slice(None), [3])},
}
"""Columns that are zeroed. Channel 2 of mobilenet's and 3 of resnet's stem are read by others as well."""
GONE = {
    "mobilenet": {"depthwise.weight": 6, "project.bn.scale": 4},
    "resnet": {"block.conv1.weight": 6, "stem.weight": 4},
}


@pytest.mark.parametrize("name", READERS)
def test_real_graphs(name: str) -> None:
    model = imported(name)
    for weight, where in READERS[name].items():
        zero(model, weight, where)
    before = run_twice(RemoveIdleChannels(), model)
    assert {weight: shapes(model)[weight][0] for weight in GONE[name]} == GONE[name]
    np.testing.assert_allclose(answer(model, (2, 3, 8, 8)), answer(before, (2, 3, 8, 8)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_nothing_idle_nothing_changed(name: str) -> None:
    model = imported(name)
    text = ir.to_onnx_text(model)
    if not RemoveIdleChannels()(model).modified:
        assert ir.to_onnx_text(model) == text
