"""The rows of a gradient that products give are the rows of the whole gradient, and nothing else is followed."""

import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import FLOAT, value_named
from sparcl_compile.passes.updating.row_products import RowProducts, can_follow

ROWS, PLACES, COLUMNS = 5, 7, 3
BY_TAP = """
  [left] left = Gemm <transB = 1> (dy, first)
  [right] right = MatMul (dy, second)
  [l] l = Unsqueeze (left, last)
  [r] r = Unsqueeze (right, last)
  [both] both = Concat <axis = 2> (l, r)
  [dw] dw = Reshape (both, shape)
"""
TURNED = """
  [product] product = Gemm <transB = 1> (dy, first)
  [apart] apart = Reshape (product, apart_shape)
  [dw] dw = Transpose <perm = [0, 2, 1]> (apart)
"""


def graph(body: str) -> ir.Model:
    text = f"""<ir_version: 10, opset_import: ["" : 18]>
g (float[{ROWS},{PLACES}] dy, float[{COLUMNS},{PLACES}] first, float[{PLACES},{COLUMNS}] second,
   int64[2] rows) => (dw)
<int64[1] last = {{2}}, int64[2] shape = {{{ROWS}, -1}}, int64[3] apart_shape = {{{ROWS}, {COLUMNS}, 1}},
 int64[2] flat = {{1, -1}}, float[{ROWS},{COLUMNS}] left, float[{ROWS},{COLUMNS}] right,
 float[{ROWS},{COLUMNS}] product>
{{ {body} }}"""
    model = ir.from_onnx_text(text)
    model.graph.outputs[0].type = FLOAT
    return model


def run(model: ir.Model, names: list[str], rows: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"dy": (ROWS, PLACES), "first": (COLUMNS, PLACES), "second": (PLACES, COLUMNS)}
    feeds = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    return session.run(names, {**feeds, "rows": np.array(rows)})


@pytest.mark.parametrize("body", [BY_TAP, TURNED])
@pytest.mark.parametrize("rows", [[0, 1], [1, 4], [2, 3]])
def test_the_rows_are_those_of_the_whole_gradient(body: str, rows: list[int]) -> None:
    model = graph(body)
    gradient, chosen = value_named(model.graph, "dw"), value_named(model.graph, "rows")
    assert can_follow(gradient, ROWS)
    insert = Inserter("test", model.graph, Names(model.graph))
    part = RowProducts(insert, chosen, ROWS, len(rows)).of(gradient)
    model.graph.outputs.append(part)
    part.type = FLOAT
    whole, found = run(model, ["dw", str(part.name)], rows)
    np.testing.assert_allclose(found, whole[rows], rtol=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "[dw] dw = Gemm <transA = 1> (second, dy)",
        "[p] p = MatMul (dy, second) [dw] dw = Reshape (p, flat)",
        "[p] p = MatMul (dy, second) [dw] dw = Transpose <perm = [1, 0]> (p)",
        "[p] p = MatMul (dy, second) [dw] dw = Concat <axis = 0> (p, p)",
        "[p] p = MatMul (dy, second) [q] q = Relu (p) [dw] dw = Identity (q)",
        "[dw] dw = Gemm <transB = 1> (dy, first, product)",
    ],
)
def test_what_mixes_or_moves_rows_is_not_followed(body: str) -> None:
    given = body if "product)" not in body else f"[product] product = MatMul (dy, second) {body}"
    assert not can_follow(value_named(graph(given).graph, "dw"), ROWS)


def test_an_input_of_the_graph_is_no_gradient() -> None:
    assert not can_follow(value_named(graph(TURNED).graph, "dy"), ROWS)
    assert not can_follow(None, ROWS)
