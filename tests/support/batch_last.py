"""Forward graphs with sparse convolutions as compress_weights leaves them, for the tests of the layout."""

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import ShapeInferencePass

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.edit import ints_attribute, replace_uses
from sparcl_compile.passes.core.operators import SPARSE_CONV, SPARSE_DOMAIN
from sparcl_compile.passes.core.roles import set_role
from sparcl_compile.passes.core.values import FLOAT, constant
from tests.support.kernels_reference import KERNELS

STATISTICS = (".mean", ".var")
GEOMETRY = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def model_of(text: str) -> ir.Model:
    """A forward graph from ONNX text, without the shapes between: they are inferred.

    All inputs but the first become seeded parameters and running statistics; ``const`` in a name makes a constant.
    """
    model = ir.from_onnx_text('<ir_version: 10, opset_import: ["" : 18, "sparcl" : 1]>' + text)
    rng = np.random.default_rng(0)
    state = list(model.graph.inputs[1:])
    del model.graph.inputs[1:]
    for value in state:
        name = str(value.name)
        data = rng.normal(size=[int(length) for length in value.shape or ()])
        data = np.abs(data) + 0.5 if name.endswith(".var") else data
        value.const_value = ir.tensor(data.astype(np.float32), name=name)
        if "const" not in name:
            set_role(value, Role.RUNNING_STAT if name.endswith(STATISTICS) else Role.PARAMETER)
        model.graph.register_initializer(value)
    ShapeInferencePass()(model)
    return model


def with_sparse(model: ir.Model, *names: str) -> ir.Model:
    """Put a Transpose, a SparseConv that keeps every weight, and a Transpose in the place of each named Conv."""
    for node in [node for node in model.graph if node.name in names]:
        _replace(model.graph, node)
    model.opset_imports[SPARSE_DOMAIN] = 1
    return model


def with_dense(model: ir.Model) -> ir.Model:
    """Put a Conv between Transposes in the place of each SparseConv that keeps every weight: for ONNX Runtime."""
    for node in [node for node in model.graph if node.op_type == SPARSE_CONV]:
        _densify(model.graph, node)
    return model


def conversions(model: ir.Model) -> int:
    """The number of Transposes of a graph."""
    return sum(node.op_type == "Transpose" for node in model.graph)


def operators(model: ir.Model) -> list[str]:
    """The operators in the order of the file."""
    return [node.op_type for node in model.graph]


def answers(model: ir.Model, batch: int = 3) -> dict[str, np.ndarray]:
    """All outputs of a graph by name, for seeded inputs, by the reference implementations."""
    rng = np.random.default_rng(1)
    x = model.graph.inputs[0]
    shape = [length if isinstance(length, int) else batch for length in x.shape or ()]
    results = ReferenceEvaluator(ir.to_proto(model), new_ops=KERNELS).run(
        None, {str(x.name): rng.normal(size=shape).astype(np.float32)}
    )
    return {str(value.name): result for value, result in zip(model.graph.outputs, results, strict=True)}


def _replace(graph: ir.Graph, conv: ir.Node) -> None:
    x, weight, y = conv.inputs[0], conv.inputs[1], conv.outputs[0]
    assert x is not None
    assert weight is not None
    assert weight.const_value is not None
    data = weight.const_value.numpy()
    out, per_output = data.shape[0], int(np.prod(data.shape[1:]))
    index = constant(graph, f"{weight.name}.index", np.arange(data.size, dtype=np.int32))
    rows = constant(graph, f"{weight.name}.rows", (np.arange(out + 1) * per_output).astype(np.int32))
    weight.const_value = ir.tensor(data.reshape(-1), name=weight.name)
    weight.shape = ir.Shape([data.size])
    geometry = {name: ints_attribute(conv, name, default) for name, default in GEOMETRY.items()}
    attributes = {"channels": data.shape[1], "kernel_shape": list(data.shape[2:]), **geometry}
    enter = ir.node("Transpose", [x], {"perm": (1, 2, 3, 0)}, name=f"{conv.name}.enter")
    sparse = ir.node(
        SPARSE_CONV,
        [enter.outputs[0], weight, index, rows, *conv.inputs[2:]],
        attributes,
        domain=SPARSE_DOMAIN,
        name=conv.name,
    )
    leave = ir.node("Transpose", [sparse.outputs[0]], {"perm": (3, 0, 1, 2)}, name=f"{conv.name}.leave")
    for node, like, suffix in ((enter, x, "x"), (sparse, y, "y")):
        shape = list(like.shape or ())
        value = node.outputs[0]
        value.name, value.shape, value.type = f"{conv.name}.{suffix}", ir.Shape([*shape[1:], shape[0]]), FLOAT
    leave.outputs[0].shape, leave.outputs[0].type = y.shape, FLOAT
    graph.insert_before(conv, [enter, sparse, leave])
    y.replace_all_uses_with(leave.outputs[0], replace_graph_outputs=True)
    graph.remove(conv, safe=True)
    leave.outputs[0].name = y.name


def _densify(graph: ir.Graph, sparse: ir.Node) -> None:
    x, weight, y = sparse.inputs[0], sparse.inputs[1], sparse.outputs[0]
    assert x is not None
    assert weight is not None
    assert weight.const_value is not None
    attributes = dict(sparse.attributes)
    shape = [len(sparse.inputs[3].const_value.numpy()) - 1, attributes.pop("channels").as_int()]
    data = weight.const_value.numpy().reshape(*shape, *attributes["kernel_shape"].as_ints())
    weight.const_value, weight.shape = ir.tensor(data, name=weight.name), ir.Shape(data.shape)
    leave = ir.node("Transpose", [x], {"perm": (3, 0, 1, 2)}, name=f"{sparse.name}.dense_x")
    conv = ir.node("Conv", [leave.outputs[0], weight, *sparse.inputs[4:]], attributes, name=f"{sparse.name}.dense_y")
    enter = ir.node("Transpose", [conv.outputs[0]], {"perm": (1, 2, 3, 0)}, name=f"{sparse.name}.dense")
    for node, like in ((leave, x), (conv, y)):
        lengths = list(like.shape or ())
        value = node.outputs[0]
        value.name, value.shape, value.type = node.name, ir.Shape([lengths[-1], *lengths[:-1]]), FLOAT
    enter.outputs[0].shape, enter.outputs[0].type = y.shape, FLOAT
    graph.insert_before(sparse, [leave, conv, enter])
    replace_uses(graph, y, enter.outputs[0])
    graph.remove(sparse, safe=True)
    enter.outputs[0].name = y.name
