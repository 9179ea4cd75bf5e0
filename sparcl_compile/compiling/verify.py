"""Running a pass, and whether a graph is whole: its links after every pass, and all that ONNX can check at times."""

from collections.abc import Collection, Mapping
from pathlib import Path

import onnx
import onnx_ir as ir

from sparcl_compile.compiling.protos import large_last, with_fed_initializers
from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.facts import MARKED
from sparcl_compile.passes.core.missing_shapes import FAILURES
from sparcl_compile.passes.core.phases import Phase

FOREIGN = "com.microsoft"
REPORT = "please report this with the model"
MAKE_AGAIN = "make the file again"


def run_pass(one: Pass, model: ir.Model) -> bool:
    """Run one pass between its own checks, and check the whole graph behind it; return whether it changed anything.

    Raises:
        SparclError: a user's mistake that the pass found.
        ModelError: the graph is invalid after the pass, which the message names.
    """
    modified = one(model).modified
    if modified:
        large_last(model.graph)
        verify(model, one)
    return modified


def verify(model: ir.Model, made_by: Pass) -> None:
    """Check the whole graph behind a pass, its stated shapes included; raises ModelError, which names the pass.

    Before ``import_forward`` a graph states as many shapes as its user left in the file.
    """
    as_given = made_by.phase is Phase.IMPORTING and MARKED not in made_by.gives
    for check in (check_links, check_graph) if as_given else (check_links, check_graph, check_shapes):
        check(model, complaint(made_by))


def complaint(made_by: Pass) -> str:
    """Return the beginning of the message about a graph that a pass has left broken."""
    return f"the graph is not valid after pass {made_by}"


def check_given(model: ir.Model, path: Path) -> None:
    """Check a graph that was read, as behind a pass.

    Raises:
        ModelError: the file and the cause.
    """
    complaint = f"{path}: the graph is damaged"
    for check in (check_links, check_graph, check_shapes):
        check(model, complaint, MAKE_AGAIN)


def check_links(model: ir.Model, complaint: str, mend: str = REPORT) -> None:
    """Check that every value is made once, by a name of its own, before it is read; one walk over the graph.

    Raises:
        ModelError: ``complaint`` and the cause.
    """
    graph = model.graph
    known = {*graph.inputs, *graph.initializers.values()}
    names = {value.name for value in known}
    for node in graph:
        if problem := _misplaced(node, known, names):
            raise _error(complaint, f"{node.name or node.op_type} {problem}", mend)
        known.update(node.outputs)
    for out in graph.outputs:
        if out not in known:
            raise _error(complaint, f"nothing makes the output {out.name}", mend)


def _misplaced(node: ir.Node, known: Collection[ir.Value], names: set[str | None]) -> str:
    """What a node reads too early or makes again, or an empty string; the names that it makes become taken ones."""
    for value in node.inputs:
        if value is not None and value not in known:
            return f"reads {value.name} before it is made"
    for out in (out for out in node.outputs if out.name):
        if out.name in names:
            return f"makes {out.name} a second time"
        names.add(out.name)
    return ""


def check_graph(model: ir.Model, complaint: str, mend: str = REPORT) -> None:
    """Check a graph with ONNX's checker, by the shapes it states where it knows all operators.

    A differentiated graph holds ORT's own operators, some of them in the standard domain, of which the checker knows
    neither shape nor name: it is checked for form, with those operators declared as foreign.

    Raises:
        ModelError: ``complaint`` and the cause.
    """
    proto = with_fed_initializers(model)
    foreign = _declare_foreign(proto)
    try:
        onnx.checker.check_model(proto, full_check=not foreign)
    except FAILURES as error:
        raise _error(complaint, _first_line(error), mend) from error


def check_shapes(model: ir.Model, complaint: str, mend: str = REPORT) -> None:
    """Check that each value of a graph of standard operators states its type and shape, and that inference agrees.

    Raises:
        ModelError: ``complaint``, the cause and ``mend``.
    """
    proto = with_fed_initializers(model)
    if _declare_foreign(proto):
        return
    del proto.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except FAILURES as error:
        raise _error(complaint, _first_line(error), mend) from error
    found = {info.name: ir.serde.deserialize_value_info_proto(info, None) for info in inferred.graph.value_info}
    for value in (out for node in model.graph for out in node.outputs if out.name):
        if cause := _disagreement(value, found):
            raise _error(complaint, cause, mend)


def _disagreement(value: ir.Value, found: Mapping[str, ir.Value]) -> str:
    if value.shape is None or value.type is None:
        return f"{value.name} states no shape and type"
    other = found.get(str(value.name))
    if other is None or other.shape is None:
        return ""
    numbers = [
        (a, b) for a, b in zip(value.shape, other.shape, strict=False) if isinstance(a, int) and isinstance(b, int)
    ]
    if len(value.shape) == len(other.shape) and value.dtype == other.dtype and all(a == b for a, b in numbers):
        return ""
    return f"{value.name} states {value.dtype} {value.shape}, but is {other.dtype} {other.shape}"


def _declare_foreign(proto: onnx.ModelProto) -> bool:
    """Put the operators that ONNX does not know into a foreign domain; whether there were any."""
    found = [node for node in proto.graph.node if not onnx.defs.has(node.op_type, node.domain)]
    for node in found:
        node.domain = FOREIGN
    if found and all(one.domain != FOREIGN for one in proto.opset_import):
        proto.opset_import.append(onnx.OperatorSetIdProto(domain=FOREIGN, version=1))
    return bool(found)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _error(complaint: str, cause: str, mend: str) -> ModelError:
    return ModelError(f"{complaint}: {cause}; {mend}")
