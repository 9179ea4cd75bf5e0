"""Removing units: slices everything that a space lies on, and mends what holds lengths."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.analysis.channels.spaces import Axes, Channels, kept_elements
from sparcl_compile.passes.core.edit import Names, array_of, int_attribute, new_constant, set_array
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.worlds import Worlds, write_shapes

Keep = Mapping[str, np.ndarray]


def shrink(model: ir.Model, channels: Channels, keep: Keep) -> None:
    """Remove units in place: the model computes what it computed with the removed units' elements at zero.

    1. Initializers lose the elements; names, roles and metadata stay.
    2. A grouped Conv loses whole groups.
    3. Constants that hold lengths follow; each becomes the node's own.
    4. All shapes are worked out anew.

    Args:
        model: the forward graph that ``channels`` was found in.
        channels: the result of ``analyse``.
        keep: by space the units that stay, int64 ascending, at least one; a space that is missing stays whole.

    Raises:
        ValueError: an unknown space, or units that are not ascending numbers of its units.
    """
    check(channels, keep)
    for node in model.graph:
        shrink_groups(node, channels, keep)
    for name, axes in channels.axes.items():
        shrink_initializer(model.graph.initializers[name], axes, keep)
    nodes, names = {str(node.name): node for node in model.graph}, Names(model.graph)
    for (name, slot), entries in channels.lengths.items():
        mend(model.graph, names, nodes[name], slot, entries, keep)
    infer(model.graph)


def check(channels: Channels, keep: Keep) -> None:
    """Refuse what cannot be meant."""
    sizes = {space.name: space.size for space in channels.spaces}
    for name, units in keep.items():
        if name not in sizes:
            raise ValueError(f"no space is called {name}; there are: {', '.join(sizes) or 'none'}")
        inside = len(units) > 0 and units[0] >= 0 and units[-1] < sizes[name] and bool(np.all(np.diff(units) > 0))
        if not inside:
            raise ValueError(f"space {name}: keep ascending units from 0 to {sizes[name] - 1}, at least one")


def shrink_groups(node: ir.Node, channels: Channels, keep: Keep) -> None:
    """A unit of a grouped Conv holds whole groups: their number goes with the rows of the weight."""
    group = int_attribute(node, "group", 1) if node.op_type == "Conv" else 1
    weight = node.inputs[1] if group > 1 else None
    rows = channels.axes.get(stored_name(weight), {}).get(0) if weight is not None else None
    if rows:
        left = len(kept_elements(rows, keep)) * group // sum(one.length for one in rows)
        node.attributes["group"] = ir.AttrInt64("group", left)


def stored_name(weight: ir.Value) -> str:
    """The name of a weight, seen through the product with its mask."""
    product = weight.producer()
    factors = [] if product is None else [v for v in product.inputs if v is not None and role_of(v) is Role.PARAMETER]
    return str(factors[0].name if factors else weight.name)


def shrink_initializer(value: ir.Value, axes: Axes, keep: Keep) -> None:
    """Slice an initializer along all its axes."""
    array = array_of(value)
    if array is None:
        raise ValueError(f"{value.name} is no initializer")
    for axis, segments in axes.items():
        array = np.take(array, kept_elements(segments, keep), axis=axis)
    set_array(value, np.ascontiguousarray(array))


def mend(graph: ir.Graph, names: Names, node: ir.Node, slot: int, entries: Axes, keep: Keep) -> None:
    """Write new lengths into a node's constant; a Split without sizes gets them."""
    before = array_of(node.inputs[slot]) if slot < len(node.inputs) else None
    if before is None:
        axis = int_attribute(node, "axis", 0)
        before = np.asarray([int(v.shape[axis]) for v in node.outputs], np.int64)  # type: ignore[index, arg-type]
    after = before.copy()
    for entry, segments in entries.items():
        after[entry] = len(kept_elements(segments, keep))
    if np.array_equal(before, after):
        return
    node.attributes.pop("num_outputs", None)
    node.resize_inputs(max(slot + 1, len(node.inputs)))
    node.replace_input_with(slot, new_constant(graph, names, f"{node.name}.lengths", after))


def infer(graph: ir.Graph) -> None:
    """Work out all shapes anew."""
    worlds = Worlds.of(graph, 1)
    for node in graph:
        worlds.visit(node)
    write_shapes(graph, worlds)
