"""One ONNX function for all layers that are computed alike; the graph calls it once a layer."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import Builder, Port
from sparcl_compile.graphs.masks import MaskedLayer
from sparcl_compile.interface.names import NEXT, Role
from sparcl_compile.passes.schemes.cuts import Whole

ANY = "W"
"""Name of a weight inside a function."""

BuildLayer = Callable[[Builder, MaskedLayer, Sequence[str]], None]
"""Fills a graph for one layer with optimizer states of these names."""


class LayerCalls:
    """Calls the function of each layer under the layer's own names.

    Args:
        b: the graph.
        name: the functions'.
        build: makes a function. Tensors of a layer of single weights have whatever shape the weight has there, and
            ``build`` must not use the one that it is given.
        by_shape: whether ``build`` depends on the shapes of all layers.
    """

    def __init__(self, b: Builder, name: str, build: BuildLayer, by_shape: bool = False) -> None:
        self._b, self._name, self._build, self._by_shape = b, name, build, by_shape

    def call(self, layer: MaskedLayer, states: Sequence[str], given: Mapping[str, ir.Value]) -> None:
        """Call a layer's function; what it feeds and returns the graph feeds and returns, but for ``given`` values."""
        any_shape = not self._by_shape and _any_shape(layer)
        one = MaskedLayer(ANY, (1,)) if any_shape else dataclasses.replace(layer, name=ANY)
        held = [f"{ANY}.state_{number}" for number in range(len(states))]
        body = self._b.body(self._name, (one, len(held)), lambda inner: self._build(inner, one, held))
        names = dict(zip(held, states, strict=True))
        shape = layer.stored if any_shape else None
        arguments = [given.get(port.name) or self._feed(port, _named(port, layer, names), shape) for port in body.feeds]
        found = self._b.call(body, arguments, f"{layer.name}.{self._name}")
        for port, value in zip(body.results, found, strict=True):
            self._b.result(_named(port, layer, names), value, port.dtype, shape or port.shape)

    def _feed(self, port: Port, name: str, shape: Sequence[int] | None) -> ir.Value:
        shape_there = port.shape if shape is None else shape
        if port.role:
            return self._b.state(name, port.dtype, shape_there, Role(port.role))
        return self._b.feed(name, port.dtype, shape_there)


def _any_shape(layer: MaskedLayer) -> bool:
    """Whether the layer is computed element by element, whatever its shape."""
    return layer.places is None and isinstance(layer.groups, Whole) and layer.groups.runs.size == 1


def _named(port: Port, layer: MaskedLayer, states: Mapping[str, str]) -> str:
    """The name in the graph of a port of a layer's function."""
    stem = port.name.removesuffix(NEXT)
    return states.get(stem, layer.name + stem.removeprefix(ANY)) + port.name.removeprefix(stem)
