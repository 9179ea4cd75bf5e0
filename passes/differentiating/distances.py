"""The distances of a sample's logits from a stored target: what methods hold on to what a network gave before."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import BOOL, constant

LEFT_OUT = -5e8
"""A class whose target is not above it takes no part in ``softened``: class masks are -1e9."""
TEMPERATURE = 2.0
"""Of ``softened``: T of Hinton et al., 2015, and of Learning without Forgetting (section 3)."""
LEAST = 1e-12
"""Of a squared norm, where its root is differentiated: the gradient is 0 below it."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Logits with their target, both float32 [N, C], in a graph.

    Attributes:
        insert: inserts at the end of the graph.
        logits: of the network.
        target: what they are compared with.
        classes: the number C.
    """

    insert: Inserter
    logits: ir.Value
    target: ir.Value
    classes: int

    def op(self, op_type: str, *inputs: ir.Value, name: str, **attributes: object) -> ir.Value:
        """A value [N, C]."""
        shape = ["N", self.classes]
        return self.insert.op(op_type, *inputs, name=f"loss.{name}", shape=shape, **attributes)  # type: ignore[arg-type]

    def over_classes(self, op_type: str, value: ir.Value, name: str) -> ir.Value:
        """A reduction over the classes: [N]."""
        axis = constant(self.insert.graph, "loss.class_axis", np.array([1], np.int64))
        return self.insert.op(op_type, value, axis, name=f"loss.{name}", shape=["N"], keepdims=0)

    def number(self, name: str, value: float) -> ir.Value:
        """A constant."""
        return constant(self.insert.graph, f"loss.{name}", np.array(value, np.float32))


def of_logits(pair: Pair) -> ir.Value:
    """``mean_c (logits_c - target_c)^2`` (DER, Buzzega et al., NeurIPS 2020, equation 5)."""
    error = pair.op("Sub", pair.logits, pair.target, name="logit_error")
    squared = pair.op("Mul", error, error, name="squared_error")
    return pair.over_classes("ReduceMean", squared, "distillation")


def of_outputs(pair: Pair) -> ir.Value:
    """``||softmax(logits) - softmax(target)||_2`` (Benjamin et al., ICLR 2019, section 2), of each sample.

    The root has no gradient at 0; there it is 0.
    """
    now = pair.op("Softmax", pair.logits, name="outputs", axis=1)
    then = pair.op("Softmax", pair.target, name="stored_outputs", axis=1)
    error = pair.op("Sub", now, then, name="output_error")
    squared = pair.over_classes("ReduceSum", pair.op("Mul", error, error, name="squared_error"), "squared_norm")
    above = pair.insert.op("Max", squared, pair.number("least", LEAST), name="loss.norm_floor", shape=["N"])
    return pair.insert.op("Sqrt", above, name="loss.distillation", shape=["N"])


def softened(pair: Pair) -> ir.Value:
    """``-sum_c softmax(target / T)_c log softmax(logits / T)_c`` (Li and Hoiem, ECCV 2016, equations 2 and 3), T = 2.

    Over the classes whose target is above ``LEFT_OUT``.
    """
    insert, temperature = pair.insert, pair.number("temperature", TEMPERATURE)
    limit, zero = pair.number("left_out", LEFT_OUT), pair.number("zero", 0.0)
    counts = pair.op("Greater", pair.target, limit, name="takes_part", dtype=BOOL)
    shape = insert.op("Shape", pair.target, name="loss.target_shape", shape=[2], dtype=ir.TensorType(ir.DataType.INT64))
    zeros = pair.op("Expand", zero, shape, name="zeros")
    outside = pair.op("Where", counts, zeros, pair.target, name="outside")
    soft = pair.op("Div", pair.logits, temperature, name="softened")
    log_p = pair.op("LogSoftmax", pair.op("Add", soft, outside, name="softened_part"), name="log_softened", axis=1)
    then = pair.op("Div", pair.target, temperature, name="softened_target")
    q = pair.op("Softmax", then, name="softened_probability", axis=1)
    likelihood = pair.over_classes("ReduceSum", pair.op("Mul", q, log_p, name="softened_product"), "soft_likelihood")
    return insert.op("Neg", likelihood, name="loss.distillation", shape=["N"])


def sigmoid(pair: Pair) -> ir.Value:
    """``-sum_c t_c log s_c + (1 - t_c) log(1 - s_c)``, s of x the sigmoid (iCaRL, Rebuffi et al., 2017, algorithm 3).

    Over the classes whose target t, a probability, is not below 0. Computed as ``max(x, 0) - x t + log(1 + e^-|x|)``.
    """
    x, zero, one = pair.logits, pair.number("zero", 0.0), pair.number("one", 1.0)
    outside = pair.op("Less", pair.target, zero, name="is_outside", dtype=BOOL)
    inside = pair.op("Not", outside, name="is_inside", dtype=BOOL)
    counts = pair.op("Cast", inside, name="takes_part", to=int(ir.DataType.FLOAT))
    product = pair.op("Mul", x, pair.target, name="product")
    size = pair.op("Neg", pair.op("Abs", x, name="size"), name="negative_size")
    tail = pair.op("Log", pair.op("Add", pair.op("Exp", size, name="decayed"), one, name="above_one"), name="tail")
    linear = pair.op("Sub", pair.op("Relu", x, name="positive"), product, name="linear")
    each = pair.op("Mul", pair.op("Add", linear, tail, name="binary"), counts, name="binary_part")
    return pair.over_classes("ReduceSum", each, "distillation")


DISTANCES: Mapping[str, Callable[[Pair], ir.Value]] = {
    "logits": of_logits,
    "outputs": of_outputs,
    "softened": softened,
    "sigmoid": sigmoid,
}
"""The distances by name: of values [N, C] one number a sample."""
