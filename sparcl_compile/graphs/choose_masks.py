"""Masks of N of M for weights that are all trained: the largest of each group are kept, the others decay (SR-STE)."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.graphs.exchange import Update, exchange
from sparcl_compile.graphs.layer_body import LayerCalls
from sparcl_compile.graphs.masks import MaskedLayer, flat
from sparcl_compile.interface.names import Role, mask_name

RATE = "learning_rate"


def build(layers: Sequence[MaskedLayer], decay: float) -> ir.Model:
    """Make the graph ``update_masks`` of SR-STE (Zhou et al., ICLR 2021), which a run calls before each step.

    Inputs: ``learning_rate`` float32 [], that of the step; for each weight W the state W and its mask. Results:
    ``.next`` of both. The N largest magnitudes of each group of M are kept (ties: lower index), and what is not kept is
    multiplied by ``1 - learning_rate * decay``. With the gradient of the masked weight for all of W, which the training
    graph gives, the step is the paper's: ``W - learning_rate * (g + decay * (1 - mask) * W)``. A decay leaves the order
    of a group as it is, so that a second call before the step changes no mask.

    Args:
        layers: the masked weights under a scheme N:M, in the manifest's order.
        decay: lambda_W of the paper.
    """
    b = Builder("update_masks", "Keep the N largest of each group of M, and let the others decay.")
    rate = b.feed(RATE, FLOAT, [])

    def build_layer(inner: Builder, layer: MaskedLayer, _: Sequence[str]) -> None:
        op, given = inner.op, inner.feed(RATE, FLOAT, [])
        weight = inner.state(layer.name, FLOAT, layer.shape, Role.PARAMETER)
        before = inner.state(mask_name(layer.name), FLOAT, layer.shape, Role.MASK)
        size, none = flat(inner, op.Abs(weight)), op.Constant(value_int=0)
        kept = op.GreaterOrEqual(flat(inner, before), 0.0)
        key = op.Constant(value=ir.tensor(np.zeros(1, np.uint32)))
        _stays, largest = exchange(inner, layer.groups, Update(kept, size, none, none, key, size))
        mask = op.Reshape(inner.cast(largest, FLOAT), list(layer.shape))
        factor = op.Sub(1.0, op.Mul(op.Mul(given, decay), op.Sub(1.0, mask)))
        inner.result(f"{layer.name}.next", op.Mul(weight, factor), FLOAT, layer.shape)
        inner.result(f"{mask_name(layer.name)}.next", mask, FLOAT, layer.shape)

    calls = LayerCalls(b, "choose_layer", build_layer)
    for layer in layers:
        calls.call(layer, (), {RATE: rate})
    return b.model()
