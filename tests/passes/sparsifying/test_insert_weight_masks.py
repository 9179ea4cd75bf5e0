import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.layers import masked_layers
from sparcl_compile.passes.core.marks import AXES_KEY, DENSE_KEY, PASS_KEY
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.core.values import data_of
from sparcl_compile.passes.schemes.density import check_kept, densities, least
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks, channel_norm, magnitude_mask
from tests.support.gradient_check import imported
from tests.support.small_model import changed_lines, forward_model, run_twice
from tests.support.zoo import CLASSES, ZOO


def test_the_weight_is_read_through_its_mask() -> None:
    model = forward_model()
    before = run_twice(InsertWeightMasks(sparsity=0.5), model)
    assert changed_lines(before, model) == [
        '-[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight")',
        '+["conv.weight.mask_weight"] "conv.weight.masked" = Mul ("conv.weight", "conv.weight.mask")',
        '+[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight.masked")',
    ]


def test_the_mask_keeps_the_largest_and_the_stored_weight_is_masked() -> None:
    model = forward_model()
    weight = model.graph.initializers["conv.weight"].const_value.numpy().copy()
    InsertWeightMasks(sparsity=0.5)(model)
    mask = model.graph.initializers["conv.weight.mask"].const_value.numpy()
    assert mask.sum() == 9
    assert np.abs(weight[mask == 1]).min() >= np.abs(weight[mask == 0]).max()
    np.testing.assert_array_equal(model.graph.initializers["conv.weight"].const_value.numpy(), weight * mask)


def test_inserted_nodes_carry_the_pass_and_layers_their_index() -> None:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=0.5)(model)
    origins = {node.name: node.metadata_props.get(PASS_KEY) for node in model.graph}
    assert origins["conv.weight.mask_weight"] == "insert_weight_masks"
    assert origins["conv"] is None
    assert [w.name for w in masked_layers(model)] == ["conv.weight", "head.weight"]
    assert [v.name for v in values_with_role(model, Role.MASK)] == ["conv.weight.mask", "head.weight.mask"]


def test_a_weight_that_two_nodes_share_gets_one_mask() -> None:
    model = forward_model()
    conv = next(node for node in model.graph if node.name == "conv")
    twin = ir.node("Conv", [conv.inputs[0], conv.inputs[1]], attributes={"pads": [1, 1, 1, 1]}, name="twin")
    model.graph.insert_after(conv, twin)
    InsertWeightMasks(sparsity=0.5)(model)
    products = [node for node in model.graph if node.op_type == "Mul"]
    assert len(products) == 1
    assert conv.inputs[1] is twin.inputs[1] is products[0].outputs[0]


def test_sparsity_zero_inserts_nothing_but_names_the_layers() -> None:
    model = forward_model()
    before = run_twice(InsertWeightMasks(sparsity=0.0), model)
    assert not changed_lines(before, model)
    assert [w.name for w in masked_layers(model)] == ["conv.weight"]


@pytest.mark.parametrize(
    ("scheme", "sparsity", "kept"), [("block4x1", 0.5, 10), ("kernel", 0.5, 9), ("pattern", 0.75, 4), ("2:4", 0.5, 10)]
)
def test_a_scheme_inserts_the_same_graph_with_masks_of_whole_groups(scheme: str, sparsity: float, kept: int) -> None:
    model = forward_model()
    before = run_twice(InsertWeightMasks(sparsity=sparsity, scheme=scheme), model)
    assert changed_lines(before, model) == [
        '-[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight")',
        '+["conv.weight.mask_weight"] "conv.weight.masked" = Mul ("conv.weight", "conv.weight.mask")',
        '+[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight.masked")',
    ]
    weight, mask = (model.graph.initializers[n].const_value.numpy() for n in ("conv.weight", "conv.weight.mask"))
    assert mask.sum() == kept
    assert not weight[mask == 0].any()
    assert weight[mask == 1].all()


def test_a_scheme_notes_what_the_axes_stand_for() -> None:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=0.5, scheme="block4x1")(model)
    assert [w.metadata_props[AXES_KEY] for w in masked_layers(model)] == ["oikk", "io"]
    mask = model.graph.initializers["head.weight.mask"].const_value.numpy()
    assert mask.shape == (32, 3)
    assert set(mask.sum(axis=1).tolist()) == {0.0, 3.0}


def test_a_pattern_cannot_be_dense_under_erk() -> None:
    with pytest.raises(FieldError, match=r"^insert_weight_masks: `distribution` erk"):
        InsertWeightMasks(sparsity=0.5, distribution="erk", scheme="pattern")(forward_model())


def test_dense_weights_stay_without_a_mask() -> None:
    model = forward_model(dense=("head.weight", "conv.weight"))
    assert not InsertWeightMasks(sparsity=0.5)(model).modified
    assert model.graph.initializers["conv.weight"].metadata_props[DENSE_KEY]


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan")])
def test_a_sparsity_out_of_range_is_refused(sparsity: float) -> None:
    with pytest.raises(FieldError, match=r"^insert_weight_masks: `sparsity`") as caught:
        InsertWeightMasks(sparsity=sparsity)(forward_model())
    assert (caught.value.made_by, caught.value.field) == ("insert_weight_masks", "sparsity")
    assert caught.value.value is sparsity
    assert caught.value.mend


