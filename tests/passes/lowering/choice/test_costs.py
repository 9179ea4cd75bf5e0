import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.passes.lowering.choice.costs import (
    COUNTS,
    DENSE,
    POINTWISE,
    SPARSE,
    SPATIAL,
    Times,
    estimate,
    kind_of,
    taken_in_seconds,
    transpose_seconds,
)
from sparcl_compile.passes.lowering.choice.work import CONV, PRODUCT, Work


def convolution(outputs: int, channels: int, kernel: int, size: int, density: float = 0.1) -> Work:
    """A square convolution that keeps the size of its planes."""
    shape, plane = (outputs, channels, kernel, kernel), (size, size)
    places = max(1, round(outputs * channels * kernel * kernel * density))
    return Work(CONV, shape, plane, plane, (1, 1), (kernel // 2,) * 4, (1, 1), places, places, True)


def product(outputs: int, channels: int, tokens: int, density: float = 0.1) -> Work:
    places = max(1, round(outputs * channels * density))
    plane = (1, tokens)
    return Work(PRODUCT, (outputs, channels, 1, 1), plane, plane, (1, 1), (0,) * 4, (1, 1), places, places, True)


widths, sizes, densities = st.integers(1, 512), st.integers(1, 56), st.floats(0.0, 1.0)
works = st.one_of(
    st.builds(convolution, widths, widths, st.sampled_from([1, 3, 5, 7]), sizes, densities),
    st.builds(product, st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 200), densities),
)
batches = st.integers(1, 300)


def both(times: Times) -> tuple[float, float]:
    return times.dense, times.sparse


@given(works, batches)
def test_blocks_take_less_time_than_single_weights(work: Work, batch: int) -> None:
    single, blocks = (estimate(dataclasses.replace(work, blocks=blocks), batch) for blocks in (False, True))
    assert blocks.dense == single.dense
    assert 0.75 * single.sparse < blocks.sparse < single.sparse


def test_a_gradient_mask_leaves_blocks_the_weight_gradient_of_single_weights() -> None:
    work = dataclasses.replace(convolution(64, 64, 3, 16), input_gradient=False)
    masked = dataclasses.replace(work, updated=work.places // 2)
    saved = [
        estimate(one, 32).sparse - estimate(dataclasses.replace(one, blocks=True), 32).sparse for one in (work, masked)
    ]
    assert 0.0 < saved[1] < saved[0]


@given(works, batches, batches)
def test_a_larger_batch_is_never_cheaper(work: Work, one: int, other: int) -> None:
    less, more = (estimate(work, batch) for batch in sorted((one, other)))
    assert less.dense <= more.dense
    assert less.sparse <= more.sparse


@given(works, batches, st.data())
def test_more_places_are_never_cheaper_and_dense_does_not_see_them(work: Work, batch: int, data: st.DataObject) -> None:
    more = dataclasses.replace(work, places=data.draw(st.integers(work.places, work.weights)))
    assert estimate(work, batch).sparse <= estimate(more, batch).sparse
    assert estimate(work, batch).dense == estimate(more, batch).dense
    fewer = dataclasses.replace(work, updated=data.draw(st.integers(0, work.updated)))
    assert estimate(fewer, batch).sparse <= estimate(work, batch).sparse


@given(works, batches)
def test_all_times_are_positive_and_the_input_gradient_costs(work: Work, batch: int) -> None:
    assert min(both(estimate(work, batch))) > 0
    first = estimate(dataclasses.replace(work, input_gradient=False), batch)
    assert all(a <= b for a, b in zip(both(first), both(estimate(work, batch)), strict=True))


@given(st.integers(32, 512), st.integers(32, 512), st.sampled_from([3, 5, 7]), st.integers(8, 56), st.floats(0, 0.1))
def test_sparse_is_faster_at_low_density_on_large_planes(
    outputs: int, channels: int, kernel: int, size: int, density: float
) -> None:
    times = estimate(convolution(outputs, channels, kernel, size, density), 32)
    assert times.sparse < times.dense


@given(st.integers(64, 512), st.integers(64, 512), st.sampled_from([1, 3, 5, 7]), st.integers(4, 56))
def test_dense_is_faster_where_everything_is_kept(outputs: int, channels: int, kernel: int, size: int) -> None:
    times = estimate(convolution(outputs, channels, kernel, size, 1.0), 32)
    assert times.dense < times.sparse


@given(st.integers(128, 4096), st.integers(128, 4096), st.integers(1, 200))
def test_a_full_product_is_faster_dense(outputs: int, channels: int, tokens: int) -> None:
    times = estimate(product(outputs, channels, tokens, 1.0), 32)
    assert times.dense < times.sparse


def test_a_part_of_a_vector_costs_as_much_as_a_whole_one() -> None:
    work = convolution(16, 16, 3, 8)
    assert estimate(work, 17).sparse == estimate(work, 32).sparse
    assert estimate(work, 17).dense < estimate(work, 32).dense


@pytest.mark.parametrize(
    ("work", "kind"),
    [(convolution(4, 4, 1, 8), POINTWISE), (convolution(4, 4, 3, 8), SPATIAL), (product(4, 4, 1), PRODUCT)],
)
def test_kinds(work: Work, kind: str) -> None:
    assert kind_of(work) == kind
    assert kind in DENSE
    assert kind in SPARSE


def test_the_tables_hold_rates_of_what_is_counted() -> None:
    for table in (DENSE, SPARSE):
        for rates in table.values():
            assert rates.keys() <= COUNTS.keys()
            assert min(rates.values()) > 0


def test_transposes_and_what_is_taken_in() -> None:
    assert 0 < transpose_seconds(10) < transpose_seconds(10**6) < transpose_seconds(10**6, tokens=64)
    assert taken_in_seconds("Relu", 10**6) > taken_in_seconds("Relu", 1) > 0
    assert taken_in_seconds("", 10**6) == 0
