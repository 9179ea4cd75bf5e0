"""Running a pass and checking the graph behind it."""

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import CheckerPass, ShapeInferencePass

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.contract import Pass

FOREIGN = "com.microsoft"


def run_pass(one: Pass, model: ir.Model) -> bool:
    """Run one pass between its own checks, and check the whole graph behind it; return whether it changed anything.

    Raises:
        SparclError: a user's mistake that the pass found.
        ModelError: the graph is invalid after the pass, which the message names.
    """
    modified = one(model).modified
    if modified:
        verify(model, one)
    return modified


def verify(model: ir.Model, made_by: Pass) -> None:
    """Check the whole graph behind a pass; raises ModelError, which names it."""
    check_graph(model, f"the graph is not valid after pass {made_by}")


def check_graph(model: ir.Model, complaint: str) -> None:
    """Check a graph, shapes included; shape inference alone hides its failures (it only warns).

    A differentiated graph holds ORT's own operators, some of them in the standard domain, of which the checker knows
    neither shape nor name: it is checked for form, with those operators declared as foreign in a copy.

    Raises:
        ModelError: ``complaint`` and the cause.
    """
    foreign = [node.name for node in model.graph if not onnx.defs.has(node.op_type, node.domain)]
    try:
        if foreign:
            CheckerPass()(_declared_foreign(model))
        else:
            ShapeInferencePass()(model)
            CheckerPass(full_check=True)(model)
    except (ir.passes.PassError, ValueError, RuntimeError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise ModelError(f"{complaint}: {cause}; please report this with the model") from error


def _declared_foreign(model: ir.Model) -> ir.Model:
    copy = model.clone()
    for node in copy.graph:
        if not onnx.defs.has(node.op_type, node.domain):
            node.domain = FOREIGN
    copy.opset_imports[FOREIGN] = 1
    return copy
