"""Work of one masked layer in a training step: all that its time depends on beside the machine."""

import dataclasses
import math

import onnx_ir as ir

from sparcl_compile.passes.core.values import dims
from sparcl_compile.passes.lowering.batch_last.forms import lengths_of
from sparcl_compile.passes.lowering.sparse.forms import geometry, is_transposed

CONV, PRODUCT = "Conv", "MatMul"
"""The kinds of layers: over planes, and over vectors or tokens."""


@dataclasses.dataclass(frozen=True)
class Work:
    """One layer as a convolution; a product of matrices is one of 1 x 1 over the tokens, or over a single place.

    Attributes:
        kind: ``CONV`` or ``PRODUCT``.
        shape: the weight as [O, C, kh, kw].
        plane: height and width of the input.
        out: height and width of the output.
        strides: of height and width.
        pads: at the beginning of both and at their end.
        dilations: of height and width.
        places: K, for how many kept weights there is room.
        updated: of how many of them the gradient is computed.
        input_gradient: whether the gradient of the input is computed.
        blocks: whether every four output channels keep the same places.
    """

    kind: str
    shape: tuple[int, ...]
    plane: tuple[int, ...]
    out: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    places: int
    updated: int
    input_gradient: bool
    blocks: bool = False

    @property
    def weights(self) -> int:
        """Elements of the full weight."""
        return math.prod(self.shape)

    @property
    def taps(self) -> int:
        """Weights of one output channel."""
        return math.prod(self.shape[1:])

    @property
    def inputs(self) -> int:
        """Elements of a sample's input."""
        return self.shape[1] * math.prod(self.plane)

    @property
    def pixels(self) -> int:
        """Places of the output: how often a sample meets each weight."""
        return math.prod(self.out)

    @property
    def outputs(self) -> int:
        """Elements of a sample's output."""
        return self.shape[0] * self.pixels


def work_of(
    reader: ir.Node, weight: ir.Value, places: int, updated: int, input_gradient: bool, blocks: bool = False
) -> Work:
    """The work of a node that ``why_not`` finds nothing against; arguments as the attributes."""
    shape = dims(weight)
    full = [*(reversed(shape) if is_transposed(reader) else shape), 1, 1][:4]
    found = {name: ints for name, ints in geometry(reader, full).items() if not isinstance(ints, int)}
    return Work(
        kind=CONV if reader.op_type == "Conv" else PRODUCT,
        shape=tuple(full),
        plane=_plane(reader.inputs[0]),
        out=_plane(reader.outputs[0]),
        strides=tuple(found["strides"]),
        pads=tuple(found["pads"]),
        dilations=tuple(found["dilations"]),
        places=places,
        updated=updated,
        input_gradient=input_gradient,
        blocks=blocks,
    )


def _plane(value: ir.Value | None) -> tuple[int, ...]:
    """Height and width of an activation [N, C, H, W]; [N, T, C] and [N, C] are one row of tokens."""
    lengths = [length for length in lengths_of(value)[1:] if isinstance(length, int)]
    if len(lengths) == 3:
        return tuple(lengths[1:])
    return (1, *lengths[:-1]) if len(lengths) == 2 else (1, 1)
