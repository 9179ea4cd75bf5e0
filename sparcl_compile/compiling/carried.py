"""The data that a graph carries beside its values, as text in its metadata: only so does it survive in a file."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.errors import ModelError
from sparcl_compile.interface.names import Role
from sparcl_compile.interface.report import Choice
from sparcl_compile.interface.version import __version__
from sparcl_compile.passes.analysis.channels.plan import ChannelPlan
from sparcl_compile.passes.core.marks import CHOICES_KEY, GRAPH_KEY, PLAN_KEY, PREFIX, ROLE_KEY

CARRIED: Mapping[str, Any] = {PLAN_KEY: ChannelPlan, CHOICES_KEY: tuple[Choice, ...]}
"""By key of a graph's ``meta`` the type of what lies there."""


def with_metadata(model: ir.Model) -> ir.Model:
    """A copy of a model that says in its metadata what its graph carries."""
    copy = model.clone()
    for key in CARRIED.keys() & copy.graph.meta.keys():
        copy.graph.metadata_props[key] = json.dumps(encode(copy.graph.meta[key]), sort_keys=True)
    copy.metadata_props[GRAPH_KEY] = __version__
    return copy


def drop_foreign_metadata(model: ir.Model) -> None:
    """Take out of a file that this project has not written what looks like its metadata, else only the mark of that."""
    if model.metadata_props.pop(GRAPH_KEY, None) is not None:
        return
    graph = model.graph
    nodes = list(graph.all_nodes())
    values = [*graph.inputs, *graph.initializers.values(), *(out for node in nodes for out in node.outputs)]
    tensors = [value.const_value for value in values if value.const_value is not None]
    holders: list[Any] = [model, graph, *model.functions.values(), *nodes, *values, *tensors]
    for one in holders:
        for key in [key for key in one.metadata_props if key.startswith(PREFIX)]:
            del one.metadata_props[key]


def check_roles(model: ir.Model, where: object) -> None:
    """Check that the metadata of values state roles that there are; raises ModelError, which names the value."""
    graph = model.graph
    for value in (*graph.inputs, *graph.initializers.values(), *(out for node in graph for out in node.outputs)):
        role = value.metadata_props.get(ROLE_KEY)
        if role and role not in {*Role}:
            raise ModelError(f"{where}: the metadata {ROLE_KEY} of {value.name} are damaged; make the file again")


def take_metadata(model: ir.Model, where: str) -> None:
    """Let the graph of a model that was read carry again what its metadata says.

    Raises:
        ModelError: ``where`` and the entry that cannot be read.
    """
    props = model.graph.metadata_props
    for key in CARRIED.keys() & props.keys():
        try:
            model.graph.meta[key] = decode(CARRIED[key], json.loads(props.pop(key)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{where}: its metadata {key} is damaged; make the file again") from error


def encode(value: Any) -> Any:
    """A value as JSON-ready data: fields by name, mappings as pairs, arrays as lists."""
    if dataclasses.is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return [[encode(key), encode(one)] for key, one in value.items()]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [encode(one) for one in value] if isinstance(value, tuple | list) else value


def decode(kind: Any, data: Any) -> Any:
    """The value of a type that :func:`encode` wrote; arrays are int64."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{name: decode(hints[name], one) for name, one in data.items()})  # type: ignore[operator]
    if origin is types.UnionType:
        return None if data is None else decode(args[0], data)
    if origin is tuple:
        kinds = [args[0]] * len(data) if args[1:] == (...,) else args
        return tuple(decode(one, part) for one, part in zip(kinds, data, strict=True))
    if kind is np.ndarray:
        return np.asarray(data, np.int64)
    if origin is not None and issubclass(origin, Mapping):
        return {decode(args[0], key): decode(args[1], one) for key, one in data}
    return data if data is None else kind(data)
