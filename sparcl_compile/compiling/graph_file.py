"""A graph between two passes as a file."""

from pathlib import Path

import onnx_ir as ir

from sparcl_compile.compiling.carried import take_metadata, with_metadata
from sparcl_compile.compiling.load import check_connected, check_importable, load_graph
from sparcl_compile.compiling.verify import MAKE_AGAIN, check_given
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.files import write_atomically
from sparcl_compile.passes.core.contract import OPSET
from sparcl_compile.passes.core.facts import MARKED


def read_graph(path: Path) -> ir.Model:
    """Read a model as a user has it, or as :func:`write_graph` or ``--dump-passes`` left it.

    Raises:
        ModelError: it cannot be read or is damaged; a model that no pass has worked on is checked as for a compilation.
    """
    model = load_graph(path)
    if not MARKED.holds(model):
        check_importable(model, path)
    check_connected(model, path)
    if MARKED.holds(model):
        _check_opset(model, path)
        check_given(model, path)
    take_metadata(model, str(path))
    return model


def _check_opset(model: ir.Model, path: Path) -> None:
    version = model.opset_imports.get("", OPSET)
    if version != OPSET:
        raise ModelError(f"{path}: passes have worked on the graph, yet its opset is {version}; {MAKE_AGAIN}")


def write_graph(model: ir.Model, path: Path) -> None:
    """Write a model, its roles and marks and what its graph carries, whole or not at all; raises WriteError."""
    content = ir.to_proto(with_metadata(model)).SerializeToString(deterministic=True)
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
