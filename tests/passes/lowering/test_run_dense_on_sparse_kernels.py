import numpy as np
import onnx_ir as ir
import pytest

from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import role_of, set_role
from sparcl_compile.passes.lowering.compress_weights import CompressWeights
from sparcl_compile.passes.lowering.run_dense_on_sparse_kernels import RunDenseOnSparseKernels
from sparcl_compile.passes.sparsifying.insert_weight_masks import InsertWeightMasks
from tests.support.small_model import changed_lines, forward_model, run_twice


def test_text() -> None:
    model = forward_model()
    before = run_twice(RunDenseOnSparseKernels(), model)
    assert changed_lines(before, model) == [
        '-[conv] c = Conv <pads: ints = [1, 1, 1, 1]> (x, "conv.weight")',
        '+["conv.values"] "conv.values" = Reshape ("conv.weight", "every_place.flat")',
        '+["conv.batch_last"] "conv.batch_last" = Transpose <perm: ints = [1, 2, 3, 0]> (x)',
        '+["conv.sparse"] "conv.sparse" = sparcl.SparseConv <channels: int = 1, kernel_shape: ints = [3, 3], '
        "strides: ints = [1, 1], pads: ints = [1, 1, 1, 1], dilations: ints = [1, 1], block: int = 4> "
        '("conv.batch_last", "conv.values", "conv.weight.every_place", "conv.weight.every_row")',
        '+["conv.batch_first"] c = Transpose <perm: ints = [3, 0, 1, 2]> ("conv.sparse")',
    ]


def test_the_weight_stays_a_parameter_and_the_index_is_a_constant() -> None:
    model = forward_model()
    RunDenseOnSparseKernels().call(model)
    held = model.graph.initializers
    assert held["conv.weight"].shape == [2, 1, 3, 3]
    assert role_of(held["conv.weight"]) is Role.PARAMETER
    index, rows = (held[f"conv.weight.{name}"] for name in ("every_place", "every_row"))
    assert role_of(index) is role_of(rows) is None
    np.testing.assert_array_equal(index.const_value, np.arange(18))  # type: ignore[arg-type]
    np.testing.assert_array_equal(rows.const_value, [0, 9, 18])  # type: ignore[arg-type]


def test_a_frozen_convolution_is_written_too() -> None:
    model = forward_model()
    set_role(model.graph.initializers["conv.weight"], Role.FROZEN)
    assert RunDenseOnSparseKernels().call(model).modified


def test_a_masked_convolution_is_left_to_the_masks() -> None:
    model = forward_model(dense=())
    InsertWeightMasks(sparsity=0.5)(model)
    assert not RunDenseOnSparseKernels().call(model).modified
    CompressWeights({"conv.weight": 12, "head.weight": 60})(model)
    assert not RunDenseOnSparseKernels().call(model).modified


def test_where_all_masked_layers_are_faster_dense_so_are_the_others() -> None:
    model = forward_model(dense=("conv.weight",))
    InsertWeightMasks(sparsity=0.5)(model)
    assert not RunDenseOnSparseKernels()(model.clone()).modified
    CompressWeights({"head.weight": 60})(model)
    assert RunDenseOnSparseKernels().call(model).modified


@pytest.mark.parametrize("attribute", [ir.AttrInt64("group", 2), ir.AttrInt64s("strides", [17, 17])])
def test_what_has_no_sparse_form_stays(attribute: ir.Attr) -> None:
    model = forward_model()
    model.graph[0].attributes[attribute.name] = attribute
    assert not RunDenseOnSparseKernels().call(model).modified


def test_a_convolution_of_one_by_one_is_a_product_of_matrices_elsewhere() -> None:
    model = forward_model()
    weight = model.graph.initializers["conv.weight"]
    weight.shape = ir.Shape([2, 1, 1, 1])
    weight.const_value = ir.tensor(np.ones((2, 1, 1, 1), np.float32), name=weight.name)
    model.graph[0].attributes["pads"] = ir.AttrInt64s("pads", [0, 0, 0, 0])
    assert not RunDenseOnSparseKernels().call(model).modified


def test_a_computed_weight_stays() -> None:
    model = forward_model()
    conv = model.graph[0]
    doubled = ir.node("Add", [conv.inputs[1], conv.inputs[1]], name="doubled")
    doubled.outputs[0].name, doubled.outputs[0].shape = "doubled", ir.Shape([2, 1, 3, 3])
    model.graph.insert_before(conv, doubled)
    conv.replace_input_with(1, doubled.outputs[0])
    assert not RunDenseOnSparseKernels().call(model).modified
