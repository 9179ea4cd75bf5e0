"""A model as ONNX's own functions want it, without its weights: they serialise what they get, and copy it."""

import onnx
import onnx_ir as ir

SMALL = 1000
"""Bytes of data that shape inference may need: the targets of a Reshape, the bounds of a Slice."""


def without_data(model: ir.Model) -> onnx.ModelProto:
    """The model without the data of its initializers, of which types and shapes stay."""
    proto = _serialised(model, list(model.graph.inputs), [])
    nodes = list(proto.graph.value_info)
    del proto.graph.value_info[:]
    proto.graph.value_info.extend([ir.serde.serialize_value(value) for value in _stored(model.graph)])
    proto.graph.value_info.extend(nodes)
    return proto


def with_fed_initializers(model: ir.Model) -> onnx.ModelProto:
    """The model with its initializers as inputs; the data of small ones stays."""
    stored = _stored(model.graph)
    for value in stored:
        _state_type(value)
    small = [value for value in model.graph.initializers.values() if _is_small(value)]
    return _serialised(model, [*model.graph.inputs, *stored], small)


def large_last(graph: ir.Graph) -> None:
    """Put the initializers that are not small behind those that are, in place; no change beside foreign operators.

    The state of an artifact has that order. It is the one that onnx-ir's shape inference leaves, which ran after every
    pass while the graph was standard.
    """
    if any(not onnx.defs.has(node.op_type, node.domain) for node in graph):
        return
    large = [value for value in graph.initializers.values() if value.const_value is not None and not _is_small(value)]
    for value in large:
        graph.initializers.pop(str(value.name))
    for value in large:
        graph.register_initializer(value)


def _stored(graph: ir.Graph) -> list[ir.Value]:
    fed = set(graph.inputs)
    return [value for value in graph.initializers.values() if value not in fed]


def _is_small(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.nbytes <= SMALL


def _state_type(value: ir.Value) -> None:
    if value.const_value is not None:
        value.shape = value.shape or ir.Shape(value.const_value.shape)  # type: ignore[arg-type]
        value.dtype = value.dtype or value.const_value.dtype


def _serialised(model: ir.Model, inputs: list[ir.Value], initializers: list[ir.Value]) -> onnx.ModelProto:
    graph = model.graph
    view = ir.GraphView(
        inputs,
        graph.outputs,
        nodes=graph,
        initializers=initializers,
        doc_string=graph.doc_string,
        opset_imports=graph.opset_imports,
        name=graph.name,
        metadata_props=graph.metadata_props,
    )
    viewed = ir.Model(
        view,  # type: ignore[arg-type]
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        domain=model.domain,
        model_version=model.model_version,
        doc_string=model.doc_string,
        functions=list(model.functions.values()),
        metadata_props=model.metadata_props,
    )
    return ir.to_proto(viewed)
