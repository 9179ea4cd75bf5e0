"""Mutations of ONNX models by their parts: nodes, values, attributes, constants, shapes, metadata and versions."""

from collections.abc import Callable
from random import Random

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from tests.fuzz.values import ODD_NUMBERS, ODD_TEXTS

DTYPES = (*range(24), 99)
OPERATORS = ("Relu", "Add", "MatMul", "Conv", "Gemm", "Identity", "Softmax", "Loop", "If", "Cast", "Shape", "Nope")
DOMAINS = ("", "ai.onnx", "com.microsoft", "ai.onnx.ml", "sparcl", "nowhere")
METADATA = (
    *("sparcl.role", "sparcl.produced_by", "sparcl.passes", "sparcl.origin", "sparcl.weight", "sparcl.mask", "x"),
    *("sparcl.logits", "sparcl.facts", "sparcl.layer"),
)
VALUES = ("", "1", "weight", "mask", "frozen", "import_forward", "{}", "[", "sparcl-compile", "logits", "\n")

Mutate = Callable[[ModelProto, Random], None]


def _node(model: ModelProto, rng: Random) -> NodeProto:
    return rng.choice(model.graph.node or [model.graph.node.add(op_type="Identity")])


def _tensor(model: ModelProto, rng: Random) -> TensorProto:
    return rng.choice(model.graph.initializer or [model.graph.initializer.add(name="added")])


def _known(graph: GraphProto) -> list[str]:
    made = [name for node in graph.node for name in (*node.input, *node.output)]
    return [*made, *(one.name for one in (*graph.input, *graph.output, *graph.initializer)), "", "nowhere"]


def _drop_node(model: ModelProto, rng: Random) -> None:
    if model.graph.node:
        del model.graph.node[rng.randrange(len(model.graph.node))]


def _duplicate_node(model: ModelProto, rng: Random) -> None:
    model.graph.node.add().CopyFrom(_node(model, rng))


def _shuffle_nodes(model: ModelProto, rng: Random) -> None:
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    rng.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _rewire(model: ModelProto, rng: Random) -> None:
    node = _node(model, rng)
    ends = rng.choice((node.input, node.output))
    if ends:
        ends[rng.randrange(len(ends))] = rng.choice(_known(model.graph))


def _more_ends(model: ModelProto, rng: Random) -> None:
    rng.choice((_node(model, rng).input, _node(model, rng).output)).append(rng.choice(_known(model.graph)))


def _fewer_ends(model: ModelProto, rng: Random) -> None:
    ends = rng.choice((_node(model, rng).input, _node(model, rng).output))
    if ends:
        ends.pop()


def _operator(model: ModelProto, rng: Random) -> None:
    _node(model, rng).op_type = rng.choice(OPERATORS)


def _domain(model: ModelProto, rng: Random) -> None:
    _node(model, rng).domain = rng.choice(DOMAINS)


def _rename_value(model: ModelProto, rng: Random) -> None:
    rng.choice((*model.graph.input, *model.graph.output, *model.graph.initializer)).name = rng.choice(
        (*_known(model.graph), *ODD_TEXTS)
    )


def _attribute(model: ModelProto, rng: Random) -> None:
    """Another value of the same type, or another type with the old value."""
    with_some = [node for node in model.graph.node if node.attribute]
    if not with_some:
        return
    attribute = rng.choice(rng.choice(with_some).attribute)
    if rng.random() < 0.2:
        attribute.type = rng.choice(range(15))
        return
    attribute.i, attribute.f, attribute.s = rng.choice(ODD_NUMBERS), rng.choice((0.0, -1.0, 1e30)), b"VALID"
    if attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(ODD_NUMBERS)


def _more_attributes(model: ModelProto, rng: Random) -> None:
    name = rng.choice(("axis", "group", "pads", "strides", "kernel_shape", "transB", "epsilon", "auto_pad", "body"))
    _node(model, rng).attribute.add(name=name, type=AttributeProto.INT, i=rng.choice(ODD_NUMBERS))


def _fewer_attributes(model: ModelProto, rng: Random) -> None:
    del _node(model, rng).attribute[:1]


def _dims(model: ModelProto, rng: Random) -> None:
    tensor = _tensor(model, rng)
    if not tensor.dims or rng.random() < 0.3:
        tensor.dims.append(rng.choice(ODD_NUMBERS))
        return
    tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(ODD_NUMBERS)


def _swap_dims(model: ModelProto, rng: Random) -> None:
    """The length of the data still fits."""
    tensor = _tensor(model, rng)
    dims = list(tensor.dims)
    rng.shuffle(dims)
    del tensor.dims[:]
    tensor.dims.extend(dims)


def _dtype(model: ModelProto, rng: Random) -> None:
    _tensor(model, rng).data_type = rng.choice(DTYPES)


