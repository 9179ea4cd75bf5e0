"""Checks of the ranges that options and fields of passes share."""

import numbers
import re
from collections.abc import Collection

from sparcl_compile.interface.errors import FieldError

LARGEST_SEED = 2**32 - 1


def check_share(field: str, value: float, example: float = 0.8) -> None:
    """Raise FieldError for anything but a number in [0, 1)."""
    if not (isinstance(value, numbers.Real) and 0.0 <= value < 1.0):
        raise FieldError(field, _shown(value), mend=f"give a number from 0 (off) to below 1, for example {example}")


def check_not_negative(field: str, value: float, example: float) -> None:
    """Raise FieldError for anything but a finite number from 0."""
    if not (isinstance(value, numbers.Real) and 0.0 <= value < float("inf")):
        raise FieldError(field, _shown(value), mend=f"give a number from 0, for example {example}")


def _shown(value: object) -> object:
    """A text in quotes: without them '0.8' would look like the number that is wanted."""
    return repr(value) if isinstance(value, str) else value


def check_choice(field: str, value: str, known: Collection[str]) -> None:
    """Raise FieldError for a name that is not among those that are known."""
    if value not in known:
        raise FieldError(field, value, mend=f"give one of {', '.join(known)}")


def check_classes(value: int | None) -> None:
    """Raise FieldError for a head of one class or none."""
    if value is not None and value < 2:
        raise FieldError("classes", value, "a classifier needs at least 2 classes")


INPUT_SHAPE = re.compile(r"\s*(?:[A-Za-z]\w*|[1-9]\d*)(?:\s*,\s*[1-9]\d*)+\s*")


def input_lengths(text: str) -> tuple[int, ...]:
    """The lengths of one sample in the shape of an input, as in ``N,3,224,224``; the batch is a name or a number.

    Raises:
        FieldError: the text is no such shape.
    """
    if not INPUT_SHAPE.fullmatch(text):
        mend = "give the lengths separated by commas and the batch first, for example N,3,224,224"
        raise FieldError("input_shape", text, mend=mend)
    return tuple(int(length) for length in text.split(",")[1:])


def check_seed(value: int, field: str = "seed") -> None:
    """Raise FieldError for a seed that 32 bits do not hold."""
    if not 0 <= value <= LARGEST_SEED:
        raise FieldError(field, value, mend=f"give a whole number from 0 to {LARGEST_SEED}")
