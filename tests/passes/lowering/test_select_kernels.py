from collections.abc import Mapping

import onnx_ir as ir
import pytest

from sparcl_compile.interface.report import Times
from sparcl_compile.passes.core.marks import COMPRESSED_KEY, MASKED_KEY
from sparcl_compile.passes.lowering.choice.choose import own_transposes
from sparcl_compile.passes.lowering.choice.costs import estimate
from sparcl_compile.passes.lowering.choice.work import CONV, PRODUCT, Work
from sparcl_compile.passes.lowering.compress_weights import CompressWeights
from sparcl_compile.passes.lowering.select_kernels import SLOWER, WHOLE, Measure, SelectKernels, choices_of
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.small_model import forward_model, run_twice

PLACES = {"conv.weight": 12, "head.weight": 60}
SECOND = {CONV: Times(1.0, 0.1), PRODUCT: Times(0.1, 1.0)}
"""Measured: the convolution is faster sparse, the product dense."""


def masked_model() -> ir.Model:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=0.5)(model)
    return model


def measured(times: Mapping[str, Times]) -> Measure:
    return lambda work, batch: times[work.kind]


def select(model: ir.Model, times: Mapping[str, Times] = SECOND, places: Mapping[str, int] = PLACES) -> None:
    SelectKernels(places, places, 32, measured(times))(model)


def reasons(model: ir.Model) -> dict[str, str | None]:
    return {name: model.graph.initializers[name].metadata_props.get(MASKED_KEY) for name in PLACES}


def test_the_graph_stays_as_it_is() -> None:
    model = masked_model()
    before = run_twice(SelectKernels(PLACES, PLACES, 32), model)
    assert ir.to_onnx_text(model) == ir.to_onnx_text(before)
    assert len(choices_of(model)) == 2
    assert choices_of(model.clone()) == choices_of(model)


def test_the_faster_form_is_compressed_and_the_other_one_says_why() -> None:
    model = masked_model()
    select(model)
    assert reasons(model) == {"conv.weight": None, "head.weight": SLOWER}
    CompressWeights(PLACES)(model)
    held = model.graph.initializers
    assert held["conv.weight"].metadata_props[COMPRESSED_KEY] == "rows"
    assert "conv.weight.mask" not in held
    assert COMPRESSED_KEY not in held["head.weight"].metadata_props
    assert "head.weight.mask" in held
    assert [node.op_type for node in model.graph].count("Gemm") == 1


def test_choices_hold_estimated_and_measured_times() -> None:
    model = masked_model()
    select(model)
    conv, head = choices_of(model)
    assert (conv.weight, conv.reason, conv.measured) == ("conv.weight", "", SECOND[CONV])
    assert (head.weight, head.reason, head.measured) == ("head.weight", SLOWER, SECOND[PRODUCT])
    works = works_of_small_model()
    assert [conv.estimated, head.estimated] == [estimate(work, 32) for work in works]
    # The measured times are 2.2 seconds in all: the machine is that much slower than the table.
    speed = 2.2 / sum(one.dense + one.sparse for one in (conv.estimated, head.estimated))
    assert head.transposes == pytest.approx(own_transposes(works[1], 32) * speed)


def works_of_small_model() -> list[Work]:
    """The convolution is the first layer, in front of which nothing trains; the Gemm's weight is [I, O]."""
    ones = (1, 1)
    conv = Work(CONV, (2, 1, 3, 3), (4, 4), (4, 4), ones, (1, 1, 1, 1), ones, 12, 12, False)
    return [conv, Work(PRODUCT, (3, 32, 1, 1), ones, ones, ones, (0, 0, 0, 0), ones, 60, 60, True)]


def test_without_measured_times_the_estimates_decide() -> None:
    model = masked_model()
    SelectKernels(PLACES, PLACES, 32)(model)
    for choice in choices_of(model):
        assert choice.measured is None
        assert bool(choice.reason) == (choice.estimated.sparse + choice.transposes >= choice.estimated.dense)


def test_blocks_are_estimated_as_blocks() -> None:
    model, blocks = masked_model(), masked_model()
    SelectKernels(PLACES, PLACES, 32)(model)
    SelectKernels(PLACES, PLACES, 32, scheme="block4x1")(blocks)
    for single, block in zip(choices_of(model), choices_of(blocks), strict=True):
        assert block.estimated.sparse < single.estimated.sparse
        assert block.estimated.dense == single.estimated.dense


def test_a_layer_that_keeps_everything_stays_masked() -> None:
    model = masked_model()
    select(model, dict.fromkeys(SECOND, Times(1.0, 0.1)), {"conv.weight": 18, "head.weight": 60})
    assert reasons(model) == {"conv.weight": WHOLE, "head.weight": None}


def test_what_has_no_sparse_form_is_no_choice() -> None:
    model = masked_model()
    conv = next(node for node in model.graph if node.name == "conv")
    conv.attributes["group"] = ir.AttrInt64("group", 2)
    select(model)
    assert [choice.weight for choice in choices_of(model)] == ["head.weight"]
    assert reasons(model)["conv.weight"] is None
    CompressWeights(PLACES)(model)
    assert reasons(model)["conv.weight"] == "a convolution with groups"


def test_a_weight_without_places_is_no_choice() -> None:
    model = masked_model()
    select(model, places={"head.weight": 60})
    assert [choice.weight for choice in choices_of(model)] == ["head.weight"]


def test_a_graph_without_masks_is_left_alone() -> None:
    model = forward_model(dense=())
    assert not SelectKernels(PLACES, PLACES, 32).call(model).modified
    assert not choices_of(model)


def test_the_gradient_is_priced_where_it_is_computed() -> None:
    seen: list[Work] = []

    def note(work: Work, batch: int) -> Times:
        seen.append(work)
        return SECOND[work.kind]

    SelectKernels(PLACES, {"conv.weight": 3, "head.weight": 7}, 8, note)(masked_model())
    assert [(work.places, work.updated) for work in seen] == [(12, 3), (60, 7)]


def test_without_a_number_of_places_as_many_as_the_mask_keeps() -> None:
    kept = {"conv.weight": 9, "head.weight": 48}
    found, given = masked_model(), masked_model()
    run_twice(SelectKernels(), found)
    SelectKernels(kept, kept, 32)(given)
    assert choices_of(found) == choices_of(given)
