"""The form in which the gradient of a convolution's weight is written: the fastest one, or one that holds little."""

import functools
from collections.abc import Collection

import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.buffers import plan
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET
from sparcl_compile.passes.core.edit import Names
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import FLOAT
from sparcl_compile.passes.gradients.filter_costs import BATCH, COUNTS, Layer, cheapest, seconds
from sparcl_compile.passes.gradients.filter_parts import Parts
from sparcl_compile.passes.gradients.filters import FORMS
from sparcl_compile.passes.gradients.gradient import Gradient
from sparcl_compile.passes.gradients.window import Window

WHOLE = ("crossing",)
"""Forms that mix the rows of a gradient, so that none can be computed alone."""


def weight_gradient(g: Gradient, window: Window, x: ir.Value, dy: ir.Value) -> ir.Value:
    """The gradient of a weight [groups * O, I, kernel ...].

    Args:
        g: the gradient of a Conv, or of a ConvTranspose, whose output and input take each other's places.
        window: the geometry from ``x`` to ``dy``.
        x: [N, groups * I, input ...].
        dy: [N, groups * O, output ...].
    """
    outer, inner, *_ = g.static(g.input(1))
    layer, choose = Layer(window, inner, outer // window.groups), most_sparing if g.sparing else cheapest
    return FORMS[choose(layer, WHOLE if g.by_rows else ())](Parts(g, layer, x, dy))


def most_sparing(layer: Layer, without: Collection[str] = ()) -> str:
    """The form whose time, multiplied by what it holds at once, is the least, of those that are not left out.

    Half of the memory is worth twice the time: a form that holds hardly less is not taken where it is slower.
    """
    times = {form: seconds(form, layer) for form in COUNTS if form not in without}
    return min((time * held_bytes(layer, form), form) for form, time in times.items() if time is not None)[1]


@functools.cache
def held_bytes(layer: Layer, form: str) -> int:
    """The most bytes that a form holds at one time for a batch of 32, but for X and dY."""
    return plan(graph_of(layer, form), BATCH).peak_bytes


def graph_of(layer: Layer, form: str) -> ir.Model:
    """The weight gradient in one form: x [N, ...], dy [N, ...] to dw."""
    window = layer.window
    shapes: dict[str, tuple[int | str, ...]] = {
        "x": ("N", window.groups * layer.inner, *window.inputs),
        "dy": ("N", layer.filters, *window.outputs),
        "w": (layer.filters, layer.inner, *window.kernel),
    }
    x, dy, w = (ir.Value(name=n, shape=ir.Shape(s), type=FLOAT) for n, s in shapes.items())
    graph = ir.Graph([x, dy, w], [], nodes=[], opset_imports={"": OPSET}, name=form)
    node = ir.Node("", "Conv", [x, w], num_outputs=1, name="layer")
    g = Gradient(Inserter("filters", graph, Names(graph)), node, [dy], [1])
    out = FORMS[form](Parts(g, layer, x, dy))
    out.type = FLOAT
    graph.outputs.append(out)
    return ir.Model(graph, ir_version=IR_VERSION)
