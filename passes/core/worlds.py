"""Shapes and small values of a graph at two batch sizes at once.

A graph traced at one batch size hides which numbers are the batch. Following the same graph at the original batch B and
at a seven times larger one tells: what differs between these two *worlds* depends on the batch, the rest does not.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET
from sparcl_compile.passes.core.values import all_values

RATIO = 7
SMALL_DATA = {True: 4096, False: 64}
"""Largest size of a constant that shape inference is given: True for integers (Reshape targets, Slice bounds, axes),
False for other numbers (the scales of Resize). It needs no weights.
"""

UNINFERRED = ("MeanVarianceNormalization",)
"""Operators that ONNX defines by others, without shape inference of their own."""

INFERENCE_FAILURES = (
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
    RuntimeError,
    ValueError,
)
"""Exceptions of ONNX for a node that cannot take its inputs."""

Shape = tuple[int, ...]


@dataclasses.dataclass
class Fact:
    """Facts about a value in one world: shape, type and, if it depends on no input's contents, its data."""

    shape: Shape | None
    dtype: int
    data: np.ndarray | None = None


class World:
    """The values of one graph at one batch size, node by node."""

    def __init__(self, batch: int) -> None:
        """Start empty at this batch size."""
        self.batch = batch
        self.facts: dict[ir.Value, Fact] = {}

    @classmethod
    def of(cls, graph: ir.Graph, batch: int) -> "World":
        """The world of a graph with its one input in place; raises ModelError as ``enter``."""
        world = cls(batch)
        (value,) = graph.inputs
        world.enter(value)
        return world

    def enter(self, value: ir.Value) -> None:
        """Put an input in place; raises ModelError where it has a length but the batch that is no number."""
        lengths = list(value.shape or ())[1:]
        rest = [length for length in lengths if isinstance(length, int)]
        if len(rest) < len(lengths):
            mend = "give it fixed lengths but for the batch, and export the model again"
            raise ModelError(f"input {value.name} is {value.shape}, with a length that is no number; {mend}")
        self.facts[value] = Fact((self.batch, *rest), int(value.dtype or ir.DataType.FLOAT))

    def fact(self, value: ir.Value | None) -> Fact | None:
        """Facts about a value; those of initializers are there from the start."""
        if value is None:
            return None
        if value not in self.facts and value.is_initializer() and value.const_value is not None:
            data = value.const_value.numpy()
            self.facts[value] = Fact(tuple(data.shape), int(value.const_value.dtype), np.asarray(data))
        return self.facts.get(value)

    def shape(self, value: ir.Value | None) -> Shape | None:
        """The shape of a value in this world, None when unknown."""
        known = self.fact(value)
        return None if known is None else known.shape

    def data(self, value: ir.Value | None) -> np.ndarray | None:
        """The contents of a value in this world, None when they depend on the model's input."""
        known = self.fact(value)
        return None if known is None else known.data

    def visit(self, node: ir.Node) -> None:
        """Work out a node's outputs; raises ModelError when the node cannot take these shapes."""
        if node.op_type == "Shape":
            self._visit_shape(node)
            return
        inputs = [value for value in node.inputs if value is not None]
        if all(self.data(value) is not None for value in inputs):
            self._compute(node)
            return
        self._infer(node)

    def _visit_shape(self, node: ir.Node) -> None:
        shape = self.shape(node.inputs[0])
        start = node.attributes["start"].as_int() if "start" in node.attributes else 0
        end = node.attributes["end"].as_int() if "end" in node.attributes else None
        data = None if shape is None else np.asarray(shape[start:end], dtype=np.int64)
        self.facts[node.outputs[0]] = Fact(None if data is None else data.shape, int(ir.DataType.INT64), data)

    def _compute(self, node: ir.Node) -> None:
        feeds = {str(value.name): self.data(value) for value in node.inputs if value is not None}
        for output, data in zip(node.outputs, evaluate(node, feeds), strict=False):
            array = np.asarray(data)
            dtype = int(ir.DataType.from_numpy(array.dtype))
            self.facts[output] = Fact(tuple(array.shape), dtype, array)

    def _try_out(self, node: ir.Node) -> None:
        """Run a node on zeros to see its shapes."""
        facts = {str(value.name): self.fact(value) for value in node.inputs if value is not None}
        if any(fact is None or fact.shape is None for fact in facts.values()):
            return
        feeds = {name: zeros(fact) if fact.data is None else fact.data for name, fact in facts.items() if fact}
        for output, data in zip(node.outputs, evaluate(node, feeds), strict=False):
            self.facts[output] = Fact(np.shape(data), int(ir.DataType.from_numpy(np.asarray(data).dtype)))

    def _infer(self, node: ir.Node) -> None:
        types, data = {}, {}
        for value in node.inputs:
            known = self.fact(value)
            if value is None or known is None:
                continue
            types[str(value.name)] = tensor_type(known)
            if known.data is not None and known.data.size <= SMALL_DATA[known.data.dtype.kind in "iu"]:
                data[str(value.name)] = ir.serde.serialize_tensor(ir.tensor(known.data, name=value.name))
        schema = onnx.defs.get_schema(node.op_type, OPSET)
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                ir.serde.serialize_node(node),
                types,
                data,
                opset_imports=[onnx.OperatorSetIdProto(domain="", version=OPSET)],
                ir_version=IR_VERSION,
            )
        except INFERENCE_FAILURES as error:
            reason = " ".join(str(error).split())
            raise ModelError(
                f"node {node.name} ({node.op_type}) cannot take a batch of {self.batch}: {reason}"
            ) from error
        unknown = not found or any(static_shape(proto.tensor_type) is None for proto in found.values())
        if unknown and node.op_type in UNINFERRED:
            self._try_out(node)
            return
        for output in node.outputs:
            if output.name in found:
                tensor = found[output.name].tensor_type
                self.facts[output] = Fact(static_shape(tensor), tensor.elem_type)


