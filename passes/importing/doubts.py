"""Parameters of which a file does not say whether they are any, or whether several nodes share them."""

from collections.abc import Container, Iterator, Sequence

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.heads import above, has_weight
from sparcl_compile.passes.core.edit import array_of, is_float_constant
from sparcl_compile.passes.core.layers import WEIGHT_SLOTS
from sparcl_compile.passes.core.marks import DOUBT_KEY
from sparcl_compile.passes.core.roles import role_of, values_with_role
from sparcl_compile.passes.importing.constants import FIXED, IN_NODE, Said, said_of
from sparcl_compile.passes.importing.folded import NORMALISING
from sparcl_compile.passes.importing.front_ends import may_be_front_end
from sparcl_compile.passes.importing.roles import (
    ELEMENTWISE,
    JOINING,
    PARAMETER_SLOTS,
    SHAPES_ONLY,
    TOLD_SLOTS,
    is_mask,
    is_shared,
    is_told,
    raw_values,
)

SCALING = {"Mul", "Div"}
LINEAR = {*ELEMENTWISE, *SHAPES_ONLY, *NORMALISING, "Pow", "ReduceMean", "Reciprocal", "Split"}
"""Operators between a layer and its bias, or between a normalisation and its scale and shift."""
READERS = {*WEIGHT_SLOTS, "Transpose"}
CHOSEN = {op_type: slots for op_type, slots in TOLD_SLOTS.items() if op_type not in PARAMETER_SLOTS}
"""Inputs that are taken for constants where a file does not tell: of Where, Max, Min and Pow."""
SHOWN = 3
"""Names in a line."""


def mark(graph: ir.Graph) -> None:
    """Mark the parameters that may be constants of the model; none where the file tells them apart."""
    said = said_of(graph)
    if said.all:
        return
    reads = ((node, value) for node in graph for value in node.inputs if value is not None)
    for node, value in reads:
        spectral = said.stored and node.op_type == "MatMul" and may_be_front_end(node, value)
        if role_of(value) is Role.PARAMETER and (spectral or is_doubtful(node, value)):
            value.metadata_props[DOUBT_KEY] = node.op_type


def is_doubtful(node: ir.Node, value: ir.Value) -> bool:
    """Whether a node reads a parameter in a way in which models read constants as well.

    That are tables that are added, multiplied, joined to activations or looked up at fixed places (positions),
    vectors that are no bias of a layer and no scale or shift of a normalisation, and matrices in Constant nodes of a
    file that stores weights elsewhere.
    """
    if node.op_type == "MatMul":
        return bool(value.meta.get(IN_NODE, False))
    if node.op_type == "Gather":
        return array_of(node.inputs[1]) is not None
    if node.op_type not in ELEMENTWISE:
        return node.op_type in JOINING
    before = [maker for other in node.inputs if other is not value for maker in above(other, _ends)]
    vector = sum(length != 1 for length in value.shape or ()) <= 1
    normalised = any(maker.op_type in NORMALISING for maker in before)
    if node.op_type in SCALING:
        return not normalised
    return not (vector and (normalised or any(map(has_weight, before))))


def left(graph: ir.Graph) -> Iterator[str]:
    """The lines about what does not train and may be a parameter; none where there is no such thing."""
    yield from _matrices(graph)
    yield from _folded(graph)
    yield from _numbers(graph)


def _matrices(graph: ir.Graph) -> Iterator[str]:
    products = (node for node in graph if node.op_type == "MatMul")
    read = dict.fromkeys(value for node in products for value in node.inputs if value is not None)
    found = [value for value in read if value.meta.get(IN_NODE, False) and role_of(value) is None]
    if found:
        yield (
            f"{_listed([str(value.name) for value in found])} {'do' if found[1:] else 'does'} not train: a matrix in a "
            "Constant node in front of all weights is taken for a constant, as spectrograms have them; if it is a "
            "weight, make an initializer of it (docs/exporting.md, What trains, has the lines)"
        )


