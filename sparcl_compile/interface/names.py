"""Names that compiler and drivers share: the roles of state tensors, and the names that belong to a weight."""

import enum

NEXT = ".next"
"""What the name of a graph output has behind the name of the state whose next value it is."""


class Role(enum.StrEnum):
    """What a state tensor is for; see docs/interfaces.md."""

    PARAMETER = "parameter"
    FROZEN = "frozen"
    MASK = "mask"
    GRADIENT_MASK = "gradient_mask"
    GRADIENT_ROWS = "gradient_rows"
    RUNNING_STAT = "running_stat"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    SAMPLE = "sample"
    CHANNEL = "channel"
    INDEX = "index"
    BUFFER = "buffer"
    DATA = "data"
    MEASURED = "measured"
    RESULT = "result"


def mask_name(weight: str) -> str:
    """The name of a weight's mask."""
    return f"{weight}.mask"


def index_name(weight: str) -> str:
    """The name of the flat positions of a compressed weight's values in the full weight."""
    return f"{weight}.index"


def rows_name(weight: str) -> str:
    """The name of the places where a compressed weight's output channels begin."""
    return f"{weight}.rows"


def gradient_mask_name(weight: str) -> str:
    """The name of a weight's gradient mask."""
    return f"{weight}.gradient_mask"


def gradient_rows_name(weight: str) -> str:
    """The name of the numbers of the output channels whose gradient is computed."""
    return f"{weight}.gradient_rows"


def gradient_name(weight: str) -> str:
    """The name of a parameter's gradient, as ORT's gradient builder gives it."""
    return f"{weight}_grad"


def accumulator_name(weight: str) -> str:
    """The name of a parameter's gradient accumulator, as ORT's artifact builder gives it."""
    return f"{weight}_grad.accumulation.buffer"
