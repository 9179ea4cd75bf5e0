"""Keeps the weights of earlier tasks where they are (PackNet)."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.graphs.gradients import Gradient, accumulated
from sparcl_compile.graphs.packing import Packing, number_of_task, owner, trains
from sparcl_compile.interface.names import accumulator_name


def build(packing: Packing) -> ir.Model:
    """Make the graph ``hold`` (Mallya and Lazebnik, CVPR 2018, section 3).

    Inputs: ``task`` int64 [], from 0; the accumulators of the packed and the shared parameters, and state ``W.owner``
    of the packed ones. Results: ``.next`` of the accumulators: 0 for a weight that is another task's or was pruned in
    this one, and after the first task for shared parameters.

    Args:
        packing: the parameters.
    """
    b = Builder("hold", "Leave no gradient to weights that are not the task's.")
    op, task = b.op, number_of_task(b)
    for one in packing.packed:
        _result(b, one, b.cast(trains(b, owner(b, one), task), FLOAT))
    first = b.cast(op.Equal(task, 1.0), FLOAT)
    for one in packing.shared:
        _result(b, one, op.Reshape(first, [1] * len(one.shape)) if one.shape else first)
    return b.model()


def _result(b: Builder, one: Gradient, share: ir.Value) -> None:
    b.result(f"{accumulator_name(one.name)}.next", b.op.Mul(accumulated(b, one), share), FLOAT, one.shape)
