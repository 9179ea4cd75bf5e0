"""What every pass shares: the pass class, roles of state values, provenance of inserted nodes."""

import dataclasses
import enum
import re
from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

OPSET = 18
IR_VERSION = 10

ROLE_KEY = "sparcl.role"
DENSE_KEY = "sparcl.dense"
PASS_KEY = "sparcl.pass"
LAYER_KEY = "sparcl.layer"
AXES_KEY = "sparcl.axes"
STAGE_KEY = "sparcl.stage"

NEXT = ".next"
"""What the name of a graph output has behind the name of the state whose next value it is."""

SPARSE_DOMAIN = "sparcl"
COMPRESSED_KEY = "sparcl.compressed"
MASKED_KEY = "sparcl.masked"
SPARSE_CONV = "SparseConv"
SPARSE_INPUT_GRADIENT = "SparseConvInputGrad"
SPARSE_WEIGHT_GRADIENT = "SparseConvWeightGrad"
BATCH_NORM = "BatchNormTraining"
BATCH_NORM_GRADIENT = "BatchNormGrad"
MAX_POOL = "MaxPoolBatchLast"
MAX_POOL_GRADIENT = "MaxPoolBatchLastGrad"

FLOAT = ir.TensorType(ir.DataType.FLOAT)
INT64 = ir.TensorType(ir.DataType.INT64)
BOOL = ir.TensorType(ir.DataType.BOOL)

WEIGHT_SLOTS = {"Conv": (1,), "ConvTranspose": (1,), "Gemm": (0, 1), "MatMul": (0, 1)}
"""Where a layer's weight stands among a node's inputs."""


class Role(enum.StrEnum):
    """What a state tensor is for; see docs/interfaces.md."""

    PARAMETER = "parameter"
    FROZEN = "frozen"
    MASK = "mask"
    GRADIENT_MASK = "gradient_mask"
    GRADIENT_ROWS = "gradient_rows"
    RUNNING_STAT = "running_stat"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    SAMPLE = "sample"
    CHANNEL = "channel"
    INDEX = "index"


TRAINABLE = (Role.PARAMETER, Role.FROZEN)
"""What the model's file gives as its parameters, whether they train here or not."""


@dataclasses.dataclass(frozen=True)
class Pass(ir.passes.InPlacePass):
    """A pass over a model, with its options as frozen fields.

    Subclasses implement ``call(model) -> ir.passes.PassResult``, change the model in place, report
    ``modified`` honestly and do nothing on a second run.
    """

    @property
    def name(self) -> str:
        """The pass's name in snake case: the same as its file's."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def __str__(self) -> str:
        return self.name

    def node(self, op_type: str, inputs: list[ir.Value | None], **kwargs: object) -> ir.Node:
        """Make a node (arguments as ``ir.node``) that carries this pass's name as its origin."""
        node = ir.node(op_type, inputs, **kwargs)  # type: ignore[arg-type]
        return self.tag(node)

    def append(
        self,
        graph: ir.Graph,
        op_type: str,
        inputs: list[ir.Value | None],
        name: str,
        shape: Sequence[int | str],
        dtype: ir.TensorType = FLOAT,
        **attributes: int | str,
    ) -> ir.Value:
        """Append a one-output node named like its output value, with its type and shape stated; return the output."""
        node = self.node(op_type, inputs, attributes=attributes or None, name=name)
        out = node.outputs[0]
        out.name, out.shape, out.type = name, ir.Shape(shape), dtype
        graph.append(node)
        return out

    def tag(self, node: ir.Node) -> ir.Node:
        """Mark a node as made by this pass."""
        node.metadata_props[PASS_KEY] = self.name
        return node


class Inserter:
    """Inserts one-output nodes of a pass before an anchor, named after it, with type and shape stated."""

    def __init__(self, made_by: Pass, graph: ir.Graph, anchor: ir.Node) -> None:
        """Insert into ``graph`` before ``anchor``."""
        self._made_by, self._graph, self._anchor = made_by, graph, anchor

    def __call__(
        self,
        part: str,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        shape: Sequence[int | ir.SymbolicDim],
        domain: str = "",
        **attributes: Sequence[int] | int | str,
    ) -> ir.Value:
        """Insert a node and return its output, float32."""
        name = f"{self._anchor.name}.{part}"
        node = self._made_by.node(op_type, list(inputs), attributes=attributes or None, domain=domain, name=name)
        out = node.outputs[0]
        out.name, out.shape, out.type = name, ir.Shape(shape), FLOAT
        self._graph.insert_before(self._anchor, node)
        return out


def role_of(value: ir.Value) -> Role | None:
    """The role of a state value, or None for any other value."""
    text = value.metadata_props.get(ROLE_KEY)
    return Role(text) if text else None


