import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.graphs import update_gradient_masks
from sparcl_compile.graphs.masks import MaskedLayer
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.schemes.compressed import compress
from tests.support import harness

LAYERS = (MaskedLayer("conv.weight", (3, 2, 2, 2)), MaskedLayer("fc.weight", (4, 5)))
RECIPES = {"paper": (0.5, 1.0), "reference-code": (0.5, 0.0)}

Feeds = dict[str, harness.Array]


@pytest.fixture(scope="module", params=RECIPES)
def case(request: pytest.FixtureRequest) -> tuple[float, float, harness.Graph]:
    alpha, beta = RECIPES[request.param]
    return alpha, beta, harness.Graph(update_gradient_masks.build(LAYERS, alpha, beta))


def tensors(seed: int, ties: bool, density: float) -> Feeds:
    rng = np.random.default_rng(seed)
    feeds: Feeds = {}
    for layer in LAYERS:
        feeds[f"{layer.name}.mask"] = (rng.random(layer.shape) < density).astype(np.float32)
        for name in (f"{layer.name}.g1", f"{layer.name}.g2"):
            values = rng.integers(-1, 2, layer.shape) if ties else rng.normal(size=layer.shape)
            feeds[name] = values.astype(np.float32)
    return feeds


def test_form(case: tuple[float, float, harness.Graph]) -> None:
    graph = case[2]
    graph.check_form()
    inputs, outputs = graph.signature()
    assert inputs == {
        "keep": "int64[2]",
        **{f"conv.weight.{part}": "float[3,2,2,2]" for part in ("mask", "g1", "g2")},
        **{f"fc.weight.{part}": "float[4,5]" for part in ("mask", "g1", "g2")},
    }
    assert outputs == {
        "conv.weight.gradient_mask.next": "float[3,2,2,2]",
        "fc.weight.gradient_mask.next": "float[4,5]",
    }
    gradients = (f"{layer.name}.{g}" for layer in LAYERS for g in ("g1", "g2"))
    masks = (f"{layer.name}.mask" for layer in LAYERS)
    assert graph.roles == dict.fromkeys(gradients, Role.MEASURED) | dict.fromkeys(masks, Role.MASK)


@given(
    seed=st.integers(0, 2**20),
    ties=st.booleans(),
    density=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    keep=st.tuples(st.integers(-1, 30), st.integers(-1, 30)),
)
def test_the_largest_of_the_kept(
    case: tuple[float, float, harness.Graph], seed: int, ties: bool, density: float, keep: tuple[int, int]
) -> None:
    alpha, beta, graph = case
    feeds = tensors(seed, ties, density)
    found = graph({**feeds, "keep": np.array(keep)})
    for layer, most in zip(LAYERS, keep, strict=True):
        g1, g2 = (np.abs(feeds[f"{layer.name}.{g}"]).reshape(-1) for g in ("g1", "g2"))
        importance = np.float32(alpha) * g1 + np.float32(beta) * g2
        kept = np.flatnonzero(feeds[f"{layer.name}.mask"])
        wanted = sorted(kept, key=lambda i: (-importance[i], i))[: max(most, 0)]
        chosen = found[f"{layer.name}.gradient_mask.next"]
        assert np.flatnonzero(chosen).tolist() == sorted(wanted)
        assert set(np.unique(chosen)) <= {0.0, 1.0}


def test_gradients_of_zero_still_give_the_count(case: tuple[float, float, harness.Graph]) -> None:
    feeds = {name: np.zeros_like(value) for name, value in tensors(0, ties=False, density=1.0).items()}
    feeds |= {f"{layer.name}.mask": np.ones(layer.shape, np.float32) for layer in LAYERS}
    found = case[2]({**feeds, "keep": np.array([5, 20])})
    np.testing.assert_array_equal(found["conv.weight.gradient_mask.next"].reshape(-1), np.arange(24) < 5)
    assert found["fc.weight.gradient_mask.next"].all()


def test_a_subnormal_gradient_is_none(case: tuple[float, float, harness.Graph]) -> None:
    feeds = {name: np.zeros_like(value) for name, value in tensors(0, ties=False, density=1.0).items()}
    feeds |= {f"{layer.name}.mask": np.ones(layer.shape, np.float32) for layer in LAYERS}
    feeds["conv.weight.g1"].reshape(-1)[12:] = 1e-39
    feeds["conv.weight.g1"].reshape(-1)[20] = 1e-37
    found = case[2]({**feeds, "keep": np.array([3, 20])})["conv.weight.gradient_mask.next"]
    assert np.flatnonzero(found).tolist() == [0, 1, 20]


CHANNELS = (
    MaskedLayer("conv.weight", (3, 2, 2, 2), rows=2),
    MaskedLayer("fc.weight", (4, 5), output_axis=1, rows=3),
    MaskedLayer("grouped.weight", (6, 1, 2)),
)
KEEP = (2, 3, 4)


@pytest.fixture(scope="module")
def channel_graph() -> harness.Graph:
    return harness.Graph(update_gradient_masks.build(CHANNELS, 0.5, 1.0, channels=True))


def test_form_with_channels(channel_graph: harness.Graph) -> None:
    channel_graph.check_form()
    assert channel_graph.signature()[1] == {
        "conv.weight.gradient_rows.next": "int64[2]",
        "conv.weight.gradient_mask.next": "float[3,2,2,2]",
        "fc.weight.gradient_rows.next": "int64[3]",
        "fc.weight.gradient_mask.next": "float[4,5]",
        "grouped.weight.gradient_mask.next": "float[6,1,2]",
    }


