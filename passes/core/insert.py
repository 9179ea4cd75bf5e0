"""The one way to insert nodes into a graph."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import Names, new_constant, replace_uses
from sparcl_compile.passes.core.marks import PASS_KEY
from sparcl_compile.passes.core.values import FLOAT

Shape = Sequence[int | str | ir.SymbolicDim]


class Inserter:
    """Inserts nodes of one pass at one place of a graph: at the end, before a node, or behind one.

    1. Every node carries the name of the pass that made it.
    2. A node has the name of its first output, unless the caller names it otherwise. Without a name, both are named
       after the node at the place and the operator.
    3. Names are taken as they are given: those of state, feeds and results are a contract. An inserter that was given
       ``names`` takes them as hints, and adds a number to one that is in use.
    4. The caller states the shape and the type of an output, or a value that it is like. What is not stated is left to
       shape inference.
    """

    def __init__(self, made_by: str, graph: ir.Graph, names: Names | None = None) -> None:
        """Insert at the end of ``graph``.

        Args:
            made_by: the name of the pass.
            graph: the graph.
            names: the names in use; several inserters of one graph share them.
        """
        self.graph = graph
        self._made_by, self._names = made_by, names
        self._before: ir.Node | None = None
        self._behind: ir.Node | None = None

    def before(self, place: ir.Node) -> Self:
        """Insert before this node from now on, in the order of the calls."""
        self._before, self._behind = place, None
        return self

    def behind(self, place: ir.Node) -> Self:
        """Insert behind this node from now on, in the order of the calls."""
        self._before, self._behind = None, place
        return self

    @property
    def place(self) -> ir.Node:
        """The node at the place; there is none at the end of the graph."""
        node = self._before or self._behind
        if node is None:
            raise ValueError("the inserter is at the end of the graph, where no node gives a name")
        return node

    def op(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        name: str = "",
        shape: Shape | None = None,
        dtype: ir.TypeProtocol | None = None,
        like: ir.Value | None = None,
        node_name: str = "",
        domain: str = "",
        outputs: int = 1,
        **attributes: object,
    ) -> ir.Value:
        """Insert a node; returns its first output.

        Args:
            op_type: operator.
            inputs: values that the node reads, None for an optional input that is left out.
            name: name of the first output; the others are ``NAME.1``, ``NAME.2``, ...
            shape: shape of the first output.
            dtype: type of the first output; float32 when only the shape is stated.
            like: value that has the shape and the type of the first output.
            node_name: name of the node when it is not that of its first output.
            domain: domain of the operator.
            outputs: number of outputs.
            attributes: Python values or onnx-ir's attributes.
        """
        found = self.fresh(name or f"{self.place.name}.{op_type.lower()}")
        made = self.node(op_type, *inputs, name=node_name or found, domain=domain, outputs=outputs, **attributes)
        for index, value in enumerate(made.outputs):
            value.name = found if index == 0 else f"{found}.{index}"
        out = made.outputs[0]
        if like is not None:
            out.shape, out.type = like.shape, like.type
        if shape is not None:
            out.shape, out.type = ir.Shape(shape), out.type or FLOAT
        out.type = dtype or out.type
        return out

    def node(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        name: str,
        domain: str = "",
        outputs: int = 1,
        **attributes: object,
    ) -> ir.Node:
        """Insert a node; the caller names and describes its outputs, or leaves that to ``replace``."""
        given = dict(attributes) or None
        made = ir.node(op_type, inputs, given, domain=domain, num_outputs=outputs, name=name)  # type: ignore[arg-type]
        made.metadata_props[PASS_KEY] = self._made_by
        self._put(made)
        return made

    def const(self, hint: str, array: object, dtype: type = np.float32) -> ir.Value:
        """Register a constant of the node at the place: an initializer without a role, under a name of its own."""
        names = self._names or Names(self.graph)
        return new_constant(self.graph, names, f"{self.place.name}.{hint}", np.asarray(array, dtype=dtype))

    def ints(self, hint: str, values: Sequence[int]) -> ir.Value:
        """Register an int64 vector; see ``const``."""
        return self.const(hint, list(values), np.int64)

    def replace(self, *outputs: ir.Value) -> None:
        """Let the readers of the node at the place read these values, which take over its outputs' names; remove it.

        Shape and type pass to a value that has none.
        """
        old = self.place
        pairs = [(before, str(before.name), after) for before, after in zip(old.outputs, outputs, strict=False)]
        for before, _, after in pairs:
            after.shape, after.type = after.shape or before.shape, after.type or before.type
            replace_uses(self.graph, before, after)
        self.graph.remove(old, safe=True)
        for _, name, after in pairs:
            if after.producer() not in (None, old):
                after.name = name

    def fresh(self, hint: str) -> str:
        """The hint, or a free name near it when the inserter knows the names in use."""
        return hint if self._names is None else self._names.fresh(hint)

    def _put(self, made: ir.Node) -> None:
        if self._before is not None:
            self.graph.insert_before(self._before, made)
        elif self._behind is not None:
            self.graph.insert_after(self._behind, made)
            self._behind = made
        else:
            self.graph.append(made)