def zeros(fact: Fact) -> np.ndarray:
    """Contents for a value of which only shape and type are known."""
    return np.zeros(fact.shape or (), ir.DataType(fact.dtype).numpy())


def tensor_type(fact: Fact) -> onnx.TypeProto:
    """The ONNX type of a value."""
    proto = onnx.TypeProto()
    proto.tensor_type.elem_type = fact.dtype
    if fact.shape is not None:
        proto.tensor_type.shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=n) for n in fact.shape)
        proto.tensor_type.shape.SetInParent()
    return proto


def static_shape(tensor: onnx.TypeProto.Tensor) -> Shape | None:
    """The shape of a tensor type when every dimension is a number."""
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(int(dim.dim_value) for dim in tensor.shape.dim)


def evaluate(node: ir.Node, feeds: Mapping[str, np.ndarray | None]) -> Sequence[np.ndarray]:
    """Run one node in numpy; raises ModelError when it fails."""
    proto = ir.serde.serialize_node(node)
    names = [name for name in proto.output if name]
    graph = onnx.GraphProto(
        name="one_node",
        node=[proto],
        input=[onnx.ValueInfoProto(name=name) for name in feeds],
        output=[onnx.ValueInfoProto(name=name) for name in names],
    )
    imports = [onnx.OperatorSetIdProto(domain="", version=OPSET)]
    model = onnx.ModelProto(ir_version=IR_VERSION, opset_import=imports, graph=graph)
    try:
        return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, dict(feeds))]
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"constant node {node.name} ({node.op_type}) cannot be computed: {reason}") from error


@dataclasses.dataclass
class Worlds:
    """The original world and the one with the larger batch."""

    small: World
    large: World

    @classmethod
    def of(cls, graph: ir.Graph, batch: int) -> "Worlds":
        """Both worlds with the graph's one input in place."""
        return cls(World.of(graph, batch), World.of(graph, batch * RATIO))

    def visit(self, node: ir.Node) -> None:
        """Visit a node in both worlds."""
        self.small.visit(node)
        self.large.visit(node)

    def batch_axes(self, value: ir.Value | None) -> list[int]:
        """The axes whose length depends on the batch."""
        small, large = self.small.shape(value), self.large.shape(value)
        if small is None or large is None or len(small) != len(large):
            return []
        return [axis for axis, (a, b) in enumerate(zip(small, large, strict=True)) if a != b]

    def constant(self, value: ir.Value | None) -> np.ndarray | None:
        """The contents of a value that are the same at every batch size, else None."""
        small, large = self.small.data(value), self.large.data(value)
        if small is None or large is None or small.shape != large.shape:
            return None
        same = np.array_equal(small, large, equal_nan=small.dtype.kind == "f")
        return small if same else None

    def symbolic(self, value: ir.Value) -> ir.Shape | None:
        """The shape with "N" for the batch and None for its multiples; None when unknown."""
        small, large = self.small.shape(value), self.large.shape(value)
        if small is None or large is None or len(small) != len(large):
            return None
        return ir.Shape([self._dimension(a, b) for a, b in zip(small, large, strict=True)])

    def _dimension(self, small: int, large: int) -> int | str | None:
        if small == large:
            return small
        return "N" if (small, large) == (self.small.batch, self.large.batch) else None


def write_shapes(graph: ir.Graph, worlds: Worlds) -> None:
    """Give every value its type and its shape with the symbolic batch."""
    for value in all_values(graph):
        fact, shape = worlds.small.fact(value), worlds.symbolic(value)
        if fact is None or value.is_initializer():
            continue
        value.type = ir.TensorType(ir.DataType(fact.dtype))
        value.shape = shape
