"""The entries of the manifest for state tensors, graphs and masked weights (docs/interfaces.md)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

from sparcl_compile.interface.names import Role

Dimension = int | str
"""A length, or the name of one that only a run knows.

Of state: ``samples`` of the current task, ``buffer`` and ``tasks`` as the run is told, ``C``, ``H``, ``W`` of a sample.
Of graphs: the batch ``N`` and the like.
"""
DType = Literal["float32", "float64", "int32", "int64", "uint8", "bool", "sample", "sum"]
"""A type of elements; ``sample`` is that of the raw samples, uint8 or float32, ``sum`` int64 or float64 with them."""
Stored = Literal["masked", "rows", "transposed"]
"""The form of a masked weight: in full, or its kept values by output channel of the weight as it is or transposed."""
MASKED: Stored = "masked"
NumericProfile = Literal["equal", "ranked", "close"]
"""The promise of a graph's results in another runtime, given the same inputs (docs/portability.md): the same in every
bit; what it chooses, but between numbers that differ by rounding; or as close as sums in another order are.
"""


@dataclasses.dataclass(frozen=True)
class StateSpec:
    """A state tensor.

    Attributes:
        name: as graphs call it.
        role: its purpose.
        dtype: of its elements.
        shape: as it is stored.
        init: its first value: ``file`` (in the state file), ``zeros``, ``ones``, ``nan`` or ``copy:NAME`` (that of
            another one).
        saved: whether a checkpoint holds it.
        full_shape: the shape before channels were folded away or weights compressed; None where it is ``shape``.
    """

    name: str
    role: Role
    dtype: DType
    shape: tuple[Dimension, ...]
    init: str
    saved: bool
    full_shape: tuple[int, ...] | None


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """An input of a graph: a state tensor where one has its name, otherwise a feed of the driver."""

    name: str
    dtype: DType
    shape: tuple[Dimension, ...]


@dataclasses.dataclass(frozen=True)
class GraphSpec:
    """A graph.

    Attributes:
        file: its path in the artifact; by type of the raw samples where it reads them.
        inputs: in the graph's order.
        outputs: their names in the graph's order.
        results: the outputs that a driver reads.
        updates: by output the state tensor whose next value it is.
        in_place: the state tensors whose next value may be written over them while the graph runs.
        kernels: whether a session needs the kernel library.
        numeric_profile: the promise of its results across runtimes; by type of the raw samples where it reads them and
            their promises differ.
    """

    file: str | Mapping[str, str]
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    results: tuple[str, ...]
    updates: Mapping[str, str]
    in_place: tuple[str, ...]
    kernels: bool
    numeric_profile: NumericProfile | Mapping[str, NumericProfile] = "close"

    def profile(self, samples: str) -> NumericProfile:
        """The promise of its results for raw samples of this type."""
        found = self.numeric_profile
        return found if isinstance(found, str) else found[samples]


@dataclasses.dataclass(frozen=True)
class WeightSpec:
    """A masked weight: its form, the names of what belongs to it, and its counts of elements.

    Counts are means where groups differ in size; the schedule has them in groups. Names of state are None where the
    weight has no such tensor.

    Attributes:
        weight: its name.
        shape: of the full weight.
        stored: its form.
        reason: why it is ``masked`` although compression was asked for; else empty.
        scheme: what is removed and grown together.
        axes: one letter for each axis under a scheme with groups, else empty.
        density: the share that is usually kept.
        base: how many elements are usually kept.
        shrunk: how many after a removal.
        grown: how many after the growth at the beginning of a later task.
        updated: how many of those usually kept a step moves; all elements where pruned weights train too.
        rate: factor of its learning rate, in the graph that updates it.
        mask: its mask.
        index: the flat positions of a compressed weight's values.
        rows: where a compressed weight's output channels begin.
        gradient_mask: its gradient mask.
        gradient_rows: the output channels whose gradient is computed.
        accumulator: the graph input that takes its gradient, state where gradients are stored.
        g1: the first measured gradient, a feed of the graphs that update masks.
        g2: the second one.
    """

    weight: str
    shape: tuple[int, ...]
    stored: Stored
    reason: str
    scheme: str
    axes: str
    density: float
    base: int
    shrunk: int
    grown: int
    updated: int
    rate: float
    mask: str | None
    index: str | None
    rows: str | None
    gradient_mask: str | None
    gradient_rows: str | None
    accumulator: str
    g1: str
    g2: str

    @property
    def size(self) -> int:
        """Elements of the full weight."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class DenseSpec:
    """A weight without a mask, its shape, and the reason."""

    weight: str
    shape: tuple[int, ...]
    reason: str

    @property
    def size(self) -> int:
        """Its elements."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """The optimizer and the learning rates that a run begins with when its user names none.

    Attributes:
        name: of the optimizer.
        learning_rate: of a run with more than ``few_epochs`` a task.
        few_epochs_rate: of any other run.
        few_epochs: epochs a task.
        step_limit: the largest step of a layer, as a share of the norm that its weight begins with; 0 for none.
    """

    name: str
    learning_rate: float
    few_epochs_rate: float
    few_epochs: int
    step_limit: float = 0.0

    def rate_for(self, epochs: int) -> float:
        """The learning rate of a run of so many epochs a task."""
        return self.few_epochs_rate if epochs <= self.few_epochs else self.learning_rate
