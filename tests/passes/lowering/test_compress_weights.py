import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.marks import COMPRESSED_KEY, MASKED_KEY
from sparcl_compile.passes.core.roles import role_of
from sparcl_compile.passes.core.values import data_of
from sparcl_compile.passes.lowering.compress_weights import CompressWeights
from sparcl_compile.passes.lowering.sparse.expand import expanded
from sparcl_compile.passes.schemes.compressed import decompress
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.passes.lowering.test_fold_channels import logits
from tests.support.small_model import changed_lines, forward_model, run_twice

PLACES = {"conv.weight": 12, "head.weight": 60}


def masked_model(sparsity: float = 0.5) -> ir.Model:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=sparsity)(model)
    return model


def test_text() -> None:
    model = masked_model()
    before = run_twice(CompressWeights({"conv.weight": 12}), model)
    assert changed_lines(before, model) == [
        '-["conv.weight.mask_weight"] "conv.weight.masked" = Mul ("conv.weight", "conv.weight.mask")',
        '-[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight.masked")',
        '+["conv.batch_last"] "conv.batch_last" = Transpose <perm: ints = [1, 2, 3, 0]> (x)',
        '+["conv.sparse"] "conv.sparse" = sparcl.SparseConv <channels: int = 1, kernel_shape: ints = [3, 3], '
        "strides: ints = [1, 1], pads: ints = [1, 1, 1, 1], dilations: ints = [1, 1]> "
        '("conv.batch_last", "conv.weight", "conv.weight.index", "conv.weight.rows")',
        '+["conv.batch_first"] c = Transpose <perm: ints = [3, 0, 1, 2]> ("conv.sparse")',
    ]
    shapes = {str(v.name): v.shape for v in (*model.graph.initializers.values(), *(n.outputs[0] for n in model.graph))}
    assert shapes["conv.batch_last"] == [1, 4, 4, "N"]
    assert shapes["conv.sparse"] == [2, 4, 4, "N"]
    assert shapes["conv.weight"] == [12]


@pytest.mark.parametrize(("scheme", "blocks"), [("unstructured", []), ("kernel", []), ("block4x1", [4, 4])])
def test_blocks_of_output_channels_are_told_to_the_kernels(scheme: str, blocks: list[int]) -> None:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=0.5, scheme=scheme)(model)
    CompressWeights(scheme=scheme)(model)
    nodes = [node for node in model.graph if node.op_type == "SparseConv"]
    assert len(nodes) == 2
    assert [node.attributes["block"].as_int() for node in nodes if "block" in node.attributes] == blocks


def test_the_stored_form_is_the_masked_weight() -> None:
    masked = masked_model()
    model = masked.clone()
    CompressWeights(PLACES)(model)
    held = model.graph.initializers
    for name in PLACES:
        weight, mask = (data_of(masked.graph.initializers[n]) for n in (name, f"{name}.mask"))
        values, index, rows = (data_of(held[n]) for n in (name, f"{name}.index", f"{name}.rows"))
        transposed = held[name].metadata_props[COMPRESSED_KEY] == "transposed"
        found = decompress(values, index, rows, weight.shape[::-1] if transposed else weight.shape)
        np.testing.assert_array_equal(found[0].T if transposed else found[0], weight * mask)
        np.testing.assert_array_equal(found[1].T if transposed else found[1], mask)
        assert len(values) == len(index) == PLACES[name]
        assert not values[rows[-1] :].any()
        assert f"{name}.mask" not in held
        assert role_of(held[f"{name}.index"]) is role_of(held[f"{name}.rows"]) is Role.INDEX


def test_a_gemm_is_a_convolution_of_one_by_one() -> None:
    model = masked_model()
    CompressWeights({"head.weight": 60})(model)
    nodes = {str(node.name): node for node in model.graph}
    assert [n for n in nodes if n.startswith("head.") and "mask" not in n] == [
        "head.batch_last",
        "head.plane",
        "head.sparse",
        "head.bias",
        "head.biased",
        "head.flat",
        "head.batch_first",
    ]
    sparse = nodes["head.sparse"]
    assert sparse.attributes["channels"].as_int() == 32
    assert list(sparse.attributes["kernel_shape"].as_ints()) == [1, 1]
    assert model.graph.outputs[0].name == "logits"
    assert data_of(model.graph.initializers["head.weight.rows"]).shape == (4,)


def test_evaluation_has_standard_operators_only() -> None:
    masked = masked_model()
    model = masked.clone()
    CompressWeights(PLACES)(model)
    plain = expanded(CompressWeights(), masked, model)
    assert {node.domain for node in plain.graph} == {""}
    x = np.random.default_rng(0).normal(size=(3, 1, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(logits(plain, x), logits(masked, x), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "attribute", "reason"),
    [
        ("conv", ir.AttrInt64("group", 2), "a convolution with groups"),
        ("head", ir.AttrFloat32("alpha", 0.5), "a scaled or transposed Gemm"),
    ],
)
def test_what_stays_masked_says_why(name: str, attribute: ir.Attr, reason: str) -> None:
    model = masked_model()
    node = next(node for node in model.graph if node.name == name)
    node.attributes[attribute.name] = attribute
    assert not CompressWeights({f"{name}.weight": 60})(model).modified
    assert model.graph.initializers[f"{name}.weight"].metadata_props[MASKED_KEY] == reason
    assert f"{name}.weight.mask" in model.graph.initializers


def test_an_unknown_height_keeps_the_mask() -> None:
    model = masked_model()
    model.graph.inputs[0].shape = ir.Shape(["N", 1, "H", 4])
    assert not CompressWeights({"conv.weight": 12})(model).modified
    reason = model.graph.initializers["conv.weight"].metadata_props[MASKED_KEY]
    assert reason == "sizes beside the batch are not known"


def test_two_readers_keep_the_mask() -> None:
    model = masked_model()
    conv = next(node for node in model.graph if node.name == "conv")
    twin = ir.node("Conv", conv.inputs, attributes=dict(conv.attributes), name="twin")
    twin.outputs[0].name = "twin"
    model.graph.insert_after(conv, twin)
    assert not CompressWeights({"conv.weight": 12})(model).modified
    assert model.graph.initializers["conv.weight"].metadata_props[MASKED_KEY] == "several nodes read it"


def test_too_few_places_are_refused() -> None:
    with pytest.raises(ValueError, match="9 kept weights for 8 places"):
        CompressWeights({"conv.weight": 8})(masked_model())


def test_without_a_number_of_places_as_many_as_the_mask_keeps() -> None:
    model = masked_model()
    kept = {name: np.count_nonzero(data_of(model.graph.initializers[f"{name}.mask"])) for name in PLACES}
    given = model.clone()
    run_twice(CompressWeights(), model)
    CompressWeights(kept)(given)
    assert ir.to_proto(model) == ir.to_proto(given)
    assert {name: len(data_of(model.graph.initializers[name])) for name in PLACES} == kept
