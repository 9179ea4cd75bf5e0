"""The roles of state values in a graph."""

from collections.abc import Iterator

import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.marks import ROLE_KEY

TRAINABLE = (Role.PARAMETER, Role.FROZEN)
"""Roles of the model's parameters, whether they train here or not."""


def role_of(value: ir.Value) -> Role | None:
    """The role of a state value, or None for any other value."""
    text = value.metadata_props.get(ROLE_KEY)
    return Role(text) if text else None


def set_role(value: ir.Value, role: Role) -> ir.Value:
    """Mark a value as state of this role and return it."""
    value.metadata_props[ROLE_KEY] = str(role)
    return value


def values_with_role(model: ir.Model, role: Role) -> Iterator[ir.Value]:
    """All initializers and graph inputs of one role, in graph order."""
    graph = model.graph
    seen: set[str | None] = set()
    for value in (*graph.initializers.values(), *graph.inputs):
        if value.name not in seen and role_of(value) is role:
            seen.add(value.name)
            yield value


def frozen_names(model: ir.Model) -> tuple[str, ...]:
    """The names of the parameters that do not train, in graph order: their units must stay whole."""
    return tuple(str(value.name) for value in values_with_role(model, Role.FROZEN))
