"""The shapes that a graph does not state, from ONNX's shape inference of the nodes around them alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import onnx
import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.contract import IR_VERSION

ShapeOf = Callable[[ir.Value], ir.Shape | None]
"""Shape of a value, as far as it is known."""

FAILURES = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError)
"""Exceptions of an inference that meets a contradiction, or functions that call each other in a circle."""
INTEGERS = (ir.DataType.INT64, ir.DataType.INT32)


def stated(value: ir.Value) -> ir.Shape | None:
    """The shape that a value has in the graph."""
    return value.shape


def missing_shapes(
    model: ir.Model, shape_of: ShapeOf = stated, wanted: Iterable[ir.Value] | None = None
) -> dict[ir.Value, ir.Value]:
    """Infer the shapes and types of node outputs that are not known, subgraphs included; the model is not changed.

    Only the nodes that make such values are inferred, and the arithmetic on shapes in front of them: a graph whose
    shapes are all known costs one walk over it.

    Args:
        model: nodes in topological order; operators that neither ONNX nor the model defines are skipped.
        shape_of: what the other values' shapes are taken for.
        wanted: the values that are asked for, with what they are made of; None for all.

    Returns:
        By value another one with the shape and the type that were found: either can be None, a shape symbolic still.

    Raises:
        ModelError: the inference fails.
    """
    graph = model.graph
    nodes = _around(graph, _missing(graph, shape_of) if wanted is None else wanted, shape_of)
    if not nodes:
        return {}
    missing = {str(out.name): out for out in _missing(nodes, shape_of)}
    return {
        missing[info.name]: ir.serde.deserialize_value_info_proto(info, None)
        for info in _infer(_part(graph, nodes, shape_of), model)
        if info.name in missing
    }


def state_shapes(model: ir.Model) -> None:
    """State the shapes and types of node outputs that can be inferred, in place."""
    for value, inferred in missing_shapes(model).items():
        # The shape of a scalar is false.
        value.shape = value.shape if inferred.shape is None else inferred.shape
        value.type = inferred.type or value.type


def _missing(nodes: Iterable[ir.Node], shape_of: ShapeOf) -> list[ir.Value]:
    made = (out for node in nodes for one in _nested(node) for out in one.outputs if out.name)
    return [out for out in made if not _is_known(out, shape_of)]


def _is_known(value: ir.Value, shape_of: ShapeOf) -> bool:
    shape = shape_of(value)
    return shape is not None and shape.is_static() and value.dtype is not None


def _nested(node: ir.Node) -> Iterator[ir.Node]:
    """The node and those of its subgraphs."""
    yield node
    for attribute in node.attributes.values():
        if attribute.type is ir.AttributeType.GRAPH:
            yield from attribute.as_graph().all_nodes()


def _around(graph: ir.Graph, values: Iterable[ir.Value], shape_of: ShapeOf) -> list[ir.Node]:
    """Nodes that make the values, from what is known and the small integers that shapes depend on, in graph order."""
    waiting = list(values)
    holders = {one: node for node in graph for one in _nested(node)} if waiting else {}
    found: set[ir.Node] = set()
    while waiting:
        node = holders.get(waiting.pop().producer())  # type: ignore[arg-type]
        if node is not None and node not in found:
            found.add(node)
            waiting += [v for v in _read(node) if _is_small_integer(v) or not _is_known(v, shape_of)]
    return [node for node in graph if node in found] if found else []


def _is_small_integer(value: ir.Value) -> bool:
    return value.dtype in INTEGERS and len(value.shape or ()) <= 1


def _read(node: ir.Node) -> list[ir.Value]:
    return [value for one in _nested(node) for value in one.inputs if value is not None]


def _part(graph: ir.Graph, nodes: Sequence[ir.Node], shape_of: ShapeOf) -> onnx.GraphProto:
    made = {out for node in nodes for one in _nested(node) for out in one.outputs}
    read = dict.fromkeys(value for node in nodes for value in _read(node) if value not in made)
    part = onnx.GraphProto(name=graph.name or "part")
    part.node.extend(ir.serde.serialize_node(node) for node in nodes)
    part.input.extend(_info(value, shape_of(value)) for value in read if value.name)
    stored = (value for value in read if value.is_initializer() and value.const_value is not None)
    part.initializer.extend(_data(value) for value in stored if _is_small_integer(value))
    part.value_info.extend(_info(out, shape_of(out)) for out in made if out.name and out.type is not None)
    return part


def _infer(part: onnx.GraphProto, whole: ir.Model) -> Iterator[onnx.ValueInfoProto]:
    imports = [onnx.OperatorSetIdProto(domain=d, version=version) for d, version in whole.opset_imports.items()]
    functions = [ir.serde.serialize_function(function) for function in whole.functions.values()]
    model = onnx.ModelProto(ir_version=IR_VERSION, opset_import=imports, graph=part, functions=functions)
    try:
        # Not strict: what it does not know is left as it is.
        found = onnx.shape_inference.infer_shapes(model, check_type=False, strict_mode=False, data_prop=True)
    except FAILURES as error:
        cause = str(error).strip().partition("\n")[0]
        raise ModelError(f"the shapes of the graph cannot be inferred ({cause}); export the model again") from error
    return _infos(found.graph)


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
