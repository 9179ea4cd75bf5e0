"""Parameters that train under each value of ``update``: one function a value, in one table."""

from collections.abc import Callable

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.heads import find_head
from sparcl_compile.passes.analysis.stages import VIEWS, parameter_stages, readers
from sparcl_compile.passes.core.roles import role_of, values_with_role

NORMS = ("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization")
SUMS = ("Add", "Sub", "Sum")
SHIFT_SLOT = 2
"""Input slot of the bias in layers and normalisations alike."""
BIASED = ("Conv", "ConvTranspose", "Gemm", *NORMS)


def trained(model: ir.Model, update: str) -> set[str]:
    """The names of the parameters that train under an update; raises FieldError for more stages than there are."""
    kind, _, count = update.partition(":")
    if kind == "last":
        return _last(model, int(count))
    wanted = WAYS[kind]
    chosen = {str(v.name) for v in values_with_role(model, Role.PARAMETER) if any(wanted(v, *at) for at in readers(v))}
    return chosen | (set() if kind == "all" else classifier(model))


def classifier(model: ir.Model) -> set[str]:
    """The parameters of the last layer and of what follows it: new classes come, so it always trains."""
    graph = model.graph
    head = find_head(graph)
    below: set[ir.Node] = set()
    for node in graph:
        if node is head or any(v is not None and v.producer() in below for v in node.inputs):
            below.add(node)
    values = values_with_role(model, Role.PARAMETER)
    return {str(value.name) for value in values if any(node in below for node, _ in readers(value))}


def _last(model: ir.Model, count: int) -> set[str]:
    stages = parameter_stages(model.graph)
    number = max(stages.values()) + 1
    if count > number:
        found, mend = ("1 stage", "") if number == 1 else (f"{number} stages", f" to last:{number}")
        raise FieldError("update", f"last:{count}", f"the model has {found}", f"give last:1{mend}")
    return {name for name, stage in stages.items() if stage >= number - count} | classifier(model)


def _any(value: ir.Value, node: ir.Node, slot: int) -> bool:
    return True


def _is_shift(value: ir.Value, node: ir.Node, slot: int) -> bool:
    """Whether a parameter of one axis is added."""
    added = node.op_type in SUMS or (node.op_type in BIASED and slot == SHIFT_SLOT)
    return added and sum(d != 1 for d in value.shape or ()) <= 1


def _is_of_norm(value: ir.Value, node: ir.Node, slot: int) -> bool:
    """Whether a parameter is a normalisation's scale or shift, written as one node or as Div, Mul and Add."""
    if node.op_type in NORMS:
        return slot in (1, SHIFT_SLOT)
    if node.op_type == "Mul":
        return _is_normalised(node.inputs[1 - slot])
    scaled = node.inputs[1 - slot] if node.op_type == "Add" else None
    scale = None if scaled is None else scaled.producer()
    return scale is not None and scale.op_type == "Mul" and any(_is_normalised(v) for v in scale.inputs)


def _is_normalised(value: ir.Value | None) -> bool:
    """Whether a value is something divided by a square root, as it is or moved and scaled by constants."""
    node = None if value is None else value.producer()
    while node is not None and (node.op_type in VIEWS or _by_constant(node)):
        node = node.inputs[0].producer() if node.inputs[0] else None
    divisor = node.inputs[1] if node is not None and node.op_type == "Div" else None
    root = None if divisor is None else divisor.producer()
    return root is not None and root.op_type == "Sqrt"


def _by_constant(node: ir.Node) -> bool:
    """Whether a node adds or multiplies a constant, as the inner half of an exported GroupNorm does."""
    value = node.inputs[1] if node.op_type in ("Add", "Mul") else None
    while value is not None and (maker := value.producer()) is not None and maker.op_type in VIEWS:
        value = maker.inputs[0]
    return value is not None and value.is_initializer() and role_of(value) is None


WAYS: dict[str, Callable[[ir.Value, ir.Node, int], bool]] = {"all": _any, "bias": _is_shift, "norm": _is_of_norm}
