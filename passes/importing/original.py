"""The file as it was given, kept while the passes of the import change the model: the last of them compares with it."""

from collections.abc import Iterable

import onnx
import onnx_ir as ir

from sparcl_compile.passes.importing import verify
from sparcl_compile.passes.importing.opset import to_runtime_opset
from sparcl_compile.passes.importing.training import to_inference_form

KEPT = "sparcl.original"
"""Key in the ``meta`` of a model, which no file and no later phase has."""
RUNTIME = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""
UNNAMED = frozenset({"LayerNormalization", "SimplifiedLayerNormalization"})
"""Operators that ONNX Runtime writes into the standard domain, whatever that defines; ``load`` gives them its own."""


def remember(model: ir.Model) -> None:
    """Keep the model, in inference form, for the comparison; a pass calls it before its first change.

    Of several passes the first one counts.
    """
    if KEPT not in model.meta:
        to_runtime_opset(model)
        to_inference_form(model)
        model.meta[KEPT] = as_runtime_reads(verify.runnable(model))


def as_runtime_reads(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the operators of ``UNNAMED`` where ONNX Runtime looks for them; in place."""
    for node in proto.graph.node:
        if node.domain == RUNTIME and node.op_type in UNNAMED:
            node.domain = ""
    return proto


def take(model: ir.Model, outputs: Iterable[ir.Value]) -> onnx.ModelProto:
    """The model as it was given, with these outputs; it is not kept any longer."""
    found: onnx.ModelProto | None = model.meta.pop(KEPT, None)
    if found is None:
        return verify.runnable(model)
    del found.graph.output[:]
    found.graph.output.extend(onnx.ValueInfoProto(name=str(value.name)) for value in outputs)
    return found
