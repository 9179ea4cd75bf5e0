"""The scores of mask policies: the graph ``update_masks`` against NumPy, and SNIP's against PyTorch."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.graphs import update_masks
from sparcl_compile.graphs.masks import MaskedLayer, Rule
from sparcl_compile.passes.schemes.cuts import cut_for
from tests.reference import schemes as reference
from tests.reference.hashing import stream
from tests.reference.masks import importance, top
from tests.support import harness

SHAPE, AXES, SIZE = (6, 4, 3, 3), "oikk", 216
Feeds = dict[str, harness.Array]
GRADIENT = Rule(0.0, None, by_gradient=True)
EXAMPLES = settings(max_examples=20)


def graph(rule: Rule, scheme: str = "unstructured") -> harness.Graph:
    layer = MaskedLayer("w", SHAPE, cut_for(scheme, SHAPE, AXES))
    return harness.Graph(update_masks.build([layer], {"w": ["w.momentum"]}, rule, gradient_masks=False))


def tensors(seed: int, density: float, ties: bool = False) -> Feeds:
    rng = np.random.default_rng(seed)
    made = rng.integers(-2, 3, (4, *SHAPE)) if ties else rng.normal(size=(4, *SHAPE))
    feeds = dict(zip(("w", "w.g1", "w.g2", "w.momentum"), made.astype(np.float32), strict=True))
    feeds["w.mask"] = (rng.random(SHAPE) < density).astype(np.float32)
    feeds["w"] *= feeds["w.mask"]
    return feeds


def call(made: harness.Graph, feeds: Feeds, remove_to: int, grow_to: int) -> Feeds:
    counts = {"remove_to": np.array([remove_to]), "grow_to": np.array([grow_to]), "key": harness.key(5, 2)}
    given = {**feeds, **counts}
    return made({name: given[name] for name in made.inputs})


def flat(feeds: Feeds, *names: str) -> list[harness.Array]:
    return [feeds[name].reshape(-1) for name in names]


RIGL, SET = graph(GRADIENT), graph(Rule(0.0, None))


@given(seed=st.integers(0, 2**20), ties=st.booleans(), left=st.integers(0, SIZE), reached=st.integers(0, SIZE))
@EXAMPLES
def test_rigl_drops_by_magnitude_and_grows_by_gradient(seed: int, ties: bool, left: int, reached: int) -> None:
    feeds = tensors(seed, 0.4, ties)
    w, g, mask, momentum = flat(feeds, "w", "w.g1", "w.mask", "w.momentum")
    kept = top(np.abs(w), mask > 0, left)
    new = kept | top(np.abs(g), ~kept, max(reached - int(kept.sum()), 0))
    found = call(RIGL, feeds, left, reached)
    np.testing.assert_array_equal(found["w.mask.next"].reshape(-1) > 0, new)
    # A weight that is dropped and grown again starts at 0, and so does its momentum.
    np.testing.assert_array_equal(found["w.next"].reshape(-1), np.where(kept, w, 0))
    touched = ((mask > 0) & ~kept) | (new & ~kept)
    np.testing.assert_array_equal(found["w.momentum.next"].reshape(-1), np.where(touched, 0, momentum))


def test_rigl_takes_a_subnormal_gradient_for_none() -> None:
    feeds = tensors(0, 0.4)
    feeds["w.mask"], feeds["w.g1"] = np.zeros_like(feeds["w.mask"]), np.zeros_like(feeds["w.g1"])
    feeds["w.g1"].reshape(-1)[[-2, -1]] = 1e-39, 1e-37
    grown = call(RIGL, feeds, 0, 3)["w.mask.next"]
    assert np.flatnonzero(grown).tolist() == [0, 1, SIZE - 1]


@given(seed=st.integers(0, 2**20), left=st.integers(0, SIZE), reached=st.integers(0, SIZE))
@EXAMPLES
def test_set_drops_by_magnitude_and_grows_by_the_hash(seed: int, left: int, reached: int) -> None:
    feeds = tensors(seed, 0.4)
    w, mask = flat(feeds, "w", "w.mask")
    kept = top(np.abs(w), mask > 0, left)
    drawn = stream(5, "grow", 2, 0, np.arange(SIZE))
    new = kept | top(drawn, ~kept, max(reached - int(kept.sum()), 0))
    np.testing.assert_array_equal(call(SET, feeds, left, reached)["w.mask.next"].reshape(-1) > 0, new)


def test_set_reads_no_gradient() -> None:
    assert not [name for name in SET.inputs if name.endswith(("g1", "g2"))]


def test_mest_adds_half_the_gradient_to_the_magnitude() -> None:
    feeds = tensors(3, 0.5)
    w, g, mask = flat(feeds, "w", "w.g1", "w.mask")
    kept = top(importance(w, g, np.zeros_like(g), 0.5, 0.0), mask > 0, 50)
    made = graph(Rule(0.5, None))
    assert "w.g2" not in made.inputs
    np.testing.assert_array_equal(call(made, feeds, 50, 50)["w.mask.next"].reshape(-1) > 0, kept)
    assert (kept != top(np.abs(w), mask > 0, 50)).any()


def test_where_nothing_was_measured_weights_grow_by_the_high_bits_of_the_hash() -> None:
    feeds = {**tensors(1, 0.3), "w.g1": np.zeros(SHAPE, np.float32)}
    (mask,) = flat(feeds, "w.mask")
    drawn = stream(5, "grow", 2, 0, np.arange(SIZE)) >> 8
    wanted = (mask > 0) | top(drawn, mask == 0, 150 - int(mask.sum()))
    np.testing.assert_array_equal(call(RIGL, feeds, SIZE, 150)["w.mask.next"].reshape(-1) > 0, wanted)


def test_two_measured_gradients_grow_by_their_sum() -> None:
    feeds = tensors(2, 0.3)
    g1, g2, mask = flat(feeds, "w.g1", "w.g2", "w.mask")
    wanted = (mask > 0) | top(np.abs(g1 + g2), mask == 0, 20)
    found = call(graph(Rule(0.5, 1.0, by_gradient=True)), feeds, SIZE, int(mask.sum()) + 20)
    np.testing.assert_array_equal(found["w.mask.next"].reshape(-1) > 0, wanted)


@pytest.mark.parametrize("scheme", ["block4x1", "kernel"])
def test_groups_grow_by_the_sum_of_their_gradients(scheme: str) -> None:
    feeds = tensors(4, 0.0)
    groups = reference.groups_of(scheme, SHAPE, AXES)
    (g,) = flat(feeds, "w.g1")
    sums = reference.sums(np.abs(g), groups.members)
    chosen = groups.members[top(sums, np.ones(len(sums), bool), 7)]
    wanted = np.zeros(SIZE, bool)
    wanted[chosen[chosen >= 0]] = True
    np.testing.assert_array_equal(call(graph(GRADIENT, scheme), feeds, 0, 7)["w.mask.next"].reshape(-1) > 0, wanted)


@pytest.mark.parametrize("scheme", ["2:4", "1:3", "3:5"])
def test_each_group_of_n_of_m_grows_its_largest_gradients(scheme: str) -> None:
    feeds = tensors(6, 0.3)
    groups = reference.groups_of(scheme, SHAPE, AXES)
    w, g, mask = flat(feeds, "w", "w.g1", "w.mask")
    kept = top(np.abs(w), mask > 0, 20)
    wanted = kept.copy()
    for members, many in zip(groups.members, reference.room(groups), strict=True):
        inside = members[members >= 0]
        wanted[inside] |= top(np.abs(g[inside]), ~kept[inside], max(many - int(kept[inside].sum()), 0))
    found = call(graph(GRADIENT, scheme), feeds, 20, 20)["w.mask.next"].reshape(-1) > 0
    np.testing.assert_array_equal(found, wanted)


def test_snip_keeps_the_largest_gradients_by_the_mask() -> None:
    """The gradient by the mask, as the paper defines it, by PyTorch; the kept weights take over the norm."""
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(4, 6, 3, bias=False)
    x, target = torch.randn(8, 4, 5, 5), torch.randn(8, 6, 3, 3)
    c = torch.ones_like(conv.weight, requires_grad=True)
    torch.nn.functional.mse_loss(torch.nn.functional.conv2d(x, conv.weight.detach() * c), target).backward()
    torch.nn.functional.mse_loss(conv(x), target).backward()
    assert c.grad is not None
    assert conv.weight.grad is not None
    wanted = top(c.grad.abs().numpy().reshape(-1), np.ones(SIZE, bool), 50)
    w = conv.weight.detach().numpy()
    feeds = {"w": w, "w.g1": conv.weight.grad.numpy(), "w.mask": np.ones(SHAPE, np.float32)}
    feeds["w.momentum"] = np.zeros(SHAPE, np.float32)
    plain, scaled = (call(graph_of_snip(same_norm), feeds, 50, 50) for same_norm in (False, True))
    np.testing.assert_array_equal(plain["w.mask.next"].reshape(-1) > 0, wanted)
    np.testing.assert_array_equal(plain["w.next"].reshape(-1), np.where(wanted, w.reshape(-1), 0))
    gain = np.linalg.norm(w) / np.linalg.norm(plain["w.next"])
    np.testing.assert_allclose(scaled["w.next"], plain["w.next"] * gain, rtol=1e-5)
    assert gain > 1.1


def graph_of_snip(same_norm: bool) -> "Loose":
    return Loose(Rule(0.0, None, by_product=True, same_norm=same_norm))


class Loose(harness.Graph):
    """ONNX Runtime alone: a sum of squares in float32 may be added in any order."""

    def __init__(self, rule: Rule) -> None:
        layer = MaskedLayer("w", SHAPE)
        super().__init__(update_masks.build([layer], {"w": ["w.momentum"]}, rule, gradient_masks=False))

    def __call__(self, feeds: Feeds) -> Feeds:  # type: ignore[override]
        return dict(zip(self.outputs, self._session.run(self.outputs, feeds), strict=True))


def test_a_layer_whose_kept_weights_are_all_zero_stays_so() -> None:
    feeds = {name: np.zeros(SHAPE, np.float32) for name in ("w", "w.g1", "w.momentum")}
    found = call(graph_of_snip(True), {**feeds, "w.mask": np.ones(SHAPE, np.float32)}, 5, 5)
    assert not found["w.next"].any()
    assert found["w.mask.next"].sum() == 5
