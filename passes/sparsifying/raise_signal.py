"""First weights of a deep network under which its samples still differ where the classes are told apart."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence, Set

import numpy as np
import onnx_ir as ir

from sparcl_compile.interface.names import Role
from sparcl_compile.interface.ranges import check_not_negative
from sparcl_compile.passes.analysis.heads import find_head
from sparcl_compile.passes.analysis.normalised import is_normalised
from sparcl_compile.passes.core.contract import Pass
from sparcl_compile.passes.core.edit import set_array
from sparcl_compile.passes.core.facts import HELD, LOSS, MASKED
from sparcl_compile.passes.core.layers import RECURRENT, weighted_layers
from sparcl_compile.passes.core.marks import RAISED_KEY
from sparcl_compile.passes.core.model_input import input_of
from sparcl_compile.passes.core.phases import Phase
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.values import data_of
from sparcl_compile.passes.importing import remarks, verify

LOGITS = "logits"
ROWS = 16
"""Random samples that a deviation is measured over."""
LEAST_ELEMENTS = 256
"""Elements from which on the largest of a weight tells how it was drawn."""
LARGEST = 1.9
"""A weight whose largest element is below so many of its root mean squares was drawn evenly between two bounds, for
which it is sqrt(3): of 256 normal numbers, which trained weights resemble, none is above it once in three million."""
HALVINGS = 20
"""Steps of the search for an exponent."""
DIGITS = 3
"""Digits of a factor. Processors round products differently, and would hardly ever agree on all of them."""


@dataclasses.dataclass(frozen=True)
class RaiseSignal(Pass):
    """Make the untrained weights of a network larger that would tell hardly any sample from another.

    1. The weights that PyTorch and Keras begin with make the differences of samples smaller in every layer that no
       normalisation follows, PyTorch's by about 2.4 with a ReLU. Behind eight layers little more than the biases is
       left, and of the gradient as little comes back: SGD stays at guessing, at the rate that suits all others.
    2. What is left is measured: the deviation of the logits over ``ROWS`` samples of normal noise, whose deviation is 1
       where they enter the first layer. From ``deviation`` on a network learns, and nothing is done.
    3. Nothing is done either unless all these weights of ``LEAST_ELEMENTS`` elements or more were drawn evenly between
       two bounds, and one of them is there: another distribution may have been learned, and learned weights stay.
    4. In graph order the factor of each layer is found by which its outputs have the deviation 1; the last layer,
       recurrent ones, frozen ones, and those that a normalisation follows keep their weights.
    5. The factors are raised to the one power of at most 1 by which the logits have ``deviation``, and rounded to
       ``DIGITS`` digits, so that one file becomes one artifact on most processors. Larger weights than needed are no
       good: behind wide layers the default rate is then too large.
    6. A weight that has its factor is left alone, which makes the pass idempotent; 0 raises nothing. A remark of the
       model says what was done.

    Source: rule 4 is layer-sequential unit-variance initialisation (Mishkin and Matas, "All you need is a good init",
    ICLR 2016, algorithm 1), without its orthogonal matrices and for random samples in place of the data, which a
    compiler does not have. Rules 2, 3 and 5 are this project's (docs/defaults.md, Deep networks without normalisation).

    Options:
        deviation: of the logits from sample to sample, not negative.
    """

    phase = Phase.SPARSIFYING
    needs = (HELD,)
    before = (MASKED, LOSS)

    deviation: float = 0.03

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Raise the weights where the logits deviate too little."""
        check_not_negative("deviation", self.deviation, example=0.03)
        weights = raisable(model.graph)
        if not self.deviation or not untrained(weights.values()):
            return ir.passes.PassResult(model, False)
        trial = Trial(model, weights)
        before = trial.deviation(LOGITS)
        if not 0.0 < before < self.deviation:
            return ir.passes.PassResult(model, False)
        trial.even_out()
        power = trial.power(self.deviation)
        factors = {name: float(f"{factor**power:.{DIGITS}g}") for name, factor in trial.factors.items()}
        changed = [factor for factor in factors.values() if factor != 1.0]
        if not changed:
            return ir.passes.PassResult(model, False)
        for name, factor in factors.items():
            weight = model.graph.initializers[name]
            set_array(weight, scaled(data_of(weight), factor))
            weight.metadata_props[RAISED_KEY] = repr(factor)
        remarks.note(model, _remark(before, trial.deviation(LOGITS), changed))
        return ir.passes.PassResult(model, True)