def _folded(graph: ir.Graph) -> Iterator[str]:
    """The line about a file of PyTorch's newer exporter with constants that it has computed."""
    values = (value for node in graph for value in node.inputs if value is not None)
    read = {str(value.name) for value in values if is_float_constant(value)}
    found = sorted(said_of(graph).unclear & read)
    if found:
        yield (
            f"{_listed(found)} {'do' if found[1:] else 'does'} not train: PyTorch's exporter computed it in advance, "
            "from values of which it calls none a parameter; export with optimize=False to have it told"
        )


def _numbers(graph: ir.Graph) -> Iterator[str]:
    """The line about a file of PyTorch's older exporter, whose initializers are parameters and buffers."""
    said, raw = said_of(graph), raw_values(graph)
    if said.all or not said.nodes:
        return
    read = dict.fromkeys(v for node in graph for v in node.inputs if v is not None and is_left(node, v, raw, said))
    if read:
        yield (
            f"{_listed([str(value.name) for value in read])} {'do' if len(read) > 1 else 'does'} not train: what is "
            "added to or multiplied with the input as it comes, or read by Where, Max, Min or Pow, is taken for a "
            "constant; if it is a parameter, export from PyTorch with dynamo=True, which tells"
        )


def is_left(node: ir.Node, value: ir.Value, raw: Container[ir.Value | None], said: Said) -> bool:
    """Whether a node reads what a file stores as it stores parameters, in a way in which models read constants."""
    if role_of(value) is not None or not is_float_constant(value) or value.meta.get(FIXED, False):
        return False
    data = array_of(value)
    if data is None or is_mask(data) or (data.size == 1 and not is_told(value, said)):
        return False
    plain = node.op_type in ELEMENTWISE and any(other in raw for other in node.inputs)
    return plain or node.inputs.index(value) in CHOSEN.get(node.op_type, ())


def copied(graph: ir.Graph) -> Iterator[str]:
    """The lines about weights of which every reader gets a copy of its own; none where there is no such one."""
    values = [value for value in graph.initializers.values() if len(value.shape or ()) > 1]
    alike = [value for value in values if is_shared(value) and next(iter(value.uses())).node.op_type in READERS]
    if alike and not said_of(graph).shared:
        yield (
            f"several nodes read {_counted(alike)}, and each trains a copy of its own, since exporters merge equal "
            "weights; if it is one layer that is called again, export from PyTorch with dynamo=True and "
            "optimize=False, which tells"
        )
    tied = [value for value in values if is_tied(value)]
    if tied:
        yield (
            f"several nodes read {_counted(tied)} in different ways, as tied weights are read, and each way trains a "
            "copy of its own: the ties are lost"
        )


def is_tied(value: ir.Value) -> bool:
    """Whether layers read a weight in several ways, or one as its weight and another as a table."""
    readers = {usage.node.op_type for usage in value.uses()} & {*READERS, "Gather"}
    return len(readers) > 1 and is_float_constant(value) and not value.meta.get(FIXED, False)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)


def _counted(values: Sequence[ir.Value]) -> str:
    """The names of values with the numbers of their readers."""
    names = [f"{value.name} ({len(value.uses())})" for value in values]
    return ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)


def _ends(node: ir.Node) -> bool:
    return has_weight(node) or node.op_type not in LINEAR


def remarks(model: ir.Model) -> Iterator[str]:
    """The line about parameters that train and may be constants; none where no such one trains."""
    found = [str(value.name) for value in values_with_role(model, Role.PARAMETER) if DOUBT_KEY in value.metadata_props]
    if found:
        names = _listed(found)
        verb = "train" if found[1:] else "trains"
        yield (
            f"{names} {verb}: whether that is a parameter or a constant of the model (a buffer in PyTorch), the file "
            "does not say; give --freeze NAME for a constant"
        )
