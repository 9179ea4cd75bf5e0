"""The description of a state tensor for graphs over all tensors of a model."""

import dataclasses
import math

import onnx_ir as ir

from sparcl_compile.graphs.builder import BOOL, FLOAT, INT32, INT64, Builder
from sparcl_compile.interface.names import Role


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A state tensor.

    Attributes:
        name: its name in the state.
        shape: its shape as it is stored.
        role: its purpose.
        full_size: the elements of the weight that it belongs to, those that are not stored included; None where all
            are stored.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    full_size: int | None = None

    @property
    def size(self) -> int:
        """The elements of the tensor, those that are not stored included."""
        return math.prod(self.shape) if self.full_size is None else self.full_size


def kept_elements(b: Builder, tensor: Tensor) -> ir.Value:
    """Add the tensor as state; the number of its elements that are not zero, or of the live places: int64 [1]."""
    op = b.op
    with b.scope(tensor.name):
        if tensor.role is Role.INDEX:
            rows = b.state(tensor.name, INT32, tensor.shape, tensor.role)
            return b.cast(op.Gather(rows, [tensor.shape[0] - 1]), INT64)
        value = op.Reshape(b.state(tensor.name, FLOAT, tensor.shape, tensor.role), [-1])
        # By way of bool: a cast to an integer would cut small numbers off. In int32 they take half of the memory.
        return b.cast(op.ReduceSum(b.cast(b.cast(value, BOOL), INT32), keepdims=1), INT64)
