"""Any opset from 7 on becomes exactly 18, any IR version becomes 10."""

from collections.abc import Callable, Mapping

import onnx
import onnx_ir as ir
from onnx import version_converter

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.passes.core.contract import IR_VERSION, OPSET
from sparcl_compile.passes.core.edit import attribute
from sparcl_compile.passes.core.missing_shapes import FAILURES
from sparcl_compile.passes.importing.checks import check_version, opset_of

RUNTIME_OPSET = 21
"""The newest opset that ONNX Runtime 1.19.2 runs."""
NEWER_TYPES = 17
"""The number of the first element type that opset 18 does not know: eight-bit floats, four-bit integers and so on."""
NEWER_VALUES = {
    ("Pad", "mode"): "wrap",
    ("Resize", "coordinate_transformation_mode"): "half_pixel_symmetric",
}
"""By operator and attribute the value that opset 18 does not know."""
OLD_WORDS = {("GridSample", "mode"): {"linear": "bilinear", "cubic": "bicubic"}}
"""By operator and attribute what opset 18 calls a value."""


def to_runtime_opset(model: ir.Model) -> None:
    """Number a newer model 21 where each of its nodes says the same there, so that ONNX Runtime can run it.

    Raises:
        ModelError: nothing is known of the model's opset.
    """
    check_version(model)
    if opset_of(model) <= RUNTIME_OPSET:
        return
    for node in every_node(model):
        drop_defaults(node)
    if not any(newer_than(node, RUNTIME_OPSET) for node in every_node(model)):
        relabel(model, RUNTIME_OPSET)


def to_opset_18(model: ir.Model) -> bool:
    """Convert in place; returns whether anything changed; raises ModelError when a node cannot be converted."""
    version = opset_of(model)
    changed = version != OPSET or model.ir_version != IR_VERSION
    model.ir_version = IR_VERSION  # first: before version 4 the converter wants every initializer among the inputs
    if version < OPSET:
        upgrade(model)
    if version > OPSET:
        downgrade(model)
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


def downgrade(model: ir.Model) -> None:
    """Accept newer operators whose definition of opset 18 says the same; raises ModelError for the others."""
    for node in every_node(model):
        drop_defaults(node)
        in_old_words(node)
        dft_axis(node)
    problems = [problem for node in every_node(model) if (problem := newer_than(node, OPSET))]
    if problems:
        mend = f"export again with opset_version={OPSET}, or say it in other operators in the model"
        raise ModelError(f"opset {opset_of(model)} cannot be converted to {OPSET}: {'; '.join(problems)}; {mend}")
    relabel(model, OPSET)


def relabel(model: ir.Model, version: int) -> None:
    """Give a model another number of its opset."""
    for node in every_node(model):
        node.version = None
    model.graph.opset_imports[""] = version
    for function in model.functions.values():
        function.opset_imports[""] = version


def every_node(model: ir.Model) -> list[ir.Node]:
    """The nodes of a model, those of branches and local functions included."""
    graphs = (model.graph, *(function.graph for function in model.functions.values()))
    return [node for graph in graphs for node in graph.all_nodes() if node.domain in ("", "ai.onnx")]


def drop_defaults(node: ir.Node) -> None:
    """Remove attributes that opset 18 lacks and that have the value they have without being stated."""
    known = schema_attributes(node, OPSET)
    newest = schema_attributes(node, onnx.defs.onnx_opset_version())
    for name in [name for name in node.attributes if name in newest and name not in known]:
        default, stated = newest[name].default_value, node.attributes[name]
        usual = ir.serde.deserialize_attribute(default).value if default.type else None
        if stated.value == usual or name == "saturate" or (name == "dilations" and set(stated.as_ints()) == {1}):
            node.attributes.pop(name)


def schema_attributes(node: ir.Node, version: int) -> Mapping[str, onnx.defs.OpSchema.Attribute]:
    """The attributes of a node's operator in an opset; none where it is not defined."""
    if not onnx.defs.has(node.op_type, max_inclusive_version=version):
        return {}
    return onnx.defs.get_schema(node.op_type, version).attributes


def in_old_words(node: ir.Node) -> None:
    """Say in the words of opset 18 what has only another name in a newer one."""
    for (op_type, name), words in OLD_WORDS.items():
        word = attribute(node, name) if node.op_type == op_type else None
        if word in words:
            node.attributes[name] = ir.AttrString(name, words[str(word)])


def dft_axis(node: ir.Node) -> None:
    """Let a DFT have its axis as an attribute, which is an input from opset 20 on."""
    if node.op_type != "DFT" or "axis" in node.attributes:
        return
    given = node.inputs[2] if len(node.inputs) > 2 else None
    tensor = None if given is None else ir.convenience.get_const_tensor(given)
    if given is None or tensor is not None:
        axis = -2 if tensor is None else int(tensor.numpy().reshape(-1)[0])
        node.resize_inputs(min(2, len(node.inputs)))
        node.attributes["axis"] = ir.AttrInt64("axis", axis)


def newer_than(node: ir.Node, version: int) -> str | None:
    """Why this node has no form in an opset, or None."""
    found = next((reason for check in CHECKS if (reason := check(node, version))), None)
    return None if found is None else f"{node.op_type} ({node.name}) {found}"


def _operator(node: ir.Node, version: int) -> str | None:
    return None if onnx.defs.has(node.op_type, max_inclusive_version=version) else f"is not in opset {version}"


def _attributes(node: ir.Node, version: int) -> str | None:
    extra = sorted(set(node.attributes) - set(schema_attributes(node, version)))
    return f"uses the newer attribute {', '.join(extra)}" if extra else None


def _values(node: ir.Node, version: int) -> str | None:
    if version >= RUNTIME_OPSET:
        return None
    newer = ((name, value) for (op_type, name), value in NEWER_VALUES.items() if op_type == node.op_type)
    return next((f"uses the newer {name} {value}" for name, value in newer if attribute(node, name) == value), None)


def _inputs(node: ir.Node, version: int) -> str | None:
    most = onnx.defs.get_schema(node.op_type, version).max_input
    return f"has more inputs than in opset {version}" if len(node.inputs) > most else None


def _types(node: ir.Node, version: int) -> str | None:
    to = attribute(node, "to") if node.op_type == "Cast" else None
    return "casts to a type of a newer opset" if isinstance(to, int) and to >= NEWER_TYPES else None


CHECKS: tuple[Callable[[ir.Node, int], str | None], ...] = (_operator, _attributes, _values, _inputs, _types)