def test_an_unknown_distribution_is_refused() -> None:
    with pytest.raises(FieldError, match="uniform, erk"):
        InsertWeightMasks(distribution="even").call(forward_model())


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
def test_the_mask_has_exactly_the_kept_count_and_prefers_lower_indices(values: list[int], data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(values)))
    mask = magnitude_mask(np.array(values, np.float32), kept)
    by_rank = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    assert sorted(np.flatnonzero(mask)) == sorted(by_rank[:kept])


shapes = st.dictionaries(
    st.text("abc", min_size=1, max_size=4), st.tuples(*[st.integers(1, 64)] * 4), min_size=1, max_size=6
)


@given(shapes, st.floats(0.0, 0.99))
def test_erk_reaches_the_overall_sparsity(layers: dict[str, tuple[int, ...]], sparsity: float) -> None:
    share = densities(layers, sparsity, "erk")
    sizes = {name: float(np.prod(shape)) for name, shape in layers.items()}
    kept = sum(share[name] * size for name, size in sizes.items())
    assert all(0.0 < d <= 1.0 + 1e-9 for d in share.values())
    assert kept == pytest.approx((1.0 - sparsity) * sum(sizes.values()), rel=1e-6)


def test_erk_keeps_small_layers_denser() -> None:
    share = densities({"small": (16, 16, 3, 3), "large": (256, 256, 3, 3)}, 0.9, "erk")
    assert share["small"] > share["large"]


@pytest.mark.parametrize(
    ("shape", "classes", "wanted"),
    [((32, 16, 3, 3), 10, 10), ((32, 16, 3, 3), 1000, 16), ((64, 2, 3, 3), 10, 2), ((64, 1, 3, 3), 10, 1)],
)
def test_a_layer_passes_on_one_number_a_class_or_a_channel(shape: tuple[int, ...], classes: int, wanted: int) -> None:
    assert least(shape, "oikk", classes) == wanted


@pytest.mark.parametrize("few", [{"a": 4, "b": 9}, {"a": 5, "b": 5}])
def test_the_first_layer_that_keeps_too_little_is_refused_by_name(few: dict[str, int]) -> None:
    shapes, needed = {"a": (10, 10), "b": (10, 40)}, {"a": 5, "b": 6}
    (name,) = (name for name in few if few[name] < needed[name])
    with pytest.raises(
        FieldError, match=rf"`sparsity` 0\.99: layer {name} would keep {few[name]} of .* at most 0\.95$"
    ):
        check_kept(few, needed, shapes, 0.99)
    check_kept(needed, needed, shapes, 0.99)


@pytest.mark.parametrize("name", ["cnn_bn", "resnet", "mlp"])
def test_the_sparsity_that_the_refusal_names_is_taken(name: str) -> None:
    with pytest.raises(FieldError, match="would keep 0 of") as caught:
        InsertWeightMasks(sparsity=0.9999)(imported(ZOO[name]()))
    model = imported(ZOO[name]())
    InsertWeightMasks(sparsity=float(str(caught.value).rpartition(" ")[2]))(model)
    kept = [data_of(value).sum() for value in values_with_role(model, Role.MASK)]
    assert CLASSES - 1 <= min(kept) <= CLASSES + 1  # the residual network has layers of four channels


def test_the_norm_does_not_depend_on_the_order_of_the_sum() -> None:
    data = np.random.default_rng(0).normal(size=(64, 144)).astype(np.float32)
    every = np.ones_like(data)
    orders = [data, data[::-1], data[:, ::-1], np.sort(data)]
    assert len({float(np.sqrt(np.add.accumulate(np.square(one.astype(np.float64)).ravel())[-1])) for one in orders}) > 1
    assert len({channel_norm(one, every) for one in orders}) == 1


@pytest.mark.parametrize("scheme", ["unstructured", "kernel", "2:4"])
def test_random_masks_have_the_counts_of_the_largest_weights_and_go_by_none(scheme: str) -> None:
    largest, drawn, other = (imported(ZOO["resnet"]()) for _ in range(3))
    weights = {name: np.abs(data_of(value)) for name, value in drawn.graph.initializers.items()}
    InsertWeightMasks(sparsity=0.5, scheme=scheme)(largest)
    for model, seed in ((drawn, 3), (other, 4)):
        InsertWeightMasks(sparsity=0.5, scheme=scheme, first="random", seed=seed)(model)
    by_magnitude, masks, others = (
        {str(v.name): data_of(v) for v in values_with_role(model, Role.MASK)} for model in (largest, drawn, other)
    )
    assert {name: mask.sum() for name, mask in masks.items()} == {n: mask.sum() for n, mask in by_magnitude.items()}
    # Of each weight the larger half is kept as often as the smaller one, but for chance.
    above = [weights[name.removesuffix(".mask")] > np.median(weights[name.removesuffix(".mask")]) for name in masks]
    shares = [mask[half].mean() for mask, half in zip(masks.values(), above, strict=True)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert all((mask != others[name]).any() for name, mask in masks.items())
    # Nor do two layers begin alike.
    first, second = (masks[f"block.{name}.weight.mask"].reshape(-1)[:288] for name in ("conv1", "conv2"))
    assert np.mean(first == second) < 0.7
