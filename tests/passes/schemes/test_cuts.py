"""The table of schemes: geometry, counts and first masks, against tests/reference/schemes.py."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.schemes.axes import axes_of
from sparcl_compile.passes.schemes.cuts import PATTERNS, NOfM, cut_for
from sparcl_compile.passes.schemes.names import check_scheme, check_sparsity, sparsity_for
from sparcl_compile.passes.schemes.runs import Runs, total
from sparcl_compile.passes.sparsifying.insert_weight_masks import magnitude_mask
from tests.reference import schemes as reference

SHAPES = st.one_of(
    st.tuples(st.tuples(*[st.integers(1, 9)] * 2, st.just(3), st.just(3)), st.just("oikk")),
    st.tuples(st.tuples(*[st.integers(1, 6)] * 2, *[st.integers(1, 3)] * 2), st.just("oikk")),
    st.tuples(st.tuples(*[st.integers(1, 9)] * 3), st.just("oik")),
    st.tuples(st.tuples(*[st.integers(1, 12)] * 2), st.sampled_from(["oi", "io"])),
    st.tuples(st.tuples(*[st.integers(1, 5)] * 3), st.sampled_from(["boi", "bio"])),
)
SCHEMES = st.sampled_from(["unstructured", "block4x1", "kernel", "pattern", "2:4", "1:4", "3:7", "1:2", "5:100"])


@pytest.mark.parametrize(
    ("op_type", "slot", "attributes", "rank", "axes"),
    [
        ("Conv", 1, {}, 4, "oikk"),
        ("Conv", 1, {"group": 2}, 3, "oik"),
        ("ConvTranspose", 1, {}, 4, "iokk"),
        ("Gemm", 1, {}, 2, "io"),
        ("Gemm", 1, {"transB": 1}, 2, "oi"),
        ("Gemm", 0, {}, 2, "oi"),
        ("Gemm", 0, {"transA": 1, "transB": 1}, 2, "io"),
        ("MatMul", 1, {}, 2, "io"),
        ("MatMul", 0, {}, 2, "oi"),
        ("MatMul", 1, {}, 3, "bio"),
        ("MatMul", 0, {}, 4, "bboi"),
    ],
)
def test_what_the_axes_stand_for(op_type: str, slot: int, attributes: dict[str, int], rank: int, axes: str) -> None:
    weight, other = ir.Value(name="w", shape=ir.Shape([2] * rank)), ir.Value(name="x")
    inputs = [weight, other] if slot == 0 else [other, weight]
    assert axes_of(ir.node(op_type, inputs, attributes=attributes), weight) == axes


@pytest.mark.parametrize(
    ("scheme", "shape", "axes", "groups", "sizes"),
    [
        ("unstructured", (3, 5), "", 15, {1}),
        ("block4x1", (6, 2, 3, 3), "oikk", 2 * 2 * 9, {4, 2}),
        ("block4x1", (5, 8), "io", 5 * 2, {4}),
        ("block4x1", (8, 5), "oi", 2 * 5, {4}),
        ("kernel", (6, 2, 5, 3), "oikk", 12, {15}),
        ("kernel", (6, 2, 1, 1), "oikk", 12, {1}),
        ("kernel", (6, 2), "io", 12, {1}),
        ("pattern", (6, 2, 3, 3), "oikk", 12, {9}),
        ("pattern", (6, 2, 5, 5), "oikk", 12, {25}),
        ("pattern", (3, 3), "io", 9, {1}),
        ("2:4", (2, 3, 3, 3), "oikk", 2 * 7, {4, 3}),
        ("2:4", (6, 5), "io", 5 * 2, {4, 2}),
        ("2:4", (6, 5), "oi", 6 * 2, {4, 1}),
        ("2:4", (6, 5, 3, 3), "iokk", 2 * 5 * 9, {4, 2}),
    ],
)
def test_groups_by_hand(scheme: str, shape: tuple[int, ...], axes: str, groups: int, sizes: set[int]) -> None:
    runs = cut_for(scheme, shape, axes).runs
    assert runs.count == groups
    members = runs.split(np.ones(runs.elements), 0).sum(axis=2)
    assert set(members.reshape(-1).tolist()) == sizes
    assert members.sum() == np.prod(shape)


def test_a_block_is_four_output_channels_at_one_place() -> None:
    weight = np.zeros((8, 2, 3, 3), np.float32)
    weight[5, 1, 2, 0] = 1.0
    mask = magnitude_mask(weight, 1, cut_for("block4x1", weight.shape, "oikk"))
    assert sorted(map(tuple, np.argwhere(mask).tolist())) == [(o, 1, 2, 0) for o in (4, 5, 6, 7)]


def test_the_eight_patterns_hold_the_centre_and_differ() -> None:
    assert len(set(PATTERNS)) == 8
    for pattern in PATTERNS:
        assert len(pattern) == 4
        assert 4 in pattern
    picture = ["".join("#" if i in pattern else "." for i in range(9)) for pattern in PATTERNS]
    assert picture == [
        "##.##....", ".##.##...", "...##.##.", "....##.##",
        ".#.###...", "...###.#.", ".#.##..#.", ".#..##.#.",
    ]  # fmt: skip


@given(shaped=SHAPES, scheme=SCHEMES, seed=st.integers(0, 2**20), ties=st.booleans(), data=st.data())
def test_the_first_mask_equals_the_reference(
    shaped: tuple[tuple[int, ...], str], scheme: str, seed: int, ties: bool, data: st.DataObject
) -> None:
    shape, axes = shaped
    cut = cut_for(scheme, shape, axes)
    rng = np.random.default_rng(seed)
    weight = (rng.integers(-2, 3, shape) if ties else rng.normal(size=shape)).astype(np.float32)
    kept = data.draw(st.integers(0, cut.levels(0.3, 0.0, 0.0).size))
    mask = magnitude_mask(weight, kept, cut)
    wanted = reference.initial_mask(reference.groups_of(scheme, shape, axes), weight.reshape(-1), kept)
    np.testing.assert_array_equal(mask.reshape(-1) > 0, wanted)


@given(
    shaped=SHAPES, scheme=SCHEMES, sparsity=st.floats(0.56, 0.99), recipe=st.sampled_from(["paper", "reference-code"])
)
def test_the_counts_equal_the_reference(
    shaped: tuple[tuple[int, ...], str], scheme: str, sparsity: float, recipe: reference.Recipe
) -> None:
    shape, axes = shaped
    sparsity = sparsity_for(scheme, None if ":" in scheme else sparsity, 0.8)
    density, share = 1.0 - sparsity, 0.005 if recipe == "paper" else 0.01
    expand = min(0.01, density / 2, 1.0 - density)
    found = cut_for(scheme, shape, axes).levels(density, min(share, density / 2), expand)
    wanted = reference.counts(reference.groups_of(scheme, shape, axes), sparsity, 0.8, recipe)
    assert (found.base, found.shrunk, found.grown) == (wanted.base, wanted.shrunk, wanted.grown)
    assert 0 <= found.shrunk <= found.base <= found.grown <= found.size


@given(shaped=SHAPES, scheme=SCHEMES)
def test_levels_in_elements_are_what_masks_hold(shaped: tuple[tuple[int, ...], str], scheme: str) -> None:
    shape, axes = shaped
    cut = cut_for(scheme, shape, axes)
    levels = cut.levels(0.4, 0.0, 0.0)
    weight = np.ones(shape, np.float32)
    if cut.runs.missing == 0 or isinstance(cut, NOfM):
        assert magnitude_mask(weight, levels.base, cut).sum() == cut.elements(levels.base)
    assert cut.elements(0) == 0
    assert cut.scheme == "pattern" or cut.elements(levels.size) == weight.size


@given(st.integers(1, 40), st.integers(0, 2**20))
def test_the_fixed_order_is_a_sum(size: int, seed: int) -> None:
    values = np.random.default_rng(seed).random((2, 3, size, 4)).astype(np.float32)
    found = total(values)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values.sum(axis=2, dtype=np.float64), rtol=1e-6)


@given(st.integers(1, 4), st.integers(1, 20), st.integers(1, 4), st.integers(1, 6))
def test_join_undoes_split(before: int, length: int, after: int, size: int) -> None:
    runs = Runs(before, length, after, min(size, length))
    values = np.arange(runs.elements)
    np.testing.assert_array_equal(runs.join(runs.split(values, -1)), values)


def test_rounded_quotas_by_hand() -> None:
    cut = cut_for("2:4", (1, 7), "oi")
    assert isinstance(cut, NOfM)
    assert cut.quotas() == (2, 2)  # 2 * 3 / 4 = 1.5, halves go up
    one = cut_for("1:4", (1, 5), "oi")
    assert isinstance(one, NOfM)
    assert one.quotas() == (1, 1)


def test_a_scheme_decides_the_sparsity_that_is_not_given() -> None:
    assert sparsity_for("2:4", None, 0.8) == 0.5
    assert sparsity_for("1:3", 0.667, 0.8) == 1 - 1 / 3
    assert sparsity_for("2:4", 0.7, 0.8) == 0.7
    assert (sparsity_for("kernel", None, 0.8), sparsity_for("kernel", 0.6, 0.8)) == (0.8, 0.6)


@pytest.mark.parametrize("scheme", ["4:4", "5:4", "0:4", "2:", "2:0", "blocks", "", "02:4", "2:4:8", "-1:4"])
def test_names_that_are_no_scheme(scheme: str) -> None:
    with pytest.raises(FieldError, match=r"^`scheme`"):
        check_scheme(scheme)


def test_densities_that_a_scheme_cannot_have() -> None:
    check_sparsity("pattern", 1 - 4 / 9, "uniform")
    check_sparsity("pattern", 0.5556, "erk")
    with pytest.raises(FieldError, match=r"^`sparsity` 0\.55: .* give 0\.5556 or more"):
        check_sparsity("pattern", 0.55, "uniform")
    with pytest.raises(FieldError, match=r"^`sparsity` 0\.8: does not go with `scheme` 1:3; give 0\.6667$"):
        check_sparsity("1:3", 0.8, "uniform")
    check_sparsity("1:3", 0.6667, "uniform")
    with pytest.raises(FieldError, match=r"^`distribution` erk: `scheme` 2:4"):
        check_sparsity("2:4", 0.5, "erk")
    with pytest.raises(FieldError, match=r"^`distribution` erk: a layer of 72 weights"):
        cut_for("pattern", (4, 2, 3, 3), "oikk").levels(0.5, 0.0, 0.0)
