"""Parameters with their stored gradients, as graphs between gradients and optimizer see them."""

import dataclasses

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.interface.names import Role, accumulator_name


@dataclasses.dataclass(frozen=True)
class Gradient:
    """A parameter that trains.

    Attributes:
        name: of the parameter.
        shape: as it is stored.
        mask: the state that says which of its weights a step may move; empty where all may.
        role: of that state.
        rate: the factor of its learning rate.
    """

    name: str
    shape: tuple[int, ...]
    mask: str = ""
    role: Role = Role.MASK
    rate: float = 1.0


def accumulated(b: Builder, one: Gradient) -> ir.Value:
    """Add the accumulator of a parameter as state."""
    return b.state(accumulator_name(one.name), FLOAT, one.shape, Role.GRADIENT)


def parameter(b: Builder, one: Gradient) -> ir.Value:
    """Add a parameter as state."""
    return b.state(one.name, FLOAT, one.shape, Role.PARAMETER)


def kept(b: Builder, one: Gradient, ending: str) -> ir.Value:
    """Add what a method keeps of a parameter under this ending, of the parameter's shape."""
    return b.state(f"{one.name}.{ending}", FLOAT, one.shape, Role.METHOD)


def moved(b: Builder, one: Gradient, change: ir.Value) -> ir.Value:
    """A change of a gradient where a step may move the parameter, and 0 elsewhere."""
    return b.op.Mul(change, b.state(one.mask, FLOAT, one.shape, one.role)) if one.mask else change
