"""A graph under construction: named feeds, state and results around onnxscript's GraphBuilder."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, cast

import onnx_ir as ir
import onnxscript

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET
from sparcl_compile.passes.core.roles import set_role

PRODUCER = "sparcl-compile"

BOOL, DOUBLE, FLOAT, INT32, INT64, UINT8, UINT32 = (
    ir.DataType.BOOL,
    ir.DataType.DOUBLE,
    ir.DataType.FLOAT,
    ir.DataType.INT32,
    ir.DataType.INT64,
    ir.DataType.UINT8,
    ir.DataType.UINT32,
)


class Ops(Protocol):
    """``op.Name(*operands, **attributes)`` appends a node with one output."""

    def __getattr__(self, op_type: str) -> Callable[..., ir.Value]: ...


class Builder:
    """One graph, filled node by node.

    Attributes:
        op: appends nodes, for example ``op.Add(x, 1)``; Python numbers take the other operand's type.
    """

    op: Ops

    def __init__(self, name: str, doc: str) -> None:
        self._graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name=name, doc_string=doc)
        self._inner = onnxscript.GraphBuilder(self._graph)
        self.op = cast(Ops, self._inner.op)

    def feed(self, name: str, dtype: ir.DataType, shape: Sequence[int | str]) -> ir.Value:
        """Add an input that the driver supplies."""
        return self._inner.input(name, dtype, shape)

    def state(self, name: str, dtype: ir.DataType, shape: Sequence[int | str], role: Role) -> ir.Value:
        """Add an input that comes from a state tensor."""
        return set_role(self.feed(name, dtype, shape), role)

    def result(self, name: str, value: ir.Value, dtype: ir.DataType, shape: Sequence[int | str]) -> None:
        """Make a value an output under this name; ``NAME.next`` replaces state ``NAME``."""
        # Inference loses the names of data-dependent dimensions, and a value can be only one output.
        value = self.op.Identity(value) if value.is_graph_output() else value
        value.type, value.shape = ir.TensorType(dtype), ir.Shape(shape)
        self._inner.add_output(value, name)

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of the nodes made inside."""
        self._inner.push_module(name)
        yield
        self._inner.pop_module()

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """Convert; integers keep their low bits."""
        return self.op.Cast(value, to=int(dtype))

    def count(self, flags: ir.Value) -> ir.Value:
        """How many flags (bool, any shape) are set: int64 []."""
        return self.op.ReduceSum(self.cast(flags, INT64), keepdims=0)

    def size(self, value: ir.Value) -> ir.Value:
        """The length of a value's first dimension: int64 []."""
        return self.op.Gather(self.op.Shape(value, start=0, end=1), 0)

    def top(
        self, values: ir.Value, k: ir.Value, largest: bool, in_order: bool = True, axis: int = 0
    ) -> tuple[ir.Value, ir.Value]:
        """The ``k`` (int64 []) largest or smallest along an axis, and their int64 indices.

        ONNX gives ties to the lower index when ``in_order``, and promises nothing otherwise.
        """
        length = self.op.Reshape(k, [1])
        values, indices = cast(
            Sequence[ir.Value],
            self.op.TopK(values, length, axis=axis, largest=int(largest), sorted=int(in_order), _outputs=2),
        )
        return values, indices

    def model(self) -> ir.Model:
        """The finished model."""
        return ir.Model(self._graph, ir_version=IR_VERSION, producer_name=PRODUCER)
