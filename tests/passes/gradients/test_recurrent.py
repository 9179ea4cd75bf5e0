"""LSTM, GRU and RNN in all directions, against PyTorch."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.interface.errors import UnsupportedOpsError
from tests.support.gradient_rules import FEW, SEEDS, Operator, by_rule, check, normal

pytestmark = pytest.mark.builder_too

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
LIKE_PYTORCH = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""The gates in PyTorch's order by their numbers in ONNX's."""
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
BATCH_AXES = {0: 1, 5: 1, 6: 1}


@dataclasses.dataclass(frozen=True)
class Layer:
    """A recurrent layer."""

    op_type: str
    direction: str
    steps: int
    width: int
    hidden: int
    has_bias: bool
    has_first: bool
    through: tuple[int, ...]
    seed: int = 0

    @property
    def count(self) -> int:
        """Number of directions."""
        return DIRECTIONS[self.direction]

    def operator(self, rows: int = 3, **attributes: object) -> Operator:
        """The operator with random weights."""
        gates, count, seed = GATES[self.op_type] * self.hidden, self.count, self.seed
        inputs: list[np.ndarray | None] = [
            normal(self.steps, rows, self.width, seed=seed),
            normal(count, gates, self.width, seed=seed + 1),
            normal(count, gates, self.hidden, seed=seed + 2),
            normal(count, 2 * gates, seed=seed + 3) if self.has_bias else None,
        ]
        if self.has_first:
            states = 2 if self.op_type == "LSTM" else 1
            inputs += [None, *(normal(count, rows, self.hidden, seed=seed + 4 + n) for n in range(states))]
        return Operator(
            self.op_type,
            inputs,
            {"hidden_size": self.hidden, "direction": self.direction, **attributes},
            batch={number: axis for number, axis in BATCH_AXES.items() if number < len(inputs)},
            outputs=3 if self.op_type == "LSTM" else 2,
            through=self.through,
        )

    def by_torch(self, *arrays: torch.Tensor) -> list[torch.Tensor]:
        """The outputs by PyTorch's layer, a direction at a time."""
        x, w, r, *more = arrays
        bias = more.pop(0) if self.has_bias else None
        found = [
            self._one(x, w[n], r[n], None if bias is None else bias[n], [one[n : n + 1] for one in more], n)
            for n in range(self.count)
        ]
        return [
            torch.stack([one[0] for one in found], 1),
            *(torch.cat(parts) for parts in list(zip(*found, strict=True))[1:]),
        ]

    def _one(
        self,
        x: torch.Tensor,
        w: torch.Tensor,
        r: torch.Tensor,
        bias: torch.Tensor | None,
        first: list[torch.Tensor],
        n: int,
    ) -> list[torch.Tensor]:
        goes_back = n == 1 or self.direction == "reverse"
        layer = getattr(torch.nn, self.op_type)(self.width, self.hidden, bias=bias is not None).double()
        ours, theirs = (None, None) if bias is None else torch.chunk(bias, 2)
        given_weights = {"weight_ih_l0": w, "weight_hh_l0": r, "bias_ih_l0": ours, "bias_hh_l0": theirs}
        weights = {name: self._gates(one) for name, one in given_weights.items() if one is not None}
        states = (tuple(first) if self.op_type == "LSTM" else first[0]) if first else None
        arguments = (x.flip(0) if goes_back else x, states)
        y, last = torch.func.functional_call(layer, weights, arguments)
        y = y.flip(0) if goes_back else y
        return [y, *last] if self.op_type == "LSTM" else [y, last]

    def _gates(self, weight: torch.Tensor) -> torch.Tensor:
        parts = torch.chunk(weight, GATES[self.op_type])
        return torch.cat([parts[number] for number in LIKE_PYTORCH[self.op_type]])


@st.composite
def layers(draw: st.DrawFn, op_type: str) -> Layer:
    """Layers of any size and direction."""
    outputs = (0, 1, 2) if op_type == "LSTM" else (0, 1)
    through = tuple(sorted(draw(st.sets(st.sampled_from(outputs), min_size=1))))
    steps, width, hidden = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    direction = draw(st.sampled_from(list(DIRECTIONS)))
    return Layer(
        op_type, direction, steps, width, hidden, draw(st.booleans()), draw(st.booleans()), through, draw(SEEDS)
    )