@given(seed=st.integers(0, 2**20), ties=st.booleans(), density=st.sampled_from([0.0, 0.1, 0.4, 1.0]))
def test_the_channels_with_the_largest_sums(
    channel_graph: harness.Graph, seed: int, ties: bool, density: float
) -> None:
    rng = np.random.default_rng(seed)
    feeds: Feeds = {"keep": np.array(KEEP)}
    for layer in CHANNELS:
        mask = (rng.random(layer.shape) < density).astype(np.float32)
        feeds[f"{layer.name}.mask"] = mask
        for name in ("g1", "g2"):
            # Small whole numbers: sums are exact in any order, and ties are frequent.
            values = rng.integers(-2, 3, layer.shape) if ties else rng.integers(-999, 1000, layer.shape)
            feeds[f"{layer.name}.{name}"] = values.astype(np.float32) * mask
    found = channel_graph(feeds)
    for layer, keep in zip(CHANNELS, KEEP, strict=True):
        cgi = 0.5 * np.abs(feeds[f"{layer.name}.g1"]) + np.abs(feeds[f"{layer.name}.g2"])
        mask = np.moveaxis(feeds[f"{layer.name}.mask"], layer.output_axis, 0)
        total = np.moveaxis(cgi, layer.output_axis, 0).reshape(len(mask), -1).sum(axis=1)
        alive = mask.reshape(len(mask), -1).any(axis=1)
        wanted = sorted(sorted(range(len(mask)), key=lambda i: (not alive[i], -total[i], i))[:keep])
        if layer.rows is not None:
            assert found[f"{layer.name}.gradient_rows.next"].tolist() == wanted
        chosen = np.moveaxis(found[f"{layer.name}.gradient_mask.next"], layer.output_axis, 0)
        assert not chosen[[i for i in range(len(mask)) if i not in wanted]].any()
        np.testing.assert_array_equal(chosen[wanted], mask[wanted])


PLACES = 12
STORED = (MaskedLayer("conv.weight", (3, 2, 2, 2), places=PLACES), MaskedLayer("fc.weight", (4, 5)))


@cache
def recipe_graph(alpha: float, beta: float, whole: bool = False) -> harness.Graph:
    layers = [dataclasses.replace(layer, all_measured=whole and layer.places is not None) for layer in STORED]
    return harness.Graph(update_gradient_masks.build(layers, alpha, beta))


def test_form_with_a_compressed_layer() -> None:
    graph = recipe_graph(0.5, 1.0)
    graph.check_form()
    inputs, outputs = graph.signature()
    assert inputs == {
        "keep": "int64[2]",
        "conv.weight.rows": "int32[4]",
        **{f"conv.weight.{part}": "float[12]" for part in ("g1", "g2")},
        **{f"fc.weight.{part}": "float[4,5]" for part in ("mask", "g1", "g2")},
    }
    assert outputs == {
        "conv.weight.gradient_mask.next": "float[12]",
        "fc.weight.gradient_mask.next": "float[4,5]",
    }


@pytest.mark.parametrize("whole", [False, True])
@given(
    seed=st.integers(0, 2**20),
    ties=st.booleans(),
    live=st.sampled_from([0, 1, PLACES - 1, PLACES]),
    keep=st.tuples(st.integers(-1, 30), st.integers(-1, 30)),
)
def test_a_compressed_layer_chooses_what_the_masked_one_does(
    case: tuple[float, float, harness.Graph],
    whole: bool,
    seed: int,
    ties: bool,
    live: int,
    keep: tuple[int, int],
) -> None:
    """With ``whole`` the gradients of all weights are measured, as for masks that grow by them."""
    alpha, beta, masked = case
    full = {**tensors(seed, ties, density=0.5), "keep": np.array(keep)}
    mask = np.zeros(24, np.float32)
    mask[np.random.default_rng(seed).permutation(24)[:live]] = 1
    full["conv.weight.mask"] = mask.reshape(3, 2, 2, 2)
    feeds = {name: value for name, value in full.items() if not name.startswith("conv.weight")}
    for name in ("conv.weight.g1", "conv.weight.g2"):
        values, index, rows = compress(full[name], full["conv.weight.mask"], PLACES)
        # Padding is never read, whatever a kernel leaves there.
        values[live:] = np.nan
        feeds |= {name: full[name].reshape(-1) if whole else values, "conv.weight.rows": rows}
        feeds |= {"conv.weight.index": index} if whole else {}
    found, wanted = recipe_graph(alpha, beta, whole)(feeds), masked(full)
    chosen = found["conv.weight.gradient_mask.next"]
    assert int(chosen.sum()) == min(max(keep[0], 0), live)
    again, _, _ = compress(wanted["conv.weight.gradient_mask.next"], full["conv.weight.mask"], PLACES)
    np.testing.assert_array_equal(chosen, again)
    np.testing.assert_array_equal(found["fc.weight.gradient_mask.next"], wanted["fc.weight.gradient_mask.next"])


def test_form_with_a_compressed_layer_of_which_all_is_measured() -> None:
    inputs, _ = recipe_graph(0.5, 1.0, True).signature()
    assert [inputs[f"conv.weight.{part}"] for part in ("index", "rows", "g1", "g2")] == [
        "int32[12]",
        "int32[4]",
        "float[24]",
        "float[24]",
    ]


def test_whole_channels_of_a_compressed_layer_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not channels: conv\.weight$"):
        update_gradient_masks.build(STORED, 0.5, 1.0, channels=True)