class Trial:
    """A session that answers random samples under weights that are scaled, one factor each.

    Args:
        model: the model, which stays as it is.
        weights: its weights that have factors, by the name of their first layer's output.

    Attributes:
        factors: by name of a weight; 1 to begin with.
    """

    def __init__(self, model: ir.Model, weights: Mapping[str, ir.Value]) -> None:
        self._layers = {output: str(weight.name) for output, weight in weights.items()}
        self._given = {str(weight.name): data_of(weight) for weight in weights.values()}
        self.factors = dict.fromkeys(self._given, 1.0)
        first = first_input(model.graph)
        self._session = verify.session(verify.runnable(_taking(model, self._given, {*weights, LOGITS, first} - {None})))
        (samples,) = model.graph.inputs
        self._feeds = {str(samples.name): verify.samples_of(model, ROWS), **self._given}
        if first is not None and input_of(model).rows is None:
            shift, size = np.float32(self._answers(first).mean()), np.float32(self.deviation(first) or 1.0)
            self._feeds[str(samples.name)] = (self._feeds[str(samples.name)] - shift) / size

    def deviation(self, value: str) -> float:
        """The deviation of a value from sample to sample: the root mean square over its elements; 0 without samples."""
        found = self._answers(value)
        if found.size % ROWS:
            return 0.0
        return float(np.sqrt(np.var(found.reshape(ROWS, -1), axis=0, dtype=np.float64).mean()))

    def even_out(self) -> None:
        """Choose the factors by which every layer's outputs have the deviation 1, in graph order."""
        for value, name in self._layers.items():
            found = self.deviation(value)
            self.factors[name] = 1.0 / found if 0.0 < found < math.inf else 1.0
            self._scale(name, 1.0)

    def power(self, deviation: float) -> float:
        """The power of the factors, at most 1, by which the logits have this deviation; it is left in force."""
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2.0
            for name in self.factors:
                self._scale(name, middle)
            low, high = (middle, high) if self.deviation(LOGITS) < deviation else (low, middle)
        return high

    def _answers(self, value: str) -> np.ndarray:
        return verify.ask(self._session, self._feeds, value)

    def _scale(self, name: str, power: float) -> None:
        self._feeds[name] = scaled(self._given[name], self.factors[name] ** power)


def _taking(model: ir.Model, weights: Iterable[str], outputs: Set[str | None]) -> ir.Model:
    """A copy of a model that takes these weights as inputs and gives these values."""
    copy = model.clone()
    graph = copy.graph
    graph.inputs.extend(graph.initializers.pop(name) for name in weights)
    graph.outputs[:] = [value for node in graph for value in node.outputs if value.name in outputs]
    return copy


def raisable(graph: ir.Graph) -> dict[str, ir.Value]:
    """The weights that may get a factor, by the name of their first layer's output, in graph order.

    They train; the last layer's, recurrent ones, those whose outputs are normalised and those that have a factor are
    not among them.
    """
    head = find_head(graph)
    found: dict[ir.Value, str] = {}
    for node, weight in weighted_layers(graph):
        bare = node is not head and node.op_type not in RECURRENT and not is_normalised(node.outputs[0])
        if bare and role_of(weight) is Role.PARAMETER and RAISED_KEY not in weight.metadata_props:
            found.setdefault(weight, str(node.outputs[0].name))
    return {value: weight for weight, value in found.items()}


def untrained(weights: Iterable[ir.Value]) -> bool:
    """Whether weights were drawn evenly between two bounds, all that are large enough to tell."""
    large = [data for data in map(data_of, weights) if data.size >= LEAST_ELEMENTS]
    return bool(large) and all(np.abs(data).max() <= LARGEST * np.sqrt(np.mean(np.square(data))) for data in large)


def first_input(graph: ir.Graph) -> str | None:
    """The name of what the first layer reads where the model computes it from its input."""
    node, weight = next(weighted_layers(graph))
    value = next(value for value in node.inputs if value is not None and value is not weight)
    return None if value.producer() is None else str(value.name)


def scaled(data: np.ndarray, factor: float) -> np.ndarray:
    """Weights times a factor, in float32."""
    return np.asarray(data * factor, np.float32)


def _remark(before: float, after: float, factors: Sequence[float]) -> str:
    return (
        f"under these untrained weights the logits of random samples differ by {before:.1g}, little to learn from: "
        f"{len(factors)} weights that no normalisation follows are {min(factors):.1f} to {max(factors):.1f} times as "
        f"large, which makes it {after:.1g} (--scaling none leaves them)"
    )
