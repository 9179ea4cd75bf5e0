"""Counts the sparsity of the weights and of their gradients."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, Builder
from sparcl_compile.graphs.tensors import Tensor, kept_elements


def build(kept: Sequence[Tensor], updated: Sequence[Tensor] | None, weights: Sequence[Tensor]) -> ir.Model:
    """Make the graph ``sparsity`` for L layers.

    Inputs: all tensors of the arguments, as state. Results, float64 shares of zeros among all elements, those that are
    not stored included: ``per_layer`` [L] and ``overall`` [] of the weights, 0 without layers; ``gradient_per_layer``
    [L] and ``gradient_overall`` [] of the gradients; ``all_parameters`` [] of what the weights hold.

    Args:
        kept: the tensors that mark the kept weights of a layer: its mask (``W.mask``), or the rows of a compressed
            weight (``W.rows``, role ``index``), whose last number is the number of live places.
        updated: the gradient masks; the tensors of ``kept`` where there are none, None where pruned weights train too.
        weights: all parameters, those that do not train too.

    Raises:
        ValueError: there are no parameters.
    """
    if not weights:
        raise ValueError("no parameters to count")
    b = Builder("sparsity", "Count the zeros of masks, gradient masks and parameters.")
    found = {tensor.name: kept_elements(b, tensor) for tensor in dict.fromkeys((*kept, *(updated or ())))}
    for prefix, tensors in (("", kept), ("gradient_", updated)):
        if tensors is None:
            b.result(f"{prefix}overall", _zeros(b, ()), DOUBLE, [])
            b.result(f"{prefix}per_layer", _zeros(b, (len(kept),)), DOUBLE, [len(kept)])
            continue
        counts = [found[tensor.name] for tensor in tensors]
        b.result(f"{prefix}overall", _overall(b, counts, tensors), DOUBLE, [])
        b.result(f"{prefix}per_layer", _per_layer(b, counts, tensors), DOUBLE, [len(tensors)])
    b.result("all_parameters", _overall(b, [kept_elements(b, tensor) for tensor in weights], weights), DOUBLE, [])
    return b.model()


def _overall(b: Builder, counts: Sequence[ir.Value], tensors: Sequence[Tensor]) -> ir.Value:
    """The share of zeros over all tensors: float64 []."""
    if not tensors:
        return _zeros(b, ())
    total = b.op.ReduceSum(b.op.Concat(*counts, axis=0), keepdims=0)
    return b.op.Sub(1.0, b.op.Div(b.cast(total, DOUBLE), float(sum(tensor.size for tensor in tensors))))


def _zeros(b: Builder, shape: tuple[int, ...]) -> ir.Value:
    return b.op.Constant(value=ir.tensor(np.zeros(shape, np.float64)))


def _per_layer(b: Builder, counts: Sequence[ir.Value], tensors: Sequence[Tensor]) -> ir.Value:
    """The share of zeros of each tensor: float64 [tensors]."""
    sizes = np.array([tensor.size for tensor in tensors], np.float64)
    if not tensors:
        return b.op.Constant(value=ir.tensor(sizes))
    shares = b.op.Div(b.cast(b.op.Concat(*counts, axis=0), DOUBLE), b.op.Constant(value=ir.tensor(sizes)))
    return b.op.Sub(1.0, shares)
