"""Reading an ONNX file, with an error that says what is wrong with it."""

import collections
import os
import re
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx.external_data_helper import load_external_data_for_model

from sparcl_compile.compiling.carried import check_roles, drop_foreign_metadata
from sparcl_compile.compiling.repairs import drop_untyped, name_domains, without_maps
from sparcl_compile.compiling.sparse import make_dense
from sparcl_compile.compiling.texts import damaged_text
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.files import check_plain, readable
from sparcl_compile.passes.importing.checks import check_version

LAST_OPSET = 2**31 - 1
"""The largest number that ONNX takes for an opset; the file may state any."""
GROUPED = ("Conv", "ConvTranspose")
UNKNOWN = re.compile(r"No Op registered for (\w+)")
MENDS = {"Erfc": "in Keras give gelu with approximate=True"}  # tf2onnx does not know it
DAMAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RuntimeError, AssertionError),
    DecodeError,
)
"""Exceptions of onnx, onnx-ir and protobuf for a file whose parts contradict each other."""


def load_model(path: Path) -> ir.Model:
    """Read and check an ONNX model; external data is read into memory, nodes are sorted.

    Args:
        path: an ``.onnx`` file.

    Raises:
        ModelError: the file is missing, unreadable, no valid ONNX model, lacks its external data, or uses an opset or
            a domain that cannot be imported. The message names the file.
    """
    model = load_graph(path)
    check_importable(model, path)
    return model


def load_graph(path: Path) -> ir.Model:
    """Read an ONNX model, whatever operators it holds: one that passes have worked on, too.

    Raises:
        ModelError: the file is missing, unreadable, damaged, or lacks its external data. The message names the file.
    """
    proto = read(path)
    if not proto.graph.node:
        raise ModelError(f"{path}: the model has no graph: is the file truncated or not an ONNX model?")
    read_external_data(proto, path)
    make_dense(proto.graph, path)
    without_maps(proto.graph)
    drop_untyped(proto.graph)
    name_domains(proto)
    model = sorted_model(proto, path)
    check_data(model, path)
    check_attributes(model, path)
    drop_foreign_metadata(model)
    check_roles(model, path)
    return model


def load_written(path: Path) -> ir.Model:
    """Read a graph that this project has written into an artifact.

    Raises:
        ModelError: it cannot be read or is damaged. The message names the file.
    """
    model = sorted_model(read(path), path)
    check_data(model, path)
    return model


def check_importable(model: ir.Model, path: Path) -> None:
    """Check a model as it comes from a user; raises ModelError, which names the file."""
    try:
        check_version(model)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    check(model, path)


def check_connected(model: ir.Model, path: Path) -> None:
    """Check that something makes every value that is read; raises ModelError, which names the file and the value."""
    read = [value for node in model.graph.all_nodes() for value in node.inputs if value is not None]
    for value in (*read, *model.graph.outputs):
        if value.producer() is None and not value.is_graph_input() and not value.is_initializer():
            raise ModelError(f"{path}: nothing in the graph makes the value {value.name}; export the model again")


def read(path: Path) -> onnx.ModelProto:
    """Parse the file."""
    if os.path.isdir(path):
        raise ModelError(f"{path} is a directory: give an .onnx file")
    with readable(path, ModelError):
        content = _content(path)
    if not content:
        raise ModelError(f"{path} is empty: export the model again")
    try:
        proto = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is not an ONNX model or is truncated: export or download it again") from error
    if field := damaged_text(proto):
        raise ModelError(f"{path}: a text in the file ({field}) is not UTF-8; export or download the model again")
    return proto


def _content(path: Path) -> bytes:
    try:
        check_plain(path)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: give an .onnx file") from error


