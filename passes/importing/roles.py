"""Which initializers are parameters, running statistics or constants: a table by operator and input."""

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.edit import Names, array_of, is_float_constant, new_constant, set_array
from sparcl_compile.passes.core.insert import Inserter
from sparcl_compile.passes.core.roles import role_of, set_role
from sparcl_compile.passes.importing.batch import MADE
from sparcl_compile.passes.importing.constants import COUNTED, FIXED, Said, said_of
from sparcl_compile.passes.importing.front_ends import is_front_end
from sparcl_compile.passes.importing.naming import ORIGIN

EVERY = (0, 1, 2, 3, 4, 5, 6, 7)
PARAMETER_SLOTS: dict[str, tuple[int, ...]] = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "Einsum": EVERY,
    "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "GroupNormalization": (1, 2),
    "PRelu": (1,),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), (1, 2, 3)),
    "Gather": (0,),
    "Expand": (0,),
    "Tile": (0,),
    "Concat": EVERY,
    "Add": (0, 1),
    "Sub": (0, 1),
    "Mul": (0, 1),
    "Div": (0, 1),
    "Sum": EVERY,
}
TOLD_SLOTS = {**PARAMETER_SLOTS, "Max": EVERY, "Min": EVERY, "Pow": (0, 1), "Where": (1, 2)}
"""Where a file tells its parameters from constants: operators that read constants in most models are among them."""
STATISTIC_SLOTS = {"BatchNormalization": (3, 4)}
ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Sum"}
"""Operators that also serve preprocessing, attention scales and masks: a scalar there is a constant, unless told."""
JOINING = {"Concat", "Expand", "Tile"}
"""Operators that join tokens and positions, which files store, but also padding, which exporters make on the way."""
NOT_SCALAR = {*ELEMENTWISE, *JOINING, "Gather"}
SHAPES_ONLY = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "Identity", "Slice", "Pad", "Resize"}
LAYERS = PARAMETER_SLOTS.keys() - NOT_SCALAR
MASK_VALUE = -100.0
"""Additive attention masks hold 0 and this or less."""


def assign_roles(graph: ir.Graph) -> None:
    """Mark parameters and running statistics; readers get copies of their own where a file may have merged equals."""
    raw, names, said = raw_values(graph), Names(graph), said_of(graph)
    slots = TOLD_SLOTS if said.all else PARAMETER_SLOTS
    for node in graph:
        for slot in STATISTIC_SLOTS.get(node.op_type, ()):
            set_role(own_copy(graph, names, node, slot), Role.RUNNING_STAT)
        for slot in (slot for slot in slots.get(node.op_type, ()) if is_parameter(node, slot, raw, said)):
            set_role(parameter_of(graph, names, node, slot), Role.PARAMETER)


def parameter_of(graph: ir.Graph, names: Names, node: ir.Node, slot: int) -> ir.Value:
    """The initializer at this input, or a copy that no other node reads where the file may have merged several."""
    value, said = node.inputs[slot], said_of(graph)
    one = value is not None and said.shared and (is_shared(value) or (said.all and not has_layers(value)))
    return value if value is not None and one else own_copy(graph, names, node, slot)


def has_layers(value: ir.Value) -> bool:
    """Whether a node reads a value as a layer reads its weights."""
    return any(usage.node.op_type in LAYERS for usage in value.uses())


def is_shared(value: ir.Value) -> bool:
    """Whether several nodes read an initializer in the same way, as those of an unrolled recurrent layer do.

    What is the same number all over may have been merged by any exporter, and does not count.
    """
    readers, data = [usage.node.op_type for usage in value.uses()], array_of(value)
    alike = len(readers) > 1 and len(set(readers)) == 1
    return alike and data is not None and data.size > 1 and bool(np.ptp(data) > 0)


