"""The model of what runs a graph: one row for each build of ONNX Runtime that a target is for."""

import dataclasses
from collections.abc import Callable, Mapping, Set

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.analysis.liveness.workspaces import WORKSPACES

VIEWS = frozenset(["Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"])
"""Their output is their first input's buffer."""

IN_PLACE = frozenset(
    [
        *("Cast", "Clip", "Elu", "HardSigmoid", "LeakyRelu", "LogSoftmax", "Not", "Relu", "Selu", "Sigmoid", "Softmax"),
        *("Softplus", "Softsign", "Tanh", "ThresholdedRelu"),
    ]
)
"""Whose first output takes over the buffer of the first input when that dies there (``MayInplace`` of the CPU kernels).
Neither arithmetic nor gradient operators do: measured in both builds (``test_buffers.py``).
"""


@dataclasses.dataclass(frozen=True)
class Executor:
    """How ONNX Runtime's CPU provider runs a graph, as far as its memory depends on it.

    In every build nodes run in the order of a search back from those that no node reads (``order.py``), a value is
    freed behind its last reader, and freed memory goes to the next value that fits (``buffers.py``).

    Attributes:
        at_once: operators that run as soon as their input is there, before the search goes on.
        views: operators whose output is their first input's buffer.
        in_place: operators that may write over their first input.
        workspaces: the bytes that a node takes while it runs, by operator.
    """

    at_once: Set[str] = frozenset()
    views: Set[str] = VIEWS
    in_place: Set[str] = IN_PLACE
    workspaces: Mapping[str, Callable[[ir.Node], int]] = dataclasses.field(default_factory=lambda: WORKSPACES)


STOCK, TRAINING_BUILD = "stock", "training-build"
EXECUTORS: Mapping[str, Executor] = {
    STOCK: Executor(),
    TRAINING_BUILD: Executor(at_once=frozenset(["Shape", "Size"])),
}
"""Stock onnxruntime (measured: 1.18.0, 1.19.2's order, 1.32.0), and onnxruntime-training 1.19.2."""


def executor_of(name: str) -> Executor:
    """The executor with a name; raises FieldError where there is none."""
    if name not in EXECUTORS:
        raise FieldError("executor", name, "is no build of ONNX Runtime", f"give {' or '.join(EXECUTORS)}")
    return EXECUTORS[name]
