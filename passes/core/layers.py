"""The layers of a graph and their weights."""

from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.marks import FALL_KEY, LAYER_KEY, LIMIT_KEY, RATE_KEY
from sparcl_compile.passes.core.roles import TRAINABLE, role_of, values_with_role

RECURRENT = ("GRU", "LSTM", "RNN")
WEIGHT_SLOTS = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    **dict.fromkeys(RECURRENT, (1, 2)),
}
"""Input slots of a layer's weight, by operator."""


def layer_weights(model: ir.Model) -> list[ir.Value]:
    """The weights of the layers by their first node, dense and frozen ones included."""
    return list({str(weight.name): weight for _, weight in weighted_layers(model.graph)}.values())


def weighted_layers(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Value]]:
    """Each layer with its weights, a parameter (frozen ones too) of two axes or more, in graph order."""
    for node, value in weight_reads(graph):
        if value is not None and role_of(value) in TRAINABLE and len(value.shape or ()) >= 2:
            yield node, value


def weight_reads(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Value | None]]:
    """Each node of a layer's operator with what it reads where a weight can stand, in graph order."""
    return ((node, node.inputs[slot]) for node in graph for slot in WEIGHT_SLOTS.get(node.op_type, ()))


def masked_layers(model: ir.Model) -> list[ir.Value]:
    """The weights that masks go on, in layer order; empty before ``insert_weight_masks``."""
    marked = [v for v in values_with_role(model, Role.PARAMETER) if LAYER_KEY in v.metadata_props]
    return sorted(marked, key=lambda v: int(v.metadata_props[LAYER_KEY]))


def rate_factor(weight: ir.Value) -> float:
    """The factor of a parameter's learning rate: that of ``scale_by_density``, or 1."""
    return float(weight.metadata_props.get(RATE_KEY, 1.0))


def step_limit(weight: ir.Value) -> float | None:
    """The largest norm of a parameter's step: that of ``limit_steps``, or None."""
    limit = weight.metadata_props.get(LIMIT_KEY)
    return None if limit is None else float(limit)


def full_limit_steps(weight: ir.Value) -> int:
    """How many steps of a task that are too long have a parameter's whole limit; 0 where it does not fall."""
    return int(weight.metadata_props.get(FALL_KEY, 0))
