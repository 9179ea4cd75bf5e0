"""The training step of one layer as a small graph of its own: dense under its mask, and sparse.

Each computes what stands in a training graph for the layer: the forward pass, the gradients of input and weight, and
the walks over the weight's elements (product with the mask, accumulation, step of the optimizer).
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from sparcl_compile.passes.core import draws
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET
from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.gradients.gradient import Gradient
from sparcl_compile.passes.gradients.table import rule_for
from sparcl_compile.passes.lowering.batch_last.forms import BATCH_LAST
from sparcl_compile.passes.lowering.choice.work import CONV, PRODUCT, Work
from sparcl_compile.passes.schemes.compressed import compress

TYPES = {"float32": "float", "int32": "int32"}

GRADIENTS = "Gradients"
"""Stands for the gradients of a convolution's input and weight."""
DENSE = {
    CONV: """
  masked = Mul (weight, mask)
  y = Conv <{geometry}> (x, masked)
  {dx}, dmasked = Gradients (dy)
  dw = Mul (dmasked, chosen)""",
    PRODUCT: """
  masked = Mul (weight, mask)
  y = Gemm <transB = 1> (x, masked)
  {dx} = Gemm (dy, masked)
  dmasked = Gemm <transA = 1> (dy, x)
  dw = Mul (dmasked, chosen)""",
}

SPARSE = """
  y = sparcl.SparseConv <{geometry}, channels = {channels}> (x, weight, index, rows)
  {dx} = sparcl.SparseConvInputGrad <{geometry}, channels = {channels}, input_shape = {plane}> (dy, weight, index, rows)
  dw = sparcl.SparseConvWeightGrad <{geometry}, channels = {channels}> (x, dy, index, rows, chosen)"""

UPDATE = """
  sum = Add (accumulated, dw)
  step = Mul (sum, rate)
  next = Sub (weight, step)"""

RESULTS = ("y", "dx", "sum", "next")


@dataclasses.dataclass(frozen=True)
class LayerGraph:
    """A graph and what to feed it."""

    model: ir.Model
    feeds: Mapping[str, np.ndarray]


def dense_step(work: Work, batch: int) -> LayerGraph:
    """The layer under its mask, batch first."""
    data = _data(work, batch)
    if work.kind == PRODUCT:
        data |= {name: _tokens(data[name]) for name in ("x", "dy")}
        data |= {name: data[name].reshape(work.shape[:2]) for name in ("weight", "mask", "chosen")}
    return _graph(DENSE[work.kind] + UPDATE, {**data, "accumulated": data["weight"]}, work)


def sparse_step(work: Work, batch: int) -> LayerGraph:
    """The layer at its kept places, batch last."""
    data = _data(work, batch)
    values, index, rows = compress(data["weight"], data["mask"], work.places)
    chosen = data["chosen"].reshape(-1)[index]
    last = {name: np.ascontiguousarray(data[name].transpose(BATCH_LAST)) for name in ("x", "dy")}
    stored = {"weight": values, "accumulated": values, "index": index, "rows": rows, "chosen": chosen}
    return _graph(SPARSE + UPDATE, {**last, **stored, "rate": data["rate"]}, work)


def _differentiate(model: ir.Model) -> None:
    """Write the gradients of a dense convolution in the place of GRADIENTS, by the rule of the target ``ort``."""
    graph = model.graph
    place = next((node for node in graph if node.op_type == GRADIENTS), None)
    if place is None:
        return
    layer = next(node for node in graph if node.op_type == "Conv")
    for value, like in ((layer.outputs[0], place.inputs[0]), (layer.inputs[1], graph.inputs[2])):
        if value is not None and like is not None:
            value.shape, value.type = like.shape, like.type
    wanted = [number for number, value in enumerate(place.outputs) if value.name]
    insert = Inserter("layer_graphs", graph, Names(graph)).before(place)
    rule = rule_for(layer)
    if rule is None:
        raise ValueError("a convolution has no gradient rule")
    made = rule(Gradient(insert, layer, [place.inputs[0]], wanted))
    for number in wanted:
        old, new = place.outputs[number], made[number]
        if new is None:
            raise ValueError("a convolution's rule leaves a gradient out")
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name, new.name = None, old.name
    graph.remove(place, safe=True)


def _data(work: Work, batch: int) -> dict[str, np.ndarray]:
    """Seeded values: kept places, and those that are updated among them, are drawn uniformly."""
    draw = draws.generator(0)
    order = draw.permutation(work.weights)
    mask, chosen = (np.zeros(work.weights, np.float32) for _ in range(2))
    mask[order[: work.places]] = 1
    chosen[order[: work.updated]] = 1
    mask, chosen = mask.reshape(work.shape), chosen.reshape(work.shape)
    return {
        "x": draw.standard_normal((batch, work.shape[1], *work.plane), np.float32),
        "dy": draw.standard_normal((batch, work.shape[0], *work.out), np.float32),
        "weight": draw.standard_normal(work.shape, np.float32) * mask,
        "mask": mask,
        "chosen": chosen,
        "rate": np.array(1e-3, np.float32),
    }


def _tokens(x: np.ndarray) -> np.ndarray:
    """[N, C, 1, T] as [N * T, C]."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1).reshape(-1, x.shape[1]))


def _graph(body: str, feeds: Mapping[str, np.ndarray], work: Work) -> LayerGraph:
    geometry = ", ".join(
        f"{name} = {list(values)}"
        for name, values in (
            ("kernel_shape", work.shape[2:]),
            ("strides", work.strides),
            ("pads", work.pads),
            ("dilations", work.dilations),
        )
    )
    filled = body.format(
        geometry=geometry,
        channels=work.shape[1],
        plane=list(work.plane),
        dx="dx" if work.input_gradient else '""',
    )
    wanted = [name for name in RESULTS if name != "dx" or work.input_gradient]
    inputs = ", ".join(f"{TYPES[array.dtype.name]}{list(array.shape)} {name}" for name, array in feeds.items())
    results = ", ".join(f"float[] {name}" for name in wanted)
    opsets = f'["" : {OPSET}, "sparcl" : 1]'
    text = f"<ir_version: {IR_VERSION}, opset_import: {opsets}> layer ({inputs}) => ({results}) {{{filled}\n}}"
    model = ir.from_onnx_text(text)
    _differentiate(model)
    RemoveUnusedNodesPass()(model)
    return LayerGraph(model, feeds)
