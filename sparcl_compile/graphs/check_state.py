"""Checks that all learned tensors are finite."""

from collections.abc import Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.tensors import Tensor

NONE = -1


def build(tensors: Sequence[Tensor]) -> ir.Model:
    """Make the graph ``check_state``: the last step of an epoch can break the weights without any loss to show it.

    Inputs: the tensors, state float32. Result: ``broken`` int64 [], the number of the first one that holds an infinity
    or a NaN, -1 for none.

    Args:
        tensors: the tensors that training changes, in the order in which they are numbered from 0.

    Raises:
        ValueError: there is nothing to check.
    """
    if not tensors:
        raise ValueError("no state tensor to check: nothing trains")
    b = Builder("check_state", "Find the first learned tensor that holds an infinity or a NaN.")
    op = b.op
    sums = []
    for tensor in tensors:
        with b.scope(tensor.name):
            value = op.Reshape(b.state(tensor.name, FLOAT, tensor.shape, tensor.role), [-1])
            # An infinity or a NaN less itself is NaN, every other number less itself 0.
            sums.append(op.ReduceSum(op.Sub(value, value), keepdims=1))
    broken = op.Reshape(op.NonZero(op.IsNaN(op.Concat(*sums, axis=0))), [-1])
    b.result("broken", op.Gather(op.Concat(broken, [NONE], axis=0), 0), INT64, [])
    return b.model()
