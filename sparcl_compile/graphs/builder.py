"""A graph under construction: named feeds, state and results around onnxscript's GraphBuilder."""

import contextlib
import dataclasses
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol, cast

import onnx_ir as ir
import onnxscript

from sparcl_compile.interface.names import NEXT, Role
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET, PRODUCER
from sparcl_compile.passes.core.marks import ROLE_KEY
from sparcl_compile.passes.core.roles import set_role

FUNCTIONS = "sparcl.graphs"
FUNCTIONS_VERSION = 1
"""The domain of a graph's own functions, and its version."""

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


@dataclasses.dataclass(frozen=True)
class Port:
    """A parameter or a result of a function, as its builder declares it; ``role`` is empty where it is no state."""

    name: str
    dtype: ir.DataType
    shape: tuple[int | str, ...]
    role: str

    @classmethod
    def of(cls, value: ir.Value) -> "Port":
        """The port that a graph's input or output becomes."""
        if value.dtype is None or value.shape is None:
            raise ValueError(f"{value.name} states no type or no shape")
        shape = tuple(d if isinstance(d, int) else str(d) for d in value.shape)
        return cls(str(value.name), value.dtype, shape, value.metadata_props.get(ROLE_KEY, ""))


@dataclasses.dataclass(frozen=True)
class Body:
    """A function with its parameters and results."""

    function: ir.Function
    feeds: tuple[Port, ...]
    results: tuple[Port, ...]


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
        self._bodies: dict[tuple[str, Hashable], Body] = {}

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

    def next(self, state: ir.Value, value: ir.Value) -> None:
        """Make a value the next one of a state tensor, of the same type and shape: an output ``NAME.next``."""
        port = Port.of(state)
        self.result(f"{port.name}{NEXT}", value, port.dtype, port.shape)

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
        """The number of flags (bool, any shape) that are set: int64 []."""
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

    def parts(self, values: ir.Value, count: int) -> Sequence[ir.Value]:
        """The elements of a vector [count] as vectors [1]."""
        parts = self.op.Split(values, axis=0, num_outputs=count, _outputs=count)
        return [parts] if count == 1 else cast(Sequence[ir.Value], parts)

    def body(self, name: str, alike: Hashable, build: Callable[["Builder"], None]) -> "Body":
        """The function that ``build`` makes: its feeds are the parameters, its results the results, in their order.

        It is made once for each ``name`` and ``alike``, which stand for all that ``build`` depends on.
        """
        if (name, alike) not in self._bodies:
            inner = Builder(name, "")
            build(inner)
            number = sum(1 for other, _ in self._bodies if other == name)
            self._bodies[name, alike] = inner._as_body(f"{name}_{number}" if number else name)
        return self._bodies[name, alike]

    def call(self, body: "Body", arguments: Sequence[ir.Value], name: str) -> Sequence[ir.Value]:
        """Append a node of this name that calls a body; its results have types and no shapes."""
        node = ir.node(
            body.function.name,
            arguments,
            domain=FUNCTIONS,
            num_outputs=len(body.results),
            version=FUNCTIONS_VERSION,
            name=name,
        )
        for out, result in zip(node.outputs, body.results, strict=True):
            out.name, out.type = f"{name}.{result.name}", ir.TensorType(result.dtype)
        self._graph.opset_imports[FUNCTIONS] = FUNCTIONS_VERSION
        self._graph.append(node)
        return node.outputs

    def _as_body(self, name: str) -> "Body":
        graph = self._graph
        feeds, results = ([Port.of(value) for value in values] for values in (graph.inputs, graph.outputs))
        for value in list(graph.initializers.values()):
            graph.initializers.pop(str(value.name))
            constant = ir.node("Constant", [], {"value": value.const_value}, name=f"{value.name}.constant")
            value.replace_all_uses_with(constant.outputs[0])
            value.name, constant.outputs[0].name = f"{value.name}.data", value.name
            graph.insert_before(graph[0], constant)
        # Other calls have arguments of other shapes.
        for value in (*graph.inputs, *(out for node in graph for out in node.outputs)):
            value.shape = None
        return Body(ir.Function(FUNCTIONS, name, graph=graph, attributes=()), tuple(feeds), tuple(results))

    def model(self) -> ir.Model:
        """The finished model."""
        functions = [body.function for body in self._bodies.values()]
        return ir.Model(self._graph, ir_version=IR_VERSION, producer_name=PRODUCER, functions=functions)