def raw_values(graph: ir.Graph) -> set[ir.Value | None]:
    """The input and what is made of it by moving and by elementwise arithmetic with constants."""
    raw: set[ir.Value | None] = set(graph.inputs)
    for node in graph:
        plain = node.op_type in ELEMENTWISE or node.op_type in SHAPES_ONLY
        if plain and all(v is None or v in raw or _is_constant(v) for v in node.inputs):
            raw.update(node.outputs)
    return raw


def _is_constant(value: ir.Value) -> bool:
    return value.is_initializer() and role_of(value) is None


def give_axes(graph: ir.Graph) -> None:
    """Let every parameter have an axis: a scalar gets one, and its readers get what it was from a Squeeze."""
    names = Names(graph)
    scalars = [value for value in graph.initializers.values() if role_of(value) is Role.PARAMETER and not value.shape]
    for value in scalars:
        first = next(node for node in graph if value in node.inputs)
        insert, readers = Inserter(ORIGIN, graph, names).before(first), list(value.uses())
        set_array(value, np.asarray(value.const_value).reshape(1))
        scalar = insert.op("Squeeze", value, insert.ints("axes", [0]), shape=[])
        for reader in readers:
            reader.node.replace_input_with(reader.idx, scalar)


def is_parameter(node: ir.Node, slot: int, raw: set[ir.Value | None], said: Said) -> bool:
    """Whether there is an initializer at this input that is something to train."""
    value = node.inputs[slot] if slot < len(node.inputs) else None
    if value is None or not is_float_constant(value) or value.meta.get(FIXED, False):
        return False
    data = array_of(value)
    if node.op_type in JOINING and value.meta.get(MADE, False):
        return False
    if node.op_type == "MatMul" and value.meta.get(MADE, False) and data is not None and np.ptp(data) > 0:
        return False
    if data is None or (node.op_type in NOT_SCALAR and data.size == 1 and not is_told(value, said)):
        return False
    if node.op_type == "MatMul" and is_front_end(node, value):
        return False
    if node.op_type in ELEMENTWISE and not said.all and (any(v in raw for v in node.inputs) or is_mask(data)):
        return False
    return not (node.op_type == "InstanceNormalization" and is_half_group_norm(node))


def is_told(value: ir.Value, said: Said) -> bool:
    """Whether a file says of a single number that it is a parameter or a buffer, and no constant of the program.

    PyTorch's older exporter folds constants into initializers whose names it makes of its nodes'; the newer one counts
    its own, where ONNX Runtime's optimiser has lost what it said of them.
    """
    name = str(value.name)
    return said.all or (said.nodes and not set(":/") & set(name) and not COUNTED.fullmatch(name))


def is_mask(data: np.ndarray) -> bool:
    """Whether a constant is an additive attention mask: zeros and very negative numbers."""
    return bool(np.all((data == 0) | (data <= MASK_VALUE)) and np.any(data <= MASK_VALUE))


def is_half_group_norm(node: ir.Node) -> bool:
    """Whether an InstanceNormalization with neutral constants is the inner half of an exported GroupNorm."""
    source = node.inputs[0]
    producer = None if source is None else source.producer()
    followers = [usage.node.op_type for usage in node.outputs[0].uses()]
    scale, bias = array_of(node.inputs[1]), array_of(node.inputs[2])
    neutral = scale is not None and bias is not None and bool(np.all(scale == 1) and np.all(bias == 0))
    return neutral and producer is not None and producer.op_type == "Reshape" and followers == ["Reshape"]


def own_copy(graph: ir.Graph, names: Names, node: ir.Node, slot: int) -> ir.Value:
    """The initializer at this input, copied when something else reads it too.

    Exporters merge weights that happen to be equal: zero biases, unit scales, whole layers of a freshly copied encoder.
    Such weights are meant to be trained apart.
    """
    value = node.inputs[slot]
    if value is None or value.const_value is None:
        raise ValueError(f"input {slot} of node {node.name} is no initializer")
    if len(list(value.uses())) < 2:
        return value
    copy = new_constant(graph, names, f"{value.name}.{node.name}", value.const_value.numpy())
    copy.meta.update(value.meta)
    node.replace_input_with(slot, copy)
    return copy
