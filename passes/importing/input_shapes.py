"""The free lengths of a model's input: fixed as the user says, or refused with lengths that the model takes."""

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from sparcl_compile.interface.errors import FieldError, ModelError
from sparcl_compile.interface.ranges import input_lengths
from sparcl_compile.passes.importing import verify

TRIED = (32, 224, 28, 64, 128, 299, 16, 8, 256, 512)
"""Lengths for an example, the likeliest first."""
BATCH = "N"


def fix(model: ir.Model, value: ir.Value, wanted: str | None) -> bool:
    """Give an input the lengths that the user names; returns whether that changed anything.

    Raises:
        FieldError: they do not fit what the file fixes, or the file leaves lengths open and none are named.
    """
    lengths = None if wanted is None else input_lengths(wanted)
    if lengths is None:
        _refuse_free(model, value)
        return False
    if value.shape is not None and not _fits(list(value.shape)[1:], lengths):
        problem = f"does not fit input {value.name} of the file, {_text(value.shape)}"
        raise FieldError("input_shape", wanted, problem, f"give {_example([*value.shape], lengths)}")
    batch = None if value.shape is None else value.shape[0]
    fixed = ir.Shape([BATCH if batch is None else batch, *lengths])
    changed = value.shape != fixed
    value.shape = fixed
    return changed


def free_axes(value: ir.Value) -> list[int]:
    """The axes behind the batch whose length the file leaves open."""
    return [axis for axis, length in enumerate(value.shape or ()) if axis and not isinstance(length, int)]


def _refuse_free(model: ir.Model, value: ir.Value) -> None:
    axes = free_axes(value)
    if not axes or value.shape is None:
        return
    names = ", ".join(_name(value.shape[axis], axis) for axis in axes)
    problem = f"input {value.name} {_text(value.shape)} has free dimensions ({names}) besides the batch"
    raise ModelError(f"{problem}: fix them by `input_shape` {_taken(model, value)}")


def _taken(model: ir.Model, value: ir.Value) -> str:
    """An input shape that the model takes: tried out, where ONNX Runtime can run the model."""
    shape = list(value.shape or ())
    batch = shape[0] if shape and isinstance(shape[0], int) else 1
    examples = [_example(shape, [length] * (len(shape) - 1)) for length in TRIED]
    tried = [(batch, *input_lengths(one)) for one in examples]
    first = verify.first_taken(verify.runnable(model), tried, ir.DataType.FLOAT if value.dtype is None else value.dtype)
    return examples[first or 0]


def _fits(own: Sequence[int | ir.SymbolicDim], lengths: Sequence[int]) -> bool:
    pairs = zip(own, lengths, strict=False)
    return len(own) == len(lengths) and all(one == two or not isinstance(one, int) for one, two in pairs)


def _example(shape: Sequence[int | ir.SymbolicDim], lengths: Sequence[int]) -> str:
    """The shape as the option takes it, with the lengths that the file fixes, and else those given."""
    known = dict(enumerate(lengths, start=1))
    rest = [length if isinstance(length, int) else known.get(axis, TRIED[0]) for axis, length in enumerate(shape)]
    return ",".join([BATCH, *map(str, rest[1:])])


def _text(shape: Iterable[int | ir.SymbolicDim]) -> str:
    return f"[{', '.join(_name(length, axis) for axis, length in enumerate(shape))}]"


def _name(length: int | ir.SymbolicDim, axis: int) -> str:
    return str(length) if isinstance(length, int) else str(length.value or ("N" if axis == 0 else "?"))
