"""Which values share a buffer and when each buffer lives, as ONNX Runtime's allocation planner lays them out."""

import dataclasses
from collections.abc import Iterable, Sequence

import onnx_ir as ir

from sparcl_compile.passes.analysis.liveness.executor import EXECUTORS, STOCK, Executor
from sparcl_compile.passes.analysis.liveness.fusions import fusions
from sparcl_compile.passes.analysis.liveness.order import execution_order
from sparcl_compile.passes.analysis.liveness.sizes import at_batch, bytes_of


@dataclasses.dataclass
class _Buffer:
    size: int
    first: int
    last: int
    uses: int
    values: list[tuple[int, ir.Value]]


@dataclasses.dataclass(frozen=True)
class LiveBuffer:
    """A buffer at the moment of the peak and the value that it holds."""

    value: ir.Value
    bytes: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """The moment at which memory peaks, and what is alive then.

    Attributes:
        peak_bytes: the most bytes that node outputs, and the workspace of the node that runs, take at one time; graph
            inputs and outputs and constants are apart.
        node: the node that runs at that time.
        live: what is alive then, the largest first.
        workspace: the bytes that the node itself takes while it runs.
        unknown: names of the node outputs whose size is unknown and which are not counted.
        model: the copy of the graph at the batch size, which the values belong to.
    """

    peak_bytes: int
    node: ir.Node
    live: tuple[LiveBuffer, ...]
    workspace: int
    unknown: tuple[str, ...]
    model: ir.Model


def plan(model: ir.Model, batch: int, executor: Executor = EXECUTORS[STOCK]) -> Plan:
    """Lay out the buffers of a graph as a session of ONNX Runtime's CPU provider does.

    1. Nodes run in the order of :func:`execution_order`.
    2. A view shares its input's buffer. An operator that works in place takes over an input's buffer of the same shape
       when nothing reads it any more.
    3. What is fused with a convolution shares its buffer, which is that of the value that it is added to, where that is
       known by then and read by no other node (``fusions.py``).
    4. Any other output has a buffer of its own, from its node to its last reader. This holds with ``enable_mem_reuse``
       off, as ``runtime/session/sessions.py`` sets it: a freed buffer that waits for a value of the same shape is not
       given back in between, and the forward's would wait for the backward.
    5. A node's workspace is there while it runs (``workspaces.py``), on one thread.
    6. Graph inputs, graph outputs and initializers are not planned: the caller owns them.

    Source: ``allocation_planner.cc`` of ONNX Runtime 1.19.2, and the allocations of sessions of 1.32.0
    (``tests/passes/analysis/liveness/test_allocations.py``).
    """
    return lay_out(at_batch(model, batch), executor=executor)


def lay_out(sized: ir.Model, nodes: Iterable[ir.Node] | None = None, executor: Executor = EXECUTORS[STOCK]) -> Plan:
    """:func:`plan` for a graph whose shapes are known, as :func:`at_batch` makes it; the model is not changed.

    Args:
        sized: the model.
        nodes: its nodes in the order of a file that it could be; None for the order that they have.
        executor: what runs it.
    """
    order = execution_order(sized.graph if nodes is None else nodes, executor)
    planner = _Planner(sized.graph, executor)
    for step, node in enumerate(order):
        planner.run(step, node)
    spaces = [executor.workspaces.get(node.op_type, _none)(node) for node in order]
    return _at_peak(planner.buffers, order, spaces, tuple(planner.unknown), sized)


def _none(_: ir.Node) -> int:
    return 0


class _Planner:
    """The state of one walk over the nodes."""

    def __init__(self, graph: ir.Graph, executor: Executor) -> None:
        self._executor = executor
        self.buffers: list[_Buffer] = []
        self.unknown: list[str] = []
        self._owner: dict[ir.Value, _Buffer] = {}
        self._fusions = fusions(graph)
        self._apart = {*graph.inputs, *graph.outputs, *graph.initializers.values()}

    def run(self, step: int, node: ir.Node) -> None:
        """Give the outputs of a node their buffers, then free what is read for the last time."""
        for index, out in enumerate(node.outputs):
            if out.name and out not in self._apart:
                self._place(step, node, index, out)
        inputs = [value for value in node.inputs if value is not None]
        for value in (*inputs, *node.outputs):
            self._release(step, value)

    def _place(self, step: int, node: ir.Node, index: int, out: ir.Value) -> None:
        # Every output counts as used once by its own node, so that an unread one is freed after it.
        uses = len(out.uses()) + 1
        if node.op_type in self._executor.views and index == 0 and node.inputs[0] in self._apart:
            self._apart.add(out)
            return
        buffer = self._taken_over(node, index, out)
        if buffer is None:
            size = bytes_of(out)
            if size is None:
                self.unknown.append(str(out.name))
            buffer = _Buffer(size or 0, step, step, 0, [])
            self.buffers.append(buffer)
        buffer.uses += uses
        buffer.values.append((step, out))
        self._owner[out] = buffer

    def _taken_over(self, node: ir.Node, index: int, out: ir.Value) -> _Buffer | None:
        if index != 0:
            return None
        if node.op_type in self._executor.views:
            return self._owner.get(node.inputs[0])  # type: ignore[arg-type]
        if node in self._fusions.parts:
            return self._owner.get(self._fusions.parts[node])
        value = node.inputs[0] if node.op_type in self._executor.in_place else self._fusions.sums.get(node)
        buffer = None if value is None else self._owner.get(value)
        if value is None or buffer is None or buffer.uses != 1 or not alike(value, out):
            return None
        return buffer

    def _release(self, step: int, value: ir.Value) -> None:
        buffer = self._owner.get(value)
        if buffer is None:
            return
        buffer.last = step
        buffer.uses -= 1


def alike(one: ir.Value, other: ir.Value) -> bool:
    """Whether two values are known to fill the same memory."""
    shapes = [None if value.shape is None else list(value.shape) for value in (one, other)]
    same_type = one.dtype is not None and other.dtype is not None and one.dtype.bitwidth == other.dtype.bitwidth
    return shapes[0] is not None and shapes[0] == shapes[1] and same_type


def _at_peak(
    buffers: Sequence[_Buffer],
    order: Sequence[ir.Node],
    spaces: Sequence[int],
    unknown: tuple[str, ...],
    sized: ir.Model,
) -> Plan:
    changes = [0] * (len(order) + 1)
    for buffer in buffers:
        changes[buffer.first] += buffer.size
        changes[buffer.last + 1] -= buffer.size
    totals, live = [], 0
    for change, space in zip(changes, spaces, strict=False):
        live += change
        totals.append(live + space)
    step = max(range(len(order)), key=totals.__getitem__)
    held = [LiveBuffer(_content(b, step), b.size) for b in buffers if b.first <= step <= b.last and b.size]
    ranked = tuple(sorted(held, key=lambda one: (-one.bytes, str(one.value.name))))
    return Plan(totals[step], order[step], ranked, spaces[step], unknown, sized)


def _content(buffer: _Buffer, step: int) -> ir.Value:
    return [value for when, value in buffer.values if when <= step][-1]
