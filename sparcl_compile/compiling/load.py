"""Reading an ONNX file, with an error that says what is wrong with it."""

import os
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError
from onnx.external_data_helper import load_external_data_for_model

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.files import check_plain, readable
from sparcl_compile.passes.importing.checks import check_opset


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
    return sorted_model(proto, path)


def check_importable(model: ir.Model, path: Path) -> None:
    """Check a model as it comes from a user; raises ModelError, which names the file."""
    try:
        check_opset(model)
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
        return onnx.load_model_from_string(content)
    except (DecodeError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is not an ONNX model or is truncated: export or download it again") from error


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
    try:
        model = ir.from_proto(proto)
        model.graph.sort()
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: the graph is damaged: {first_line(error)}") from error
    return model


def check(model: ir.Model, path: Path) -> None:
    """Run the onnx checker."""
    try:
        onnx.checker.check_model(ir.to_proto(model))
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: the ONNX checker refuses the model: {complaint(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def complaint(error: BaseException) -> str:
    """The checker's first line, with the node it speaks of when a later line names it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    node = [line for line in lines[1:] if "Bad node spec" in line or "node" in line.lower()]
    return " ".join([*lines[:1], *node[:1]]) or type(error).__name__