@pytest.mark.parametrize("op_type", GATES)
def test_layers_of_any_size(op_type: str) -> None:
    attributes = {"linear_before_reset": 1} if op_type == "GRU" else {}

    @settings(FEW, max_examples=15)
    @given(layers(op_type))
    def holds(layer: Layer) -> None:
        check(layer.operator(**attributes), layer.by_torch, builder=False)

    holds()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("through", [(0,), (1,), (0, 1)])
def test_a_gru_that_resets_first(direction: str, through: tuple[int, ...]) -> None:
    """PyTorch has no such layer: its equations are written out."""
    layer = Layer("GRU", direction, 4, 2, 3, has_bias=True, has_first=True, through=through)

    def one(
        x: torch.Tensor, w: torch.Tensor, r: torch.Tensor, b: torch.Tensor, h: torch.Tensor, goes_back: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        (wz, wr, wn), (rz, rr, rn), b = torch.chunk(w, 3), torch.chunk(r, 3), torch.chunk(b, 6)
        steps = range(4)[::-1] if goes_back else range(4)
        found: dict[int, torch.Tensor] = {}
        for t in steps:
            z = torch.sigmoid(x[t] @ wz.T + h @ rz.T + b[0] + b[3])
            reset = torch.sigmoid(x[t] @ wr.T + h @ rr.T + b[1] + b[4])
            n = torch.tanh(x[t] @ wn.T + (reset * h) @ rn.T + b[2] + b[5])
            found[t] = h = (1 - z) * n + z * h
        return torch.stack([found[t] for t in range(4)]), h

    def function(x: torch.Tensor, *rest: torch.Tensor) -> list[torch.Tensor]:
        parts = [one(x, *(a[n] for a in rest), n == 1 or direction == "reverse") for n in range(layer.count)]
        return [torch.stack([y for y, _ in parts], 1), torch.stack([h for _, h in parts])]

    check(layer.operator(), function, builder=False)


def test_an_rnn_of_rectifiers() -> None:
    layer = Layer("RNN", "forward", 3, 2, 4, has_bias=True, has_first=False, through=(0,))

    def function(x: torch.Tensor, w: torch.Tensor, r: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        h, found = torch.zeros(3, 4, dtype=torch.float64), []
        for t in range(3):
            h = torch.relu(x[t] @ w[0].T + h @ r[0].T + b[0, :4] + b[0, 4:])
            found.append(h)
        return torch.stack(found).unsqueeze(1)

    check(layer.operator(activations=["Relu"]), function, builder=False)


def test_a_layer_that_leaves_its_states_out_gets_them() -> None:
    layer = Layer("LSTM", "forward", 3, 2, 4, has_bias=True, has_first=False, through=(1,))
    whole = by_rule(layer.operator(), {1: normal(1, 3, 4)})
    assert [one.shape for one in whole] == [(3, 3, 2), (1, 16, 2), (1, 16, 4), (1, 32)]


REFUSED = {
    "activations": ({"activations": ["Sigmoid", "Relu", "Tanh"]}, "has other activations than the standard's"),
    "clip": ({"clip": 3.0}, "has peepholes, a coupled gate or a clip"),
    "input_forget": ({"input_forget": 1}, "has peepholes, a coupled gate or a clip"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unusual_layers_are_refused(name: str) -> None:
    attributes, problem = REFUSED[name]
    layer = Layer("LSTM", "forward", 3, 2, 4, has_bias=True, has_first=False, through=(0,))
    with pytest.raises(UnsupportedOpsError, match=rf"LSTM \(tried\) {problem}, and cannot be trained"):
        by_rule(layer.operator(**attributes), {0: normal(3, 1, 3, 4)})


def test_sequences_of_different_lengths_are_refused() -> None:
    layer = Layer("GRU", "forward", 3, 2, 4, has_bias=True, has_first=False, through=(0,))
    whole = layer.operator()
    tried = dataclasses.replace(whole, inputs=[*whole.inputs, np.array([1, 2, 3], np.int32)])
    with pytest.raises(UnsupportedOpsError, match=r"GRU \(tried\) has sequences of different lengths, and cannot"):
        by_rule(tried, {0: normal(3, 1, 3, 4)})
