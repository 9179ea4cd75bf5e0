import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.passes.analysis.channels.plan import plan_of, set_plan, with_padding
from sparcl_compile.passes.core.values import constant
from sparcl_compile.passes.lowering.fold_channels import FoldChannels
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.small_model import changed_lines, forward_model, run_twice


def masked_model(sparsity: float = 0.5) -> ir.Model:
    """Two channels, of which the first stays: its weights are the larger ones."""
    model = forward_model()
    weight = model.graph.initializers["conv.weight"]
    data = weight.const_value.numpy() * np.array([3, 1], np.float32).reshape(2, 1, 1, 1)
    weight.const_value = ir.tensor(data, name="conv.weight")
    InsertWeightMasks(sparsity=sparsity, scheme="channel")(model)
    return model


def declared(model: ir.Model) -> dict[str, list[object]]:
    """The shape of every value in the text, by name."""
    values = [*model.graph.initializers.values(), *(out for node in model.graph for out in node.outputs)]
    return {str(v.name): [d if isinstance(d, int) else str(d) for d in v.shape or ()] for v in values}


def logits(model: ir.Model, x: np.ndarray) -> np.ndarray:
    return ReferenceEvaluator(ir.to_proto(model)).run(["logits"], {"x": x})[0]


def test_every_tensor_of_a_channel_shrinks_and_no_node_changes() -> None:
    model = masked_model()
    before = run_twice(FoldChannels(), model)
    assert not changed_lines(before, model)
    changed = {name: (declared(before)[name], shape) for name, shape in declared(model).items()}
    assert {name: pair for name, pair in changed.items() if pair[0] != pair[1]} == {
        "conv.weight": ([2, 1, 3, 3], [1, 1, 3, 3]),
        "conv.weight.mask": ([2, 1, 3, 3], [1, 1, 3, 3]),
        "conv.weight.masked": ([2, 1, 3, 3], [1, 1, 3, 3]),
        **{f"bn.{part}": ([2], [1]) for part in ("scale", "bias", "mean", "var", "mean.next", "var.next")},
        "c": (["N", 2, 4, 4], ["N", 1, 4, 4]),
        "b": (["N", 2, 4, 4], ["N", 1, 4, 4]),
        "r": (["N", 2, 4, 4], ["N", 1, 4, 4]),
        "f": (["N", 32], ["N", 16]),
        "head.weight": ([32, 3], [16, 3]),
        "head.weight.mask": ([32, 3], [16, 3]),
        "head.weight.masked": ([32, 3], [16, 3]),
    }


def test_the_folded_graph_computes_what_the_masked_one_does() -> None:
    model = masked_model()
    x = np.random.default_rng(0).normal(size=(3, 1, 4, 4)).astype(np.float32)
    wanted = logits(model, x)
    FoldChannels()(model)
    np.testing.assert_allclose(logits(model, x), wanted, rtol=1e-5, atol=1e-6)


def test_the_plan_says_which_unit_has_which_place() -> None:
    model = masked_model()
    FoldChannels()(model)
    plan = plan_of(model)
    assert plan is not None
    assert plan.folded
    (space,) = plan.channels.spaces
    state = plan.state()
    assert state[f"channels.{space.name}.index"].tolist() == [0]
    assert state[f"channels.{space.name}.live"].tolist() == [1.0]
    assert plan.stored_shape("head.weight") == (16, 3)
    assert plan.shapes["head.weight"] == (32, 3)
    assert plan_of(model.clone()) is plan


def test_room_for_every_unit_folds_nothing() -> None:
    model = masked_model()
    assert not FoldChannels(places={"conv.weight": 2})(model).modified
    assert plan_of(model).state()  # type: ignore[union-attr]


def test_other_masks_are_left_alone() -> None:
    for scheme, sparsity in (("unstructured", 0.5), ("channel", 0.0)):
        model = forward_model()
        InsertWeightMasks(sparsity=sparsity, scheme=scheme)(model)
        assert not FoldChannels().call(model).modified


def test_kept_units_come_first_and_the_lowest_others_pad() -> None:
    assert with_padding(np.array([2, 5]), 4, 8).tolist() == [0, 1, 2, 5]
    assert with_padding(np.array([0, 1]), 2, 8).tolist() == [0, 1]
    assert with_padding(np.array([1, 2, 3]), 2, 4).tolist() == [1, 2, 3]


@pytest.mark.parametrize(("values", "refused"), [([1.0, 2.0], True), ([2.0, 2.0], False)])
def test_a_constant_must_be_the_same_for_every_unit(values: list[float], refused: bool) -> None:
    model = masked_model()
    plan = plan_of(model)
    assert plan is not None
    constant(model.graph, "factor", np.array(values, np.float32))
    plan.channels.axes["factor"] = plan.channels.axes["bn.scale"]  # type: ignore[index]
    set_plan(model, plan)
    if not refused:
        assert FoldChannels().call(model).modified
        return
    with pytest.raises(FieldError, match=r"^fold_channels: the constant factor differs from channel to channel.*leave"):
        FoldChannels()(model)
