"""A model as ONNX's own functions want it, without its weights and notes: they serialise what they get, and copy it."""

import onnx
import onnx_ir as ir

SMALL = 1000
"""Bytes of data that shape inference may need: the targets of a Reshape, the bounds of a Slice."""


def without_data(model: ir.Model) -> onnx.ModelProto:
    """The model without the data of its initializers, of which types and shapes stay, and without metadata of nodes."""
    proto, infos = _header(model), _Infos()
    proto.graph.input.extend(map(infos.of, model.graph.inputs))
    proto.graph.value_info.extend(map(infos.of, _stored(model.graph)))
    _add_nodes(proto.graph, model.graph, infos)
    return proto


def with_fed_initializers(model: ir.Model) -> onnx.ModelProto:
    """As :func:`without_data`, with the initializers as inputs; the data of small ones stays."""
    proto, infos = _header(model), _Infos()
    proto.graph.input.extend(map(infos.of, (*model.graph.inputs, *_stored(model.graph))))
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.nbytes <= SMALL:
            proto.graph.initializer.append(ir.serde.serialize_tensor(value.const_value))
            proto.graph.initializer[-1].name = str(value.name)
    _add_nodes(proto.graph, model.graph, infos)
    return proto


def large_last(graph: ir.Graph) -> None:
    """Put the initializers that are not small behind those that are, in place; no change beside foreign operators.

    The state of an artifact has that order. It is the one that onnx-ir's shape inference leaves, which ran after every
    pass while the graph was standard.
    """
    if any(not onnx.defs.has(node.op_type, node.domain) for node in graph):
        return
    stored = (value for value in graph.initializers.values() if value.const_value is not None)
    large = [value for value in stored if value.const_value.nbytes > SMALL]  # type: ignore[union-attr]
    for value in large:
        graph.initializers.pop(str(value.name))
    for value in large:
        graph.register_initializer(value)


def _stored(graph: ir.Graph) -> list[ir.Value]:
    fed = set(graph.inputs)
    return [value for value in graph.initializers.values() if value not in fed]


def _header(model: ir.Model) -> onnx.ModelProto:
    """Everything but the graph."""
    graph = ir.GraphView([], [], nodes=(), opset_imports=model.opset_imports, name=model.graph.name)
    bare = ir.Model(
        graph,  # type: ignore[arg-type]
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        domain=model.domain,
        model_version=model.model_version,
        doc_string=model.doc_string,
        functions=list(model.functions.values()),
        metadata_props=model.metadata_props,
    )
    return ir.to_proto(bare)


def _add_nodes(proto: onnx.GraphProto, graph: ir.Graph, infos: "_Infos") -> None:
    proto.node.extend(map(_node, graph))
    inner = (out for node in graph for out in node.outputs if out.name and not out.is_graph_output())
    proto.value_info.extend(infos.of(out) for out in inner if out.shape is not None or out.type is not None)
    proto.output.extend(map(infos.of, graph.outputs))


def _node(node: ir.Node) -> onnx.NodeProto:
    outputs = [str(out.name) for out in node.outputs]
    while outputs and not outputs[-1]:
        outputs.pop()
    return onnx.NodeProto(
        op_type=node.op_type,
        domain=node.domain or None,
        name=node.name or None,
        input=["" if value is None else str(value.name) for value in node.inputs],
        output=outputs,
        attribute=map(ir.serde.serialize_attribute, node.attributes.values()),
    )


class _Infos:
    """Names, types and shapes of values as protos; most values of a graph have one of a few shapes."""

    def __init__(self) -> None:
        self._types: dict[tuple[ir.DataType | None, tuple[int | str, ...] | None], onnx.TypeProto] = {}

    def of(self, value: ir.Value) -> onnx.ValueInfoProto:
        """Return the type and the shape of a value, as far as they are known."""
        if value.type is not None and not isinstance(value.type, ir.TensorType):
            return ir.serde.serialize_value(value)
        shape = None if value.shape is None else tuple(d if isinstance(d, int) else str(d) for d in value.shape)
        if (value.dtype, shape) not in self._types:
            self._types[value.dtype, shape] = ir.serde.serialize_value(value).type
        return onnx.ValueInfoProto(name=str(value.name), type=self._types[value.dtype, shape])
