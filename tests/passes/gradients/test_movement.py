"""Operators that move data, against PyTorch or differences of onnx.reference, and ONNX Runtime's builder."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.errors import UnsupportedOpsError
from tests.support.gradient_rules import FEW, LENGTHS, SEEDS, SHAPES, Operator, by_rule, check, normal, spread

pytestmark = pytest.mark.builder_too


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def moved(op_type: str, *constants: np.ndarray | None, shape: tuple[int, ...], **attributes: object) -> Operator:
    """An operator on one tensor whose other inputs are constants."""
    fixed = tuple(n for n, one in enumerate(constants, 1) if one is not None)
    return Operator(op_type, [normal(*shape), *constants], attributes, fixed=fixed)


@FEW
@given(SHAPES, st.data())
def test_transpose(shape: tuple[int, ...], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    check(moved("Transpose", shape=shape, perm=order), lambda x: x.permute(order))


def test_transpose_without_an_order_turns_all_axes_round() -> None:
    check(moved("Transpose", shape=(3, 2, 4)), lambda x: x.permute(2, 1, 0), builder=False)


@pytest.mark.parametrize("target", [(0, -1), (-1, 2, 3, 2), (0, 6, 2), (0, 0, 3, 2), (-1,)])
def test_reshape(target: tuple[int, ...]) -> None:
    check(moved("Reshape", ints(*target), shape=(3, 2, 6)), lambda x, _: x.reshape(*_lengths(target)))


def _lengths(target: tuple[int, ...]) -> list[int]:
    return [(3, 2, 6)[axis] if length == 0 else length for axis, length in enumerate(target)]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_flatten(axis: int) -> None:
    rows = [1, 3, 6, 6][axis]
    check(moved("Flatten", shape=(3, 2, 4), axis=axis), lambda x: x.reshape(rows, -1))


@pytest.mark.parametrize("axes", [(1,), (-1,), (1, 3)])
def test_squeeze_and_unsqueeze(axes: tuple[int, ...]) -> None:
    check(moved("Squeeze", ints(*axes), shape=(3, 1, 4, 1)), lambda x, _: x.squeeze(axes))
    rank = 2 + len(axes)
    shape = [1 if axis in [a % rank for a in axes] else -1 for axis in range(rank)]
    shape[shape.index(-1)] = 3
    check(moved("Unsqueeze", ints(*axes), shape=(3, 4)), lambda x, _: x.reshape(shape))


@pytest.mark.parametrize(
    ("shape", "target"),
    [((3, 1, 4), (1, 2, 4)), ((3, 1), (3, 5)), ((1, 2), (3, 2)), ((2,), (3, 4, 2)), ((3, 2), (1, 1))],
)
def test_expand(shape: tuple[int, ...], target: tuple[int, ...]) -> None:
    tried = Operator("Expand", [normal(*shape), ints(*target)], fixed=(1,), batch={0: 0} if shape[0] == 3 else {})
    whole = np.broadcast_shapes(shape, target)
    check(tried, lambda x, _: x.expand(*whole))


@pytest.mark.parametrize("repeats", [(1, 2, 3), (1, 1, 2), (1, 4, 1), (1, 1, 1)])
def test_tile(repeats: tuple[int, ...]) -> None:
    check(moved("Tile", ints(*repeats), shape=(3, 2, 4)), lambda x, _: x.repeat(*repeats), builder=repeats != (1, 1, 1))


@FEW
@given(st.integers(-3, 2), st.lists(LENGTHS, min_size=1, max_size=4), SEEDS)
def test_concat(axis: int, lengths: list[int], seed: int) -> None:
    shapes = [[n if place == axis % 3 else whole for place, whole in enumerate((3, 2, 4))] for n in lengths]
    arrays = [normal(*shape, seed=seed + number) for number, shape in enumerate(shapes)]
    batch = {} if axis % 3 == 0 else {number: 0 for number in range(len(arrays))}
    check(Operator("Concat", arrays, {"axis": axis}, batch=batch), lambda *a: torch.cat(a, axis))


def test_concat_with_a_constant() -> None:
    tried = Operator("Concat", [normal(3, 2), normal(3, 1), normal(3, 4)], {"axis": 1}, fixed=(1,), batch={0: 0, 2: 0})
    check(tried, lambda *a: torch.cat(a, 1), builder=False)


@pytest.mark.parametrize("through", [(0, 1, 2), (0,), (1,), (0, 2)])
@pytest.mark.parametrize("axis", [1, -1])
def test_split(axis: int, through: tuple[int, ...]) -> None:
    """The builder forgets a part that nothing reads."""
    tried = Operator("Split", [normal(3, 6), ints(1, 3, 2)], {"axis": axis}, fixed=(1,), outputs=3, through=through)
    check(tried, lambda x, _: torch.split(x, [1, 3, 2], axis), builder=len(through) == 3)


@st.composite
def slices(draw: st.DrawFn) -> tuple[list[int], list[int], list[int], list[int]]:
    """Starts, ends, axes and steps for an input [3, 5, 6], none of which is empty."""
    axes = draw(st.sampled_from([[1], [2], [1, 2], [-1], [-1, 1]]))
    starts, ends, steps = [], [], []
    for axis in axes:
        length = (3, 5, 6)[axis]
        places = draw(st.slices(length).filter(lambda s, n=length: len(range(n)[s]) > 0))
        step = places.step or 1
        starts.append((0 if step > 0 else length - 1) if places.start is None else places.start)
        ends.append((10**9 if step > 0 else -(2**62)) if places.stop is None else places.stop)
        steps.append(step)
    return starts, ends, axes, steps


@FEW
@given(slices())
def test_slice(chosen: tuple[list[int], list[int], list[int], list[int]]) -> None:
    def function(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        for start, end, axis, step in zip(*chosen, strict=True):
            stop = None if end < -1000 else end
            x = x.index_select(axis, torch.tensor(range((3, 5, 6)[axis])[start:stop:step]))
        return x

    check(moved("Slice", *(ints(*one) for one in chosen), shape=(3, 5, 6)), function, builder=min(chosen[3]) > 0)


@pytest.mark.parametrize("end", [2**31 - 1, 2**63 - 1])
def test_slice_without_axes_and_steps(end: int) -> None:
    """An axis of unknown length may be taken as a whole."""
    check(moved("Slice", ints(0, 1), ints(end, 3), shape=(3, 5)), lambda x, *_: x[:, 1:3])


def test_slice_of_the_batch_is_refused() -> None:
    tried = moved("Slice", ints(0), ints(1), shape=(3, 5))
    with pytest.raises(UnsupportedOpsError, match=r"Slice \(tried\) cuts an axis of unknown length, and cannot"):
        by_rule(tried, {0: normal(1, 5)})


@pytest.mark.parametrize(
    ("pads", "axes"),
    [((0, 1, 2, 0, 0, 3), None), ((1, 0, 0, 2), (2, 1)), ((0, -1, 1, 0, -1, 0), None), ((2, 1), (-1,))],
)
def test_pad(pads: tuple[int, ...], axes: tuple[int, ...] | None) -> None:
    extra = [ints(*pads), np.array(0.5, np.float32)] + ([ints(*axes)] if axes else [])
    places = axes or (0, 1, 2)
    wide = {axis % 3: (pads[n], pads[n + len(places)]) for n, axis in enumerate(places)}
    order = [n for axis in (2, 1, 0) for n in wide.get(axis, (0, 0))]
    check(
        moved("Pad", *extra, shape=(3, 4, 5)),
        lambda x, *_: torch.nn.functional.pad(x, order, value=0.5),
        builder=axes is None,
    )


def test_a_reflecting_pad_is_refused() -> None:
    tried = moved("Pad", ints(0, 1, 0, 1), shape=(3, 4), mode="reflect")
    with pytest.raises(UnsupportedOpsError, match=r"Pad \(tried\) pads with a copy of what it holds, and cannot"):
        by_rule(tried, {0: normal(3, 6)})


@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize(
    "rows", [np.array(1), ints(0, -1, 1, 1), ints(0, 1, 1, 0).reshape(2, 2)], ids=["one", "four", "square"]
)
def test_gather(axis: int, rows: np.ndarray) -> None:
    """A row that is taken twice gets both gradients."""
    tried = moved("Gather", np.asarray(rows, np.int64), shape=(3, 2, 4), axis=axis)

    def function(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        place = axis % 3
        taken = x.index_select(place, rows.reshape(-1) % x.shape[place])
        return taken.reshape(*x.shape[:place], *rows.shape, *x.shape[place + 1 :])

    check(tried, function)


def test_gather_from_a_table_by_rows_that_are_fed() -> None:
    tried = Operator("Gather", [normal(5, 4), ints(0, 3, 3, 4, 0, 1).reshape(3, 2)], batch={1: 0})
    check(tried, lambda table, rows: table[rows])


def test_gather_by_rows_of_32_bits() -> None:
    rows = np.array([[0, 3], [3, 4], [0, -1]], np.int32)
    check(Operator("Gather", [normal(5, 4), rows], batch={1: 0}), lambda table, rows: table[rows.long()])


def test_gather_elements() -> None:
    rows = ints(0, 1, 1, 3, 2, 2).reshape(3, 2)
    tried = Operator("GatherElements", [normal(3, 4), rows], {"axis": 1}, batch={0: 0, 1: 0})
    check(tried, lambda x, rows: x.gather(1, rows), builder=False)


def test_gather_nd() -> None:
    rows = ints(0, 1, 2, 3, 0, 1).reshape(3, 2)
    tried = Operator("GatherND", [normal(3, 4, 2), rows], batch={0: 0})
    check(tried, lambda x, rows: x[rows[:, 0], rows[:, 1]], builder=False)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [1, -1])
def test_top_k(axis: int, largest: int) -> None:
    tried = Operator("TopK", [spread(3, 4, 5), ints(2)], {"axis": axis, "largest": largest}, fixed=(1,), outputs=2)
    check(tried, lambda x, _: torch.topk(x, 2, axis, bool(largest)))


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("offset", [None, -1, 1])
def test_trilu(upper: int, offset: int | None) -> None:
    k = None if offset is None else np.array(offset, np.int64)
    function = torch.triu if upper else torch.tril
    check(moved("Trilu", k, shape=(3, 4, 5), upper=upper), lambda x, *_: function(x, offset or 0))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str) -> None:
    check(moved("DepthToSpace", shape=(3, 8, 2, 3), blocksize=2, mode=mode), None, builder=False)


def test_space_to_depth() -> None:
    check(moved("SpaceToDepth", shape=(3, 2, 4, 6), blocksize=2), None, builder=False)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cum_sum(exclusive: int, reverse: int) -> None:
    tried = moved("CumSum", np.array(1, np.int64), shape=(3, 4), exclusive=exclusive, reverse=reverse)
    check(tried, None, builder=False)
