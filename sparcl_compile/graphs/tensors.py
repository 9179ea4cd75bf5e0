"""The description of a state tensor for graphs over all tensors of a model."""

import dataclasses
import math

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