def _data(model: ModelProto, rng: Random) -> None:
    tensor = _tensor(model, rng)
    raw = tensor.raw_data
    tensor.raw_data = rng.choice((b"", raw[:-1], raw + b"\0", raw[: len(raw) // 2], raw * 2, b"\xff" * len(raw)))


def _external(model: ModelProto, rng: Random) -> None:
    tensor = _tensor(model, rng)
    tensor.data_location = TensorProto.EXTERNAL
    key, value = (
        rng.choice(("location", "offset", "length", "x")),
        rng.choice(("", ".", "../x", "-1", "x", "model.onnx")),
    )
    tensor.external_data.add(key=key, value=value)


def _drop_tensor(model: ModelProto, rng: Random) -> None:
    if model.graph.initializer:
        del model.graph.initializer[rng.randrange(len(model.graph.initializer))]


def _duplicate_tensor(model: ModelProto, rng: Random) -> None:
    model.graph.initializer.add().CopyFrom(_tensor(model, rng))


def _shape(model: ModelProto, rng: Random) -> None:
    value = rng.choice((*model.graph.input, *model.graph.output))
    dims = value.type.tensor_type.shape.dim
    if not dims or rng.random() < 0.2:
        dims.add(dim_value=rng.choice(ODD_NUMBERS))
        return
    dim = rng.choice(dims)
    if rng.random() < 0.5:
        dim.dim_value = rng.choice(ODD_NUMBERS)
        return
    dim.dim_param = rng.choice(ODD_TEXTS)


def _type(model: ModelProto, rng: Random) -> None:
    value = rng.choice((*model.graph.input, *model.graph.output))
    if rng.random() < 0.2:
        value.ClearField("type")
        return
    value.type.tensor_type.elem_type = rng.choice(DTYPES)


def _fewer_values(model: ModelProto, rng: Random) -> None:
    del rng.choice((model.graph.input, model.graph.output))[:1]


def _more_values(model: ModelProto, rng: Random) -> None:
    graph = model.graph
    rng.choice((graph.input, graph.output, graph.value_info)).add(name=rng.choice(_known(graph)))


def _metadata(model: ModelProto, rng: Random) -> None:
    places = [model.metadata_props, model.graph.metadata_props, _node(model, rng).metadata_props]
    places.append(_tensor(model, rng).metadata_props)
    model.producer_name = rng.choice((model.producer_name, "sparcl-compile", "sparcl-opt"))
    rng.choice(places).add(key=rng.choice(METADATA), value=rng.choice(VALUES))


def _change_metadata(model: ModelProto, rng: Random) -> None:
    """What an earlier call of ours has written says something else."""
    parts = (model, model.graph, *model.graph.node, *model.graph.initializer, *model.graph.value_info)
    entries = [entry for part in parts for entry in part.metadata_props]
    if not entries:
        return _metadata(model, rng)
    entry = rng.choice(entries)
    entry.value = rng.choice((*VALUES, *(one.value for one in entries)))


def _opset(model: ModelProto, rng: Random) -> None:
    if model.opset_import and rng.random() < 0.8:
        rng.choice(model.opset_import).version = rng.choice((*range(1, 30), *ODD_NUMBERS))
        return
    model.opset_import.add(domain=rng.choice(DOMAINS), version=rng.choice((0, 1, 13, 2**40)))


def _ir_version(model: ModelProto, rng: Random) -> None:
    model.ir_version = rng.choice((0, 1, 2, 3, 4, 9, 13, 99, -1))


def _function(model: ModelProto, rng: Random) -> None:
    """A function that may call itself takes the place of an operator."""
    node = _node(model, rng)
    made = model.functions.add(name=node.op_type, domain=rng.choice((node.domain, "own")))
    made.input.extend(node.input)
    made.output.extend(node.output)
    made.node.add().CopyFrom(node)
    made.opset_import.extend(model.opset_import)
    node.domain = made.domain


def _subgraph(model: ModelProto, rng: Random) -> None:
    """A body that holds a copy of the whole graph."""
    attribute = _node(model, rng).attribute.add(name=rng.choice(("body", "then_branch")), type=AttributeProto.GRAPH)
    attribute.g.CopyFrom(GraphProto.FromString(model.graph.SerializeToString()))


MODELS: dict[str, Mutate] = {
    "attribute": _attribute,
    "change_metadata": _change_metadata,
    "data": _data,
    "dims": _dims,
    "domain": _domain,
    "drop_node": _drop_node,
    "drop_tensor": _drop_tensor,
    "dtype": _dtype,
    "duplicate_node": _duplicate_node,
    "duplicate_tensor": _duplicate_tensor,
    "external": _external,
    "fewer_attributes": _fewer_attributes,
    "fewer_ends": _fewer_ends,
    "fewer_values": _fewer_values,
    "function": _function,
    "ir_version": _ir_version,
    "metadata": _metadata,
    "more_attributes": _more_attributes,
    "more_ends": _more_ends,
    "more_values": _more_values,
    "operator": _operator,
    "opset": _opset,
    "rename_value": _rename_value,
    "rewire": _rewire,
    "shape": _shape,
    "shuffle_nodes": _shuffle_nodes,
    "subgraph": _subgraph,
    "swap_dims": _swap_dims,
    "type": _type,
}


def mutated_model(content: bytes, rng: Random) -> bytes:
    """A serialized model after one to three mutations of :data:`MODELS`."""
    model = onnx.load_model_from_string(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        MODELS[rng.choice(sorted(MODELS))](model, rng)
    return bytes(model.SerializeToString(deterministic=True))
