"""The log of a compilation: its passes and their times, the memory of training, the choice of kernels.

It lies beside the manifest as ``report.json``. No driver needs it, and it is no part of an artifact's identity.
"""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class PassTrace:
    """The work of one pass.

    Attributes:
        name: the pass.
        seconds: how long it took.
        modified: what the pass reported.
        ops_before: how often each operator stood in the graph.
        ops_after: how often each operator stands in the graph now.
        nodes_added: operators that there are more of than before, and by how many.
        nodes_removed: operators that there are fewer of than before, and by how many.
        origins: how many nodes each pass has made, as the graph stands now.
        parameters: elements with role parameter, now.
        state: elements by role, now.
        macs_before: multiply-accumulates per sample before, or None where they cannot be counted.
        macs_after: the same, now.
    """

    name: str
    seconds: float
    modified: bool
    ops_before: Mapping[str, int]
    ops_after: Mapping[str, int]
    nodes_added: Mapping[str, int]
    nodes_removed: Mapping[str, int]
    origins: Mapping[str, int]
    parameters: int
    state: Mapping[str, int]
    macs_before: int | None
    macs_after: int | None


@dataclasses.dataclass(frozen=True)
class LiveValue:
    """A value that is alive at the peak: its name, the weight of the layer that it belongs to, its bytes."""

    name: str
    layer: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class LayerBytes:
    """The bytes of the peak that belong to a layer, named by its weight; an empty name is no layer's."""

    layer: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class Recomputation:
    """The effect of computing cheap activations again.

    Attributes:
        enabled: whether that was asked for.
        peak_without: the peak in bytes without it.
        peak_with: the peak in bytes with it.
        at_most: whether ``peak_with`` is a bound: a lower peak is found where it pays to keep some of the activations,
            or to write a weight's gradient in another form.
    """

    enabled: bool
    peak_without: int
    peak_with: int
    at_most: bool


@dataclasses.dataclass(frozen=True)
class Memory:
    """An estimate of what training takes.

    Attributes:
        batch: samples that a step computes with at once, merged ones of replay included.
        peak_activation_bytes: the most that activations and gradients take at one time.
        at: the name of the node that runs then.
        by_layer: what each layer takes of it, in graph order.
        largest: the largest values alive then.
        feed_bytes: graph inputs that are not state.
        result_bytes: graph outputs, but those that are written over the state.
        state_bytes: by role; of ``sample`` those of one sample. Tensors that only a run can size are left out.
        unknown: the values whose size is unknown; where there are any, the peak is a lower bound.
        recompute: the peak without and with recomputation.
    """

    batch: int
    peak_activation_bytes: int
    at: str
    by_layer: tuple[LayerBytes, ...]
    largest: tuple[LiveValue, ...]
    feed_bytes: int
    result_bytes: int
    state_bytes: Mapping[str, int]
    unknown: tuple[str, ...]
    recompute: Recomputation

    @property
    def training_bytes(self) -> int:
        """Activations, gradients, state, feeds and results together."""
        apart = self.feed_bytes + self.result_bytes + sum(self.state_bytes.values())
        return self.peak_activation_bytes + apart


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of a training step of one layer in both forms."""

    dense: float
    sparse: float


@dataclasses.dataclass(frozen=True)
class Choice:
    """The form of one layer and what it was chosen by; times are those of a training step.

    Attributes:
        weight: its name.
        reason: why it stays masked; empty where it is sparse.
        estimated: by the table of costs.
        measured: on this machine; None where nothing was measured.
        transposes: seconds that the sparse form takes longer where both neighbours are batch first.
    """

    weight: str
    reason: str
    estimated: Times
    measured: Times | None
    transposes: float


@dataclasses.dataclass(frozen=True)
class KernelChoices:
    """The choice between dense and sparse kernels of the layers that have both, for ``batch`` samples at once."""

    batch: int
    layers: tuple[Choice, ...]

    @property
    def measured(self) -> bool:
        """Whether layers were timed."""
        return any(layer.measured for layer in self.layers)


@dataclasses.dataclass(frozen=True)
class CompileReport:
    """The log of a compilation.

    Attributes:
        passes: in their order.
        memory: of training.
        kernels: the choice between dense and sparse ones; None where nothing was to choose.
        remarks: lines about the model that its user should know.
    """

    passes: tuple[PassTrace, ...]
    memory: Memory
    kernels: KernelChoices | None
    remarks: tuple[str, ...] = ()
