import math

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.channels import Segment
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.analysis.channels.counts import kept_shape, unit_counts, unit_share
from sparcl_compile.passes.analysis.channels.plan import plan_of
from sparcl_compile.passes.analysis.channels.spaces import Channels, Space
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import DENSE_KEY
from sparcl_compile.passes.sparsifying.channel_masks import largest_units, outer_mask, unit_importance
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.small_model import changed_lines, forward_model, run_twice


def data(model: ir.Model, name: str) -> np.ndarray:
    return model.graph.initializers[name].const_value.numpy()


def test_every_weight_on_the_channels_is_read_through_its_mask() -> None:
    model = forward_model()
    before = run_twice(InsertWeightMasks(sparsity=0.5, scheme="channel"), model)
    assert changed_lines(before, model) == [
        '-[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight")',
        '+["conv.weight.mask_weight"] "conv.weight.masked" = Mul ("conv.weight", "conv.weight.mask")',
        '+[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight.masked")',
        '-[head] logits = Gemm (f, "head.weight", "head.bias")',
        '+["head.weight.mask_weight"] "head.weight.masked" = Mul ("head.weight", "head.weight.mask")',
        '+[head] logits = Gemm (f, "head.weight.masked", "head.bias")',
    ]
    assert [w.name for w in masked_layers(model)] == ["conv.weight", "head.weight"]
    assert DENSE_KEY not in model.graph.initializers["head.weight"].metadata_props


def test_a_removed_channel_is_zero_everywhere_and_the_least_important_one() -> None:
    model = forward_model()
    importance = np.abs(data(model, "conv.weight")).sum((1, 2, 3))
    importance += np.abs(data(model, "head.weight")).reshape(2, 16, 3).sum((1, 2))
    gone, stays = np.argsort(importance)
    before = {name: data(model, name).copy() for name in ("conv.weight", "head.bias", "bn.mean", "bn.var")}
    InsertWeightMasks(sparsity=0.5, scheme="channel")(model)
    for name in ("conv.weight", "conv.weight.mask", "bn.scale", "bn.bias"):
        assert not data(model, name)[gone].any(), name
        assert data(model, name)[stays].any(), name
    rows = data(model, "head.weight.mask").reshape(2, 16, 3)
    assert not rows[gone].any()
    assert rows[stays].all()
    np.testing.assert_array_equal(data(model, "conv.weight")[stays], before["conv.weight"][stays])
    for name in ("head.bias", "bn.mean", "bn.var"):
        np.testing.assert_array_equal(data(model, name), before[name])


def test_user_dense_keeps_the_channels_whole_and_nothing_left_is_refused() -> None:
    model = forward_model()
    model.graph.initializers["conv.weight"].metadata_props[DENSE_KEY] = "user"
    with pytest.raises(FieldError, match=r"^`scheme` channel: no channel can be removed: .*; give another `scheme`$"):
        InsertWeightMasks(sparsity=0.5, scheme="channel").call(model)


def test_another_distribution_is_refused() -> None:
    with pytest.raises(FieldError, match=r"^`distribution` erk: .*`scheme` channel"):
        InsertWeightMasks(sparsity=0.5, scheme="channel", distribution="erk").call(forward_model())


def test_sparsity_zero_has_no_channels() -> None:
    model = forward_model()
    InsertWeightMasks(sparsity=0.0, scheme="channel")(model)
    assert plan_of(model) is None
    assert [w.name for w in masked_layers(model)] == ["conv.weight"]


SIZES = {"a": 40, "b": 64, "c": 7}
AXES = {
    "first": {0: (Segment(0, "a", 40),)},
    "second": {0: (Segment(0, "b", 64),), 1: (Segment(0, "a", 40),)},
    "third": {0: (Segment(0, "c", 7),), 1: (Segment(0, "a", 40), Segment(40, None, 3), Segment(43, "b", 64))},
    "last": {1: (Segment(0, "c", 7, outer=2, inner=4),)},
}
SHAPES = {"first": (40, 3, 3, 3), "second": (64, 40, 3, 3), "third": (7, 107, 1, 1), "last": (5, 56)}
CHANNELS = Channels(tuple(Space(*item) for item in SIZES.items()), AXES, {}, {}, ())


@given(st.floats(0.02, 1.0))
def test_the_share_of_units_gives_the_density_of_the_weights(density: float) -> None:
    share = unit_share(CHANNELS, SHAPES, density)
    a, b, c = (share * size for size in SIZES.values())
    kept = a * 27 + a * b * 9 + c * (a + b + 3) + 5 * 8 * c
    assert kept == pytest.approx(density * sum(math.prod(shape) for shape in SHAPES.values()), rel=1e-6)
    counts = unit_counts(CHANNELS, SHAPES, density)
    assert counts == {space: max(1, math.floor(share * size + 0.5)) for space, size in SIZES.items()}
    shape = kept_shape(SHAPES["third"], AXES["third"], counts)
    assert shape == (counts["c"], counts["a"] + 3 + counts["b"], 1, 1)


def test_what_no_channel_reaches_limits_the_sparsity() -> None:
    axes = {"only": {0: (Segment(0, None, 8), Segment(8, "a", 2))}}
    channels = Channels((Space("a", 2),), axes, {}, {}, ())
    with pytest.raises(FieldError, match=r"^`sparsity` 0.9: whole channels reach 0.200"):
        unit_counts(channels, {"only": (10, 4)}, 0.1)


def test_importance_counts_rows_and_columns() -> None:
    rng = np.random.default_rng(0)
    values = {name: rng.random(shape).astype(np.float32) for name, shape in SHAPES.items()}
    found = unit_importance(CHANNELS, values)
    wanted = values["first"][4].sum() + values["second"][:, 4].sum() + values["third"][:, 4].sum()
    assert found["a"][4] == pytest.approx(wanted, rel=1e-5)
    wanted = values["second"][9].sum() + values["third"][:, 52].sum()
    assert found["b"][9] == pytest.approx(wanted, rel=1e-5)
    wanted = values["third"][2].sum() + values["last"].reshape(5, 2, 7, 4)[:, :, 2].sum()
    assert found["c"][2] == pytest.approx(wanted, rel=1e-5)


def test_ties_go_to_the_lower_unit() -> None:
    assert largest_units(np.array([1.0, 3.0, 1.0, 1.0]), 3).tolist() == [0, 1, 2]


def test_a_mask_is_the_outer_product_of_its_axes() -> None:
    flags = {"a": np.arange(40) < 2, "b": np.arange(64) < 3, "c": np.arange(7) == 6}
    mask = outer_mask(SHAPES["third"], AXES["third"], flags)
    assert mask.dtype == np.float32
    assert np.argwhere(mask).tolist() == [[6, column, 0, 0] for column in (0, 1, 40, 41, 42, 43, 44, 45)]
    assert np.flatnonzero(outer_mask(SHAPES["last"], AXES["last"], flags)[0]).tolist() == [
        24,
        25,
        26,
        27,
        52,
        53,
        54,
        55,
    ]