def set_role(value: ir.Value, role: Role) -> ir.Value:
    """Mark a value as state of this role and return it."""
    value.metadata_props[ROLE_KEY] = str(role)
    return value


def values_with_role(model: ir.Model, role: Role) -> Iterator[ir.Value]:
    """All initializers and graph inputs of one role, in graph order."""
    graph = model.graph
    seen: set[str | None] = set()
    for value in (*graph.initializers.values(), *graph.inputs):
        if value.name not in seen and role_of(value) is role:
            seen.add(value.name)
            yield value


def dims(value: ir.Value) -> list[int]:
    """The static shape of a value; raises ValueError when a dimension is symbolic or unknown."""
    if value.shape is None or not all(isinstance(d, int) for d in value.shape):
        raise ValueError(f"value {value.name} has no static shape: {value.shape}")
    return [int(d) for d in value.shape]  # type: ignore[arg-type]


def constant(graph: ir.Graph, name: str, data: np.ndarray) -> ir.Value:
    """Register a constant (an initializer without a role), or return the one that has this name."""
    if name in graph.initializers:
        return graph.initializers[name]
    tensor = ir.tensor(data, name=name)
    value = ir.Value(name=name, shape=ir.Shape(data.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


class Feeds:
    """The inputs of a graph by name, for whoever asks for one a layer; no one else may add inputs meanwhile."""

    def __init__(self, graph: ir.Graph) -> None:
        """The inputs that are there."""
        self._graph = graph
        self._by_name = {str(value.name): value for value in graph.inputs}

    def find(self, name: str) -> ir.Value | None:
        """The input of this name, or None."""
        return self._by_name.get(name)

    def __call__(self, name: str, shape: Sequence[int | str], dtype: ir.TensorType = FLOAT) -> ir.Value:
        """Add an input, or return the one that has this name."""
        if name not in self._by_name:
            self._by_name[name] = ir.Value(name=name, shape=ir.Shape(shape), type=dtype)
            self._graph.inputs.append(self._by_name[name])
        return self._by_name[name]


def feed(graph: ir.Graph, name: str, shape: Sequence[int | str], dtype: ir.TensorType = FLOAT) -> ir.Value:
    """Add one input to a graph, or return the one that has this name."""
    return Feeds(graph)(name, shape, dtype)


def value_named(graph: ir.Graph, name: str) -> ir.Value:
    """The input, initializer or node output of this name; raises KeyError when there is none."""
    outputs = (out for node in graph for out in node.outputs)
    for value in (*graph.inputs, *graph.initializers.values(), *outputs):
        if value.name == name:
            return value
    raise KeyError(f"the graph holds no value named {name}")


def layer_weights(model: ir.Model) -> list[ir.Value]:
    """The weights of Conv, Gemm and MatMul by their first node, dense and frozen ones included."""
    return list({str(weight.name): weight for _, weight in weighted_layers(model.graph)}.values())


def weighted_layers(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Value]]:
    """Each Conv, Gemm and MatMul with its weight, a parameter (frozen ones too) of two axes or more, in graph order."""
    for node in graph:
        for slot in WEIGHT_SLOTS.get(node.op_type, ()):
            value = node.inputs[slot]
            if value is not None and role_of(value) in TRAINABLE and len(value.shape or ()) >= 2:
                yield node, value


def frozen_names(model: ir.Model) -> tuple[str, ...]:
    """The names of the parameters that do not train, in graph order: their units must stay whole."""
    return tuple(str(value.name) for value in values_with_role(model, Role.FROZEN))


def masked_layers(model: ir.Model) -> list[ir.Value]:
    """The weights that masks go on, in layer order; empty before ``insert_weight_masks``."""
    marked = [v for v in values_with_role(model, Role.PARAMETER) if LAYER_KEY in v.metadata_props]
    return sorted(marked, key=lambda v: int(v.metadata_props[LAYER_KEY]))


def mask_name(weight: str) -> str:
    """The name of a weight's mask."""
    return f"{weight}.mask"


def index_name(weight: str) -> str:
    """The name of the flat positions of a compressed weight's values in the full weight."""
    return f"{weight}.index"


def rows_name(weight: str) -> str:
    """The name of the places where a compressed weight's output channels begin."""
    return f"{weight}.rows"


def gradient_mask_name(weight: str) -> str:
    """The name of a weight's gradient mask."""
    return f"{weight}.gradient_mask"


def gradient_rows_name(weight: str) -> str:
    """The name of the numbers of the output channels whose gradient is computed."""
    return f"{weight}.gradient_rows"


def gradient_name(weight: str) -> str:
    """The name of a parameter's gradient, as ORT's gradient builder gives it."""
    return f"{weight}_grad"


def accumulator_name(weight: str) -> str:
    """The name of a parameter's gradient accumulator, as ORT's artifact builder gives it."""
    return f"{weight}_grad.accumulation.buffer"
