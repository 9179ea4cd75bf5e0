"""Any opset from 7 to 21 becomes exactly 18, any IR version becomes 10."""

import onnx
import onnx_ir as ir
from onnx import version_converter

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET
from sparcl_compile.passes.core.missing_shapes import FAILURES
from sparcl_compile.passes.importing.checks import opset_of


def to_opset_18(model: ir.Model) -> bool:
    """Convert in place; returns whether anything changed; raises ModelError when a node cannot be converted."""
    version = opset_of(model)
    changed = version != OPSET or model.ir_version != IR_VERSION
    model.ir_version = IR_VERSION  # first: before version 4 the converter wants every initializer among the inputs
    if version < OPSET:
        upgrade(model)
    if version > OPSET:
        relabel(model)
    return changed


def upgrade(model: ir.Model) -> None:
    """Let the onnx package rewrite older operators."""
    try:
        proto = version_converter.convert_version(ir.to_proto(model), OPSET)
    except (*FAILURES, version_converter.ConvertError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"opset {opset_of(model)} cannot be converted to {OPSET}: {reason}") from error
    converted = ir.from_proto(proto)
    model.graph = converted.graph


def relabel(model: ir.Model) -> None:
    """Accept newer operators whose definition of opset 18 says the same; raises ModelError for the others."""
    problems = [problem for node in model.graph if (problem := newer_than_18(node))]
    if problems:
        raise ModelError(f"opset {opset_of(model)} cannot be converted to {OPSET}: {'; '.join(problems)}")
    for node in model.graph:
        node.attributes.pop("saturate", None)
        node.version = None
    model.graph.opset_imports[""] = OPSET


def newer_than_18(node: ir.Node) -> str | None:
    """Why this node has no opset-18 form, or None."""
    if not onnx.defs.has(node.op_type, max_inclusive_version=OPSET):
        return f"{node.op_type} ({node.name}) is not in opset {OPSET}"
    known = set(onnx.defs.get_schema(node.op_type, OPSET).attributes) | {"saturate"}
    extra = sorted(set(node.attributes) - known)
    return f"{node.op_type} ({node.name}) uses the newer attribute {', '.join(extra)}" if extra else None
