"""Choosing exactly k elements of a large vector."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import BOOL, Builder


def largest(b: Builder, values: ir.Value, k: ir.Value) -> ir.Value:
    """Flag the ``k`` largest elements; ties go to the lower index.

    An unsorted TopK gives the threshold, and the first of the elements equal to it fill up to ``k``. That is three
    times faster than a sorted TopK (CumSum over the equal ones would be ten times slower), and unlike an unsorted
    TopK's indices it does not depend on the implementation.

    Args:
        b: the graph.
        values: float32 or int64 [n], n > 0, no NaN.
        k: int64 [], in [0, n].

    Returns:
        bool [n] with exactly k set.
    """
    op = b.op
    with b.scope("largest"):
        # The least of nothing is undefined, so zero asks for one, of which the slice then takes none.
        best, _ = b.top(values, op.Max(k, 1), largest=True, in_order=False)
        threshold = op.ReduceMin(best, keepdims=0)
        room = op.Sub(k, b.count(op.Greater(best, threshold)))
        equal = op.Reshape(op.NonZero(op.Equal(values, threshold)), [-1])
        ties = op.Slice(equal, [0], op.Reshape(room, [1]))
        return flags(b, op.Greater(values, threshold), ties)


def flags(b: Builder, before: ir.Value, indices: ir.Value) -> ir.Value:
    """Set the flags ``before`` (bool [n]) at the indices (int64 [m], distinct) as well."""
    yes = b.cast(b.op.Expand(1, b.op.Shape(indices)), BOOL)
    return b.op.ScatterElements(before, indices, yes, axis=0)
