"""Names that compiler and drivers share: the roles of state tensors, and the names that belong to a weight."""

import enum

LONG_STEPS = ".long_steps"
"""Ending of the count of a task's steps of a parameter that were too long."""
NEXT = ".next"
"""Suffix of the graph output that holds a state tensor's next value."""
ACCUMULATED = ".accumulation.out"
"""Suffix of the graph output that is a gradient accumulator after a gradient was added, as ORT's builder gives it."""


AUGMENTS = {False: "crop_flip", True: "jitter_shift_scale"}
"""The graph that changes training samples at random, by whether they are series; an option of a run has its name."""


class Role(enum.StrEnum):
    """The purpose of a state tensor; see docs/interfaces.md."""

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
    METHOD = "method"
    DATA = "data"
    MEASURED = "measured"
    RESULT = "result"


OWN_SCALE = (
    "the model scales its samples itself, and a run normalises them before; if the model was made for values as they "
    "are, give sparcl-run --normalise raw, or unit for images of 0 to 1"
)
"""The remark of a compilation that a run repeats, since who runs a model need not have compiled it."""


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


def long_steps_name(weight: str) -> str:
    """The name of the count of a task's steps of a parameter that had to be shortened."""
    return f"{weight}{LONG_STEPS}"


def accumulated_name(weight: str) -> str:
    """The name of a parameter's gradient accumulator as an output of the graph that adds to it."""
    return f"{weight}_grad{ACCUMULATED}"


def measured_names(weight: str) -> tuple[str, str]:
    """The names of a weight's two measured gradients, as the graphs that update masks take them."""
    return f"{weight}.g1", f"{weight}.g2"