def read_external_data(proto: onnx.ModelProto, path: Path) -> None:
    """Bring weights that lie in other files into the model."""
    try:
        load_external_data_for_model(proto, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        reason = first_line(error)
        raise ModelError(f"{path}: external data is missing or damaged ({reason}): put it beside the model") from error


def sorted_model(proto: onnx.ModelProto, path: Path) -> ir.Model:
    """The model as IR, its nodes in topological order."""
    counted = collections.Counter(tensor.name for tensor in proto.graph.initializer)
    twice = next((name for name, count in counted.items() if count > 1), None)
    if twice is not None:
        raise ModelError(f"{path}: two initializers are called {twice}; export the model again")
    # PyTorch's newer exporter gives a buffer ``mean`` and the result of a ReduceMean this one name.
    for name in sorted({name for node in proto.graph.node for name in node.output} & counted.keys()):
        problem = f"a stored tensor and the result of a node are both called {name}"
        raise ModelError(f"{path}: {problem}; rename the parameter or buffer in the model and export it again")
    try:
        model = ir.from_proto(proto)
        model.graph.sort()
    except DAMAGE as error:
        raise ModelError(f"{path}: the graph is damaged: {cause(error)}; export the model again") from error
    return model


def constants_of(model: ir.Model, path: Path) -> list[ir.Node]:
    """The Constant nodes; raises ModelError, which names it, for one without a value or an output."""
    constants = [node for node in model.graph.all_nodes() if (node.op_type, node.domain) == ("Constant", "")]
    unnamed = [node for node in constants if not node.outputs]
    if unnamed:
        raise ModelError(f"{path}: the constant node {unnamed[0].name!r} has no output; export the model again")
    bare = [node for node in constants if len(node.attributes) != 1]
    if bare:
        raise ModelError(f"{path}: the constant {bare[0].outputs[0].name} holds no value; export the model again")
    return constants


def check_data(model: ir.Model, path: Path) -> None:
    """Check that the data of every weight and constant can be read; raises ModelError, which names the value."""
    constants = constants_of(model, path)
    attributes = {str(node.outputs[0].name): next(iter(node.attributes.values())) for node in constants}
    tensors = {name: one.value for name, one in attributes.items() if one.type is ir.AttributeType.TENSOR}
    stored = {str(value.name): value.const_value for value in model.graph.initializers.values()}
    for name, tensor in (*tensors.items(), *stored.items()):
        _check_tensor(name, tensor, path)


def check_attributes(model: ir.Model, path: Path) -> None:
    """Check that attributes have the type of their operator, that texts are UTF-8, and that groups divide channels.

    Raises:
        ModelError: the message names the node and the attribute.
    """
    for node in model.graph.all_nodes():
        types = _attribute_types(node, model)
        problems = {f"attribute {name}": _attribute_problem(one, types) for name, one in node.attributes.items()}
        problems["group"] = _group_problem(node) if node.op_type in GROUPED else None
        wrong = next((what for what, problem in problems.items() if problem), None)
        if wrong:
            where = f"the {wrong} of node {node.name or node.op_type}"
            raise ModelError(f"{path}: {where} {problems[wrong]}; export the model again")


def _group_problem(node: ir.Node) -> str | None:
    """What is wrong with the groups of a convolution, at which shape inference does not look."""
    attribute = node.attributes.get("group")
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    shape = None if weight is None else weight.shape
    if attribute is None or attribute.type is not ir.AttributeType.INT or not shape or not isinstance(shape[0], int):
        return None
    groups = attribute.as_int()
    return f"is {groups}, which does not divide {shape[0]} channels" if groups < 1 or shape[0] % groups else None


def _attribute_problem(attribute: ir.Attr, types: Mapping[str, ir.AttributeType]) -> str | None:
    if attribute.type is ir.AttributeType.STRING and isinstance(attribute.value, bytes):
        return "is no text in UTF-8"
    wanted = types.get(attribute.name, attribute.type)
    return None if wanted is attribute.type else f"is of type {attribute.type.name}, not {wanted.name}"


def _attribute_types(node: ir.Node, model: ir.Model) -> Mapping[str, ir.AttributeType]:
    """The types that an operator gives its attributes; nothing for an operator that ONNX does not know."""
    version = min(model.opset_imports.get(node.domain, 0), LAST_OPSET)
    if not onnx.defs.has(node.op_type, max_inclusive_version=version, domain=node.domain):
        return {}
    known = onnx.defs.get_schema(node.op_type, version, node.domain).attributes
    return {name: ir.AttributeType[one.type.name] for name, one in known.items()}  # type: ignore[attr-defined]


def _check_tensor(name: str, tensor: ir.TensorProtocol | None, path: Path) -> None:
    if tensor is None:
        return
    try:
        shape = tuple(tensor.numpy().shape)
        if tensor.dtype is ir.DataType.STRING:
            ir.serde.serialize_tensor(tensor)  # their number is looked at there alone
    except DAMAGE as error:
        problem = f"the data of {name} do not fit its type and shape ({cause(error)})"
        raise ModelError(f"{path}: {problem}; export the model again") from error
    if shape != tuple(tensor.shape):
        raise ModelError(f"{path}: {name} holds data of another shape than it states; export the model again")


def check(model: ir.Model, path: Path) -> None:
    """Run the onnx checker."""
    try:
        proto = ir.to_proto(model)
    except DAMAGE as error:
        raise ModelError(f"{path}: the graph is damaged: {cause(error)}; export the model again") from error
    try:
        onnx.checker.check_model(proto)
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: the ONNX checker refuses the model: {complaint(error)}{left(error)}") from error


def cause(error: BaseException) -> str:
    """The first line of what an error began with; libraries wrap one into the other, each with the whole graph."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def left(error: BaseException) -> str:
    """What to do about an operator of the training framework that its exporter left as it was; empty for any other."""
    found = UNKNOWN.search(str(error))
    if found is None or onnx.defs.has(found[1]):
        return ""
    told = f"; {found[1]} is no ONNX operator, the exporter left it as it was"
    return f"{told}: {MENDS.get(found[1], 'export the model without it')}"


def complaint(error: BaseException) -> str:
    """The checker's first line, with the node it speaks of when a later line names it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    node = [line for line in lines[1:] if "Bad node spec" in line or "node" in line.lower()]
    return " ".join([*lines[:1], *node[:1]]) or type(error).__name__
