"""One node and the gradients of its outputs: all that a rule sees, and the operators it writes."""

import functools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.values import constant

FLOAT_TYPE = int(ir.DataType.FLOAT)
PART = ".gradient."
"""In the name of a value that a rule makes."""


class Gradient:
    """A node whose inputs get their gradients.

    Every operator that it writes is one of opset 18, behind what the graph holds already.

    Attributes:
        node: the node of the forward graph.
        by_rows: whether rows of a weight's gradient may be asked for alone.
        sparing: whether a form that holds little is better than a fast one.
    """

    def __init__(
        self,
        insert: Inserter,
        node: ir.Node,
        of_outputs: Sequence[ir.Value | None],
        wanted: Collection[int],
        by_rows: bool = False,
        sparing: bool = False,
    ) -> None:
        """Begin the gradient of a node.

        Args:
            insert: inserts at the end of the graph.
            node: a node of the forward graph.
            of_outputs: the gradient of each output, None for one that the loss does not depend on.
            wanted: the numbers of the inputs whose gradients are asked for.
            by_rows: whether rows of a weight's gradient may be asked for alone.
            sparing: whether a form that holds little is better than a fast one.
        """
        self.by_rows, self.sparing = by_rows, sparing
        self.node, self._insert, self._of_outputs, self._wanted = node, insert, of_outputs, frozenset(wanted)

    @property
    def graph(self) -> ir.Graph:
        """The graph."""
        return self._insert.graph

    @property
    def dy(self) -> ir.Value:
        """The gradient of the first output, which the loss depends on; raises UnsupportedOpsError where it does not."""
        found = self.of_output(0)
        if found is None:
            raise self.refusal("trains through another output than its first")
        return found

    @property
    def y(self) -> ir.Value:
        """The first output."""
        return self.node.outputs[0]

    @property
    def x(self) -> ir.Value:
        """The first input."""
        return self.input(0)

    def input(self, number: int) -> ir.Value:
        """An input that must be there; raises UnsupportedOpsError where it is not."""
        found = self.given(number)
        if found is None:
            raise self.refusal(f"lacks input {number}")
        return found

    def given(self, number: int) -> ir.Value | None:
        """An input, or None where it is left out."""
        return self.node.inputs[number] if number < len(self.node.inputs) else None

    def of_output(self, number: int) -> ir.Value | None:
        """The gradient of an output, or None where the loss does not depend on it."""
        return self._of_outputs[number] if number < len(self._of_outputs) else None

    def wants(self, number: int) -> bool:
        """Whether the gradient of an input is asked for."""
        return number in self._wanted

    def refusal(self, problem: str) -> UnsupportedOpsError:
        """The error about a node that has no gradient as it stands."""
        return UnsupportedOpsError(
            f"{self.node.op_type} ({self.node.name}) {problem}, and cannot be trained so; "
            "replace it in the model before exporting it"
        )

    # What is known of a value.

    def lengths(self, value: ir.Value) -> list[int | None]:
        """The length of each axis, None where it is not a number; raises UnsupportedOpsError for an unknown rank."""
        if value.shape is None:
            raise self.refusal(f"reads or makes {value.name}, whose number of axes is unknown")
        return [length if isinstance(length, int) else None for length in value.shape]

    def rank(self, value: ir.Value) -> int:
        """The number of axes."""
        return len(self.lengths(value))

    def static(self, value: ir.Value, first: int = 0) -> list[int]:
        """The lengths of the axes from ``first`` on; raises UnsupportedOpsError where one is no number."""
        lengths = self.lengths(value)[first:]
        if any(length is None for length in lengths):
            raise self.refusal(f"needs to know the shape of {value.name}, which is {value.shape}")
        return [int(length) for length in lengths if length is not None]

    def array(self, number: int) -> np.ndarray:
        """The contents of a constant input; raises UnsupportedOpsError where it is none."""
        value = self.given(number)
        if value is None or value.const_value is None or value.is_graph_input():
            raise self.refusal(f"has an input {number} that is no constant")
        return np.asarray(value.const_value.numpy())

    # Operators.

    def op(self, op_type: str, *inputs: ir.Value | None, like: ir.Value | None = None, **attributes: Any) -> ir.Value:
        """Write an operator; returns its first output."""
        return self._insert.op(op_type, *inputs, name=self._name(op_type), like=like, **attributes)

    def outputs(self, op_type: str, *inputs: ir.Value | None, count: int, **attributes: Any) -> Sequence[ir.Value]:
        """Write an operator with several outputs; returns all of them."""
        first = self._insert.op(op_type, *inputs, name=self._name(op_type), outputs=count, **attributes)
        node = first.producer()
        return () if node is None else node.outputs

    def _name(self, op_type: str) -> str:
        return f"{self.node.name}{PART}{op_type.lower()}"

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Write a + b."""
        return self.op("Add", a, b)

    def sub(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Write a - b."""
        return self.op("Sub", a, b)

    def mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Write a * b."""
        return self.op("Mul", a, b)

    def div(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """Write a / b."""
        return self.op("Div", a, b)

    def neg(self, a: ir.Value) -> ir.Value:
        """Write -a."""
        return self.op("Neg", a)

    def scaled(self, a: ir.Value, factor: float) -> ir.Value:
        """Write a times a number."""
        return a if factor == 1.0 else self.mul(a, self.number(factor))

    def where(self, condition: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
        """Write the choice between a, where the condition holds, and b."""
        return self.op("Where", condition, a, b)

    def as_float(self, condition: ir.Value) -> ir.Value:
        """Write 1 where the condition holds and 0 elsewhere."""
        return self.op("Cast", condition, to=FLOAT_TYPE)

    def summed(self, a: ir.Value, axes: Sequence[int], keepdims: bool = False) -> ir.Value:
        """Write the sum over the axes; a itself where there are none."""
        return self.op("ReduceSum", a, self.ints(axes), keepdims=int(keepdims)) if axes else a

    def mean(self, a: ir.Value, axes: Sequence[int], keepdims: bool = False) -> ir.Value:
        """Write the mean over the axes."""
        return self.op("ReduceMean", a, self.ints(axes), keepdims=int(keepdims))

    def reshaped(self, a: ir.Value, lengths: Sequence[int]) -> ir.Value:
        """Write a in another shape, given as Reshape takes it."""
        return self.op("Reshape", a, self.ints(lengths))

    def transposed(self, a: ir.Value, order: Sequence[int]) -> ir.Value:
        """Write a with its axes in another order."""
        return a if list(order) == sorted(order) else self.op("Transpose", a, perm=list(order))

    def sliced(
        self, a: ir.Value, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int]
    ) -> ir.Value:
        """Write a part of a."""
        return self.op("Slice", a, self.ints(starts), self.ints(ends), self.ints(axes), self.ints(steps))

    def padded(self, a: ir.Value, before: Sequence[int], after: Sequence[int]) -> ir.Value:
        """Write a with zeros around it; negative numbers take away."""
        return self.op("Pad", a, self.ints([*before, *after])) if any((*before, *after)) else a

    # Constants, shared by all rules of a graph.

    def number(self, value: float) -> ir.Value:
        """A float32 scalar."""
        return constant(self.graph, f"gradient.number_{np.float32(value)}", np.array(value, np.float32))

    def ints(self, values: Sequence[int]) -> ir.Value:
        """An int64 vector."""
        name = "gradient.ints_" + "_".join(map(str, values))
        return constant(self.graph, name, np.array(list(values), np.int64))

    def filled(self, value: float, lengths: Sequence[int]) -> ir.Value:
        """A float32 tensor of one number."""
        name = f"gradient.filled_{np.float32(value)}_" + "_".join(map(str, lengths))
        return constant(self.graph, name, np.full(list(lengths), value, np.float32))

    def shared(self, hint: str, array: np.ndarray) -> ir.Value:
        """A constant that all rules of a graph share under this name."""
        return constant(self.graph, f"gradient.{hint}", array)

    def const(self, hint: str, array: np.ndarray) -> ir.Value:
        """A constant of this node alone."""
        return constant(self.graph, f"{self.node.name}{PART}{hint}", array)

    def shape_of(self, value: ir.Value) -> ir.Value:
        """The shape of a value: a constant where all lengths are numbers, else read off the value."""
        lengths = self.lengths(value)
        known = [length for length in lengths if length is not None]
        return self.ints(known) if len(known) == len(lengths) else self.op("Shape", value)

    def zeros_like(self, value: ir.Value) -> ir.Value:
        """Zeros in the shape of a value."""
        return self.op("Expand", self.number(0.0), self.shape_of(value))

    def in_shape_of(self, value: ir.Value, a: ir.Value) -> ir.Value:
        """A reshaped to the shape of a value that has as many elements."""
        lengths = self.lengths(value)
        if sum(length is None for length in lengths) <= 1:
            return self.reshaped(a, [-1 if length is None else length for length in lengths])
        return self.op("Reshape", a, self.shape_of(value))

    def spread(self, value: ir.Value, a: ir.Value) -> ir.Value:
        """A, which has 1 where axes were reduced, repeated to the shape of a value."""
        target, given = self.lengths(value), self.lengths_or_none(a)
        if given is not None and all(t is not None or g != 1 for t, g in zip(target, given, strict=True)):
            # Expand broadcasts both ways: an axis of unknown length, which a has already, is asked for as 1.
            return self.op("Expand", a, self.ints([1 if length is None else length for length in target]))
        return self.op("Expand", a, self.shape_of(value))

    def lengths_or_none(self, value: ir.Value) -> list[int | None] | None:
        """The lengths of a value, None where it has no shape."""
        return None if value.shape is None else self.lengths(value)

    def gathered_from(self, number: int, a: ir.Value, of: ir.Value | None = None) -> ir.Value:
        """The gradient of an input that was broadcast: the sum over the axes that the input lacks or repeats.

        Args:
            number: of the input.
            a: a gradient in the shape of the broadcast result.
            of: the broadcast result; the first output by default.
        """
        x, y = self.input(number), of if of is not None else self.y
        inner, outer = self.lengths(x), self.lengths(y)
        missing = len(outer) - len(inner)
        repeated = [axis + missing for axis, length in enumerate(inner) if length == 1 and outer[axis + missing] != 1]
        kept = self.summed(a, repeated, keepdims=True)
        return self.summed(kept, list(range(missing)))


Function = Callable[[Gradient], ir.Value]
"""Writes the gradient of one input."""
Rule = Callable[[Gradient], Sequence[ir.Value | None]]
"""Writes the gradients of the inputs, in their order; None, or nothing at the end, for one that has none."""


def each(*functions: Function | None) -> Rule:
    """The rule of an operator from one function for each input, which is called where its gradient is asked for."""

    def rule(g: Gradient) -> Sequence[ir.Value | None]:
        return [
            function(g) if function is not None and g.wants(number) else None
            for number, function in enumerate(functions)
        ]

    return rule


def broadcasting(*functions: Function) -> Rule:
    """As ``each``, for an operator whose inputs are broadcast: what was repeated is summed up."""

    def summed(number: int, function: Function, g: Gradient) -> ir.Value:
        return g.gathered_from(number, function(g))

    return each(*(functools.partial(summed, number, function) for number, function in enumerate(functions)))


def count(lengths: Sequence[int]) -> int:
    """The number of elements."""
    return math.prod(lengths)
