"""Prunes the weights that a task trains to those that it keeps (PackNet)."""

import onnx_ir as ir

from sparcl_compile.graphs.accuracies import ANY_CLASS, accuracy_matrix
from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.gradients import Gradient, parameter
from sparcl_compile.graphs.masks import NOT_KEPT, flat
from sparcl_compile.graphs.packing import LEFT, OWNER, Packing, owner
from sparcl_compile.graphs.selection import largest
from sparcl_compile.interface.names import Role


def build(packing: Packing) -> ir.Model:
    """Make the graph ``pack`` (Mallya and Lazebnik, CVPR 2018, section 3).

    Of each layer's n weights task k of T keeps ``floor(n k / T) - floor(n (k - 1) / T)``: those with the largest
    magnitude among the weights that are nobody's (ties: lower index). The paper gives each task the same share of what
    is left; equal numbers leave the last of T tasks as much as the first.

    Inputs: ``task`` int64 [], from 0; the packed weights W, their optimizer states and ``W.owner``; state
    ``accuracy.class``, of which only the length T counts. Results: ``.next`` of W and of its optimizer states, 0 where
    it is pruned; ``W.owner.next``, k where it is kept and -1 where it is pruned.

    Args:
        packing: the parameters.
    """
    b = Builder("pack", "Give a task its share of the largest free weights, and prune the others.")
    done = b.feed("task", INT64, [])
    tasks = b.size(accuracy_matrix(b, ANY_CLASS))
    for one, states in zip(packing.packed, packing.states, strict=True):
        with b.scope(one.name):
            _pack(b, one, states, done, tasks)
    return b.model()


def _pack(b: Builder, one: Gradient, states: tuple[str, ...], done: ir.Value, tasks: ir.Value) -> None:
    op, shape = b.op, one.shape
    weight, owners = parameter(b, one), owner(b, one)
    number, task = op.Size(weight), op.Add(done, 1)
    count = op.Sub(op.Div(op.Mul(number, task), tasks), op.Div(op.Mul(number, done), tasks))
    free = op.Equal(owners, 0.0)
    size = op.Where(free, op.Abs(weight), NOT_KEPT)
    chosen = op.Reshape(largest(b, flat(b, size), count), op.Shape(weight))
    pruned = op.And(free, op.Not(chosen))
    named = op.Where(pruned, LEFT, op.Where(chosen, b.cast(task, FLOAT), owners))
    b.result(f"{one.name}.next", op.Where(pruned, 0.0, weight), FLOAT, shape)
    b.result(f"{one.name}.{OWNER}.next", named, FLOAT, shape)
    for name in states:
        state = b.state(name, FLOAT, shape, Role.OPTIMIZER)
        b.result(f"{name}.next", op.Where(pruned, 0.0, state), FLOAT, shape)
