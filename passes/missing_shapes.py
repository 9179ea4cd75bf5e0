"""The shapes that a graph does not state, from ONNX's shape inference of the nodes around them alone."""

from collections.abc import Callable, Iterator, Sequence

import onnx
import onnx_ir as ir

from sparcl_compile.passes.base import IR_VERSION

ShapeOf = Callable[[ir.Value], ir.Shape | None]
"""What is taken for the shape of a value."""

INTEGERS = (ir.DataType.INT64, ir.DataType.INT32)


def stated(value: ir.Value) -> ir.Shape | None:
    """The shape that a value has in the graph."""
    return value.shape


def missing_shapes(graph: ir.Graph, shape_of: ShapeOf = stated) -> dict[ir.Value, ir.Value]:
    """Infer the shapes and types of node outputs that are not known, subgraphs included; the graph is not changed.

    Only the nodes that make such values are inferred, and the arithmetic on shapes in front of them: a graph whose
    shapes are all known costs one walk over it.

    Args:
        graph: nodes in topological order; operators that ONNX does not know are skipped.
        shape_of: what the other values' shapes are taken for.

    Returns:
        By value another one with the shape and the type that were found: either can be None, a shape symbolic still.
    """
    nodes = _around(graph, [node for node in graph if _is_missing(node, shape_of)])
    if not nodes:
        return {}
    made = [out for node in nodes for one in _nested(node) for out in one.outputs if out.name]
    missing = {str(out.name): out for out in made if not _is_known(out, shape_of)}
    return {
        missing[info.name]: ir.serde.deserialize_value_info_proto(info, None)
        for info in _infer(graph, nodes, shape_of)
        if info.name in missing
    }


def _is_missing(node: ir.Node, shape_of: ShapeOf) -> bool:
    return any(not _is_known(out, shape_of) for one in _nested(node) for out in one.outputs if out.name)


def _is_known(value: ir.Value, shape_of: ShapeOf) -> bool:
    shape = shape_of(value)
    return shape is not None and shape.is_static() and value.dtype is not None


def _nested(node: ir.Node) -> Iterator[ir.Node]:
    """The node and those of its subgraphs."""
    yield node
    for attribute in node.attributes.values():
        if attribute.type is ir.AttributeType.GRAPH:
            yield from attribute.as_graph().all_nodes()


def _around(graph: ir.Graph, nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """The nodes, and those that compute with small integers for them, in graph order."""
    found, waiting = set(nodes), list(nodes)
    while waiting:
        sources = {v.producer() for v in _read(waiting.pop()) if v.dtype in INTEGERS and len(v.shape or ()) <= 1}
        new = {node for node in sources if node is not None and node.graph is graph} - found
        found |= new
        waiting += new
    return [node for node in graph if node in found] if found else []


def _read(node: ir.Node) -> list[ir.Value]:
    return [value for one in _nested(node) for value in one.inputs if value is not None]


def _infer(graph: ir.Graph, nodes: Sequence[ir.Node], shape_of: ShapeOf) -> Iterator[onnx.ValueInfoProto]:
    made = {out for node in nodes for one in _nested(node) for out in one.outputs}
    read = dict.fromkeys(value for node in nodes for value in _read(node) if value not in made)
    part = onnx.GraphProto(name="part")
    part.node.extend(ir.serde.serialize_node(node) for node in nodes)
    part.input.extend(_info(value, shape_of(value)) for value in read if value.name)
    part.initializer.extend(_data(value) for value in read if _is_small_integer(value))
    part.value_info.extend(_info(out, shape_of(out)) for out in made if out.name and out.type is not None)
    imports = [onnx.OperatorSetIdProto(domain=d, version=version) for d, version in graph.opset_imports.items()]
    model = onnx.ModelProto(ir_version=IR_VERSION, opset_import=imports, graph=part)
    # Not strict: what it does not know is left as it is.
    inferred = onnx.shape_inference.infer_shapes(model, check_type=False, strict_mode=False, data_prop=True)
    return _infos(inferred.graph)


def _infos(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto]:
    yield from graph.value_info
    for node in graph.node:
        for attribute in node.attribute:
            yield from _infos(attribute.g)


def _info(value: ir.Value, shape: ir.Shape | None) -> onnx.ValueInfoProto:
    return ir.serde.serialize_value(ir.Value(name=value.name, type=value.type, shape=shape))


def _data(value: ir.Value) -> onnx.TensorProto:
    proto = ir.serde.serialize_tensor(value.const_value)  # type: ignore[arg-type]
    proto.name = str(value.name)
    return proto


def _is_small_integer(value: ir.Value) -> bool:
    data = value.const_value
    return data is not None and value.is_initializer() and data.dtype in INTEGERS and len(data.shape) <= 1
