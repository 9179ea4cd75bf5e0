"""Layers that are computed alike share a function, and a graph grows by one call a layer."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.graphs import update_gradient_masks, update_masks
from sparcl_compile.graphs.builder import FLOAT, FUNCTIONS, Builder
from sparcl_compile.graphs.masks import MaskedLayer, Rule
from sparcl_compile.passes.schemes.cuts import cut_for
from tests.support import harness

WIDE, DEEP = (6, 4, 3, 3), (9, 4)


def updates(layers: list[MaskedLayer]) -> ir.Model:
    states = {layer.name: (f"{layer.name}.momentum",) for layer in layers}
    return update_masks.build(layers, states, Rule(0.5, 1.0), gradient_masks=True)


def choices(layers: list[MaskedLayer]) -> ir.Model:
    return update_gradient_masks.build(layers, 0.5, 1.0)


def rows(layers: list[MaskedLayer]) -> ir.Model:
    return update_gradient_masks.build(layers, 0.5, 1.0, channels=True)


def single(shape: tuple[int, ...], count: int) -> list[MaskedLayer]:
    return [MaskedLayer(f"w{number}", shape) for number in range(count)]


def calls(model: ir.Model) -> int:
    return sum(node.domain == FUNCTIONS for node in model.graph)


@pytest.mark.parametrize("build", [updates, choices, rows])
def test_a_layer_more_is_one_node_more(build: harness.Any) -> None:
    few, many = (build(single(WIDE, count)) for count in (3, 30))
    assert (len(many.graph) - len(few.graph), calls(many)) == (27, 30)
    assert len(few.functions) == len(many.functions) == 1


@pytest.mark.parametrize("build", [updates, choices])
def test_single_weights_of_all_shapes_share_a_function(build: harness.Any) -> None:
    assert len(build([*single(WIDE, 2), *(MaskedLayer(f"v{n}", (n + 2, 5)) for n in range(9))]).functions) == 1


def test_what_depends_on_the_shape_has_a_function_for_each() -> None:
    shapes = {"a": WIDE, "b": (8, 4, 3, 3), "c": WIDE}
    kernels = [MaskedLayer(name, shape, cut_for("kernel", shape, "oikk")) for name, shape in shapes.items()]
    assert len(updates(kernels).functions) == 2
    assert len(rows([MaskedLayer(name, shape) for name, shape in shapes.items()]).functions) == 2
    places = [MaskedLayer(name, DEEP, places=n) for name, n in (("a", 5), ("b", 5), ("c", 6))]
    assert len(updates(places).functions) == 2


def test_a_body_states_no_shapes_and_its_caller_does() -> None:
    proto = ir.to_proto(updates([*single(WIDE, 1), MaskedLayer("v", DEEP)]))
    (function,) = proto.functions
    assert not [info for info in function.value_info if info.type.tensor_type.HasField("shape")]
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.output}
    assert shapes["w0.momentum.next"] == list(WIDE)
    assert shapes["v.mask.next"] == shapes["v.gradient_mask.next"] == list(DEEP)


def test_a_function_is_called_with_other_shapes() -> None:
    b = Builder("g", "")

    def halve(inner: Builder) -> None:
        inner.result("y", inner.op.Mul(inner.feed("x", FLOAT, [1]), 0.5), FLOAT, [1])

    for name, shape in (("a", [3]), ("b", [2, 2])):
        (half,) = b.call(b.body("halve", (), halve), [b.feed(name, FLOAT, shape)], f"{name}.halve")
        b.result(f"{name}.half", half, FLOAT, shape)
    found = harness.Graph(b.model())({"a": np.float32([2, 4, 6]), "b": np.float32([[2, 4], [6, 8]])})
    assert found["a.half"].tolist() == [1, 2, 3]
    assert found["b.half"].tolist() == [[1, 2], [3, 4]]
