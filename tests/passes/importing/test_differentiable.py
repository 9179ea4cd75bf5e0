"""Every operator that the table calls differentiable is differentiated, with a symbolic batch, and compared."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import role_of, set_role
from sparcl_compile.passes.importing.batch import BatchTracer
from sparcl_compile.passes.importing.differentiable import DIFFERENTIABLE, check_differentiable, training_path
from sparcl_compile.passes.importing.rewrites import REWRITES
from sparcl_compile.passes.importing.training import to_training_form
from tests.support.gradient_check import by_builder, imported, worst_gradient
from tests.support.zoo import ZOO

pytestmark = pytest.mark.training_build
TOLERANCE = 1e-3

# Each case: the shape of a row of the input, the node(s) as ONNX text from `h` to `y`, initializers. `h` is
# x * scale + shift with both trained, so that the gradient of the node's input is seen; `w*` are trained as well.
IMAGE, TOKENS = (2, 6, 6), (4, 6)
RANDOM = np.random.default_rng(3)


def w(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32)


def i(*values: Any) -> Any:
    return np.asarray(values, np.int64)


def f(value: float) -> Any:
    return np.asarray(value, np.float32)


Case = tuple[tuple[int, ...], str, dict[str, Any]]
UNARY = "Abs Cos Erf Exp Identity LeakyRelu Neg Relu Sigmoid Sin Tanh Softmax LogSoftmax"
POSITIVE = "Log Reciprocal Sqrt"
CASES: dict[str, Case] = {
    **{op: ((6,), f"y = {op}(h)", {}) for op in UNARY.split()},
    **{op: ((6,), f"a = Abs(h) b = Add(a, c) y = {op}(b)", {"c": f(0.5)}) for op in POSITIVE.split()},
    **{op: (IMAGE, f"y = {op}(h, w)", {"w": w(2, 1, 1)}) for op in ("Add", "Sub", "Mul")},
    "Add.rows": ((6,), "a = Relu(h) y = Add(a, h)", {}),
    "Mul.self": ((6,), "y = Mul(h, h)", {}),
    "Div": ((6,), "a = Exp(w) y = Div(h, a)", {"w": w(6)}),
    "Max": ((6,), "y = Max(h, w)", {"w": w(6)}),
    "Min": ((6,), "y = Min(h, w)", {"w": w(6)}),
    "Pow": ((6,), "y = Pow(h, c)", {"c": f(3)}),
    "Clip": ((6,), "y = Clip(h, c, d)", {"c": f(-0.5), "d": f(0.5)}),
    "Where": ((6,), "a = Greater(h, c) y = Where(a, h, d)", {"c": f(0), "d": f(1)}),
    "Cast": ((6,), "y = Cast<to = 1>(h)", {}),
    "MatMul": (TOKENS, "y = MatMul(h, w)", {"w": w(6, 3)}),
    "MatMul.left": (TOKENS, "y = MatMul(w, h)", {"w": w(3, 4)}),
    "MatMul.both": (TOKENS, "a = Transpose<perm = [0, 2, 1]>(h) y = MatMul(h, a)", {}),
    "Gemm": ((6,), "y = Gemm<transB = 1>(h, w, wb)", {"w": w(4, 6), "wb": w(4)}),
    "Conv": (IMAGE, "y = Conv<pads = [0, 0, 1, 1], strides = [2, 2]>(h, w, wb)", {"w": w(3, 2, 3, 3), "wb": w(3)}),
    "Conv.depthwise": (IMAGE, "y = Conv<group = 2, pads = [1, 1, 1, 1]>(h, w)", {"w": w(2, 1, 3, 3)}),
    "Conv.dilated": (IMAGE, "y = Conv<dilations = [2, 2]>(h, w)", {"w": w(3, 2, 3, 3)}),
    "MaxPool": (IMAGE, "y = MaxPool<kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>(h)", {}),
    "MaxPool.ceil": (IMAGE, "y = MaxPool<kernel_shape = [4, 4], strides = [4, 4], ceil_mode = 1>(h)", {}),
    "GlobalAveragePool": (IMAGE, "y = GlobalAveragePool(h)", {}),
    "BatchNormalization": (
        IMAGE,
        "y = BatchNormalization(h, w, wb, mean, var)",
        {"w": w(2), "wb": w(2), "mean": w(2), "var": np.abs(w(2)) + 1},
    ),
    "LayerNormalization": (TOKENS, "y = LayerNormalization(h, w, wb)", {"w": w(6), "wb": w(6)}),
    **{
        op: (IMAGE, f"y = {op}<keepdims = 0>(h, c)", {"c": i(2, 3)})
        for op in ("ReduceMean", "ReduceSum", "ReduceL2", "ReduceLogSumExp")
    },
    "ReduceMean.last": (TOKENS, "y = ReduceMean<keepdims = 1>(h, c)", {"c": i(-1)}),
    "Reshape": (IMAGE, "y = Reshape(h, c)", {"c": i(0, -1)}),
    "Reshape.minus": (IMAGE, "y = Reshape(h, c)", {"c": i(-1, 2, 36)}),
    "Flatten": (IMAGE, "y = Flatten(h)", {}),
    "Transpose": (IMAGE, "y = Transpose<perm = [0, 2, 3, 1]>(h)", {}),
    "Squeeze": (TOKENS, "a = ReduceMean(h, c) y = Squeeze(a, c)", {"c": i(1)}),
    "Unsqueeze": ((6,), "y = Unsqueeze(h, c)", {"c": i(1)}),
    "Expand": ((1, 6), "y = Expand(h, c)", {"c": i(1, 4, 6)}),
    "Concat": ((6,), "a = Relu(h) y = Concat<axis = 1>(a, h)", {}),
    "Split": ((6,), "a, b = Split<axis = 1>(h, c) y = Mul(a, b)", {"c": i(3, 3)}),
    "Slice": ((6,), "y = Slice(h, c, d, e, g)", {"c": i(0), "d": i(5), "e": i(1), "g": i(2)}),
    "Gather": ((6,), "y = Gather<axis = 1>(h, c)", {"c": i(0, -1, 2, 2)}),
    "Gather.table": ((4,), "a = Gather(w, c) y = Add(h, a)", {"w": w(5), "c": i(0, 2, 2, 4)}),
    "GatherElements": (TOKENS, "y = GatherElements<axis = 1>(h, c)", {"c": np.zeros((3, 2, 6), np.int64)}),
    "GatherND": (
        TOKENS,
        "y = GatherND<batch_dims = 1>(h, c)",
        {"c": i([[1, 2], [1, 2]], [[0, 3], [3, 0]], [[2, 5]] * 2)},
    ),
    "Pad": (IMAGE, "y = Pad(h, c, d)", {"c": i(0, 1, 1, 1, 0, 0, 2, 1), "d": f(2)}),
    "Tile": ((6,), "y = Tile(h, c)", {"c": i(1, 2)}),
    "TopK": ((6,), "y, k = TopK<axis = 1>(h, c)", {"c": i(2)}),
    "Trilu": ((4, 4), "y = Trilu(h)", {}),
}


def case_model(case: Case) -> ir.Model:
    shape, body, arrays = case
    sample = ", ".join(map(str, shape))
    text = f"""<ir_version: 10, opset_import: ["" : 18]> case (float[N, {sample}] x) => (float[N, K] y) {{
        p = Mul(x, scale)
        h = Add(p, shift)
        {body}
    }}"""
    model = ir.from_proto(onnx.parser.parse_model(text))
    arrays = {"scale": w(*shape) + 1, "shift": w(*shape), **arrays}
    free = {v.name: v for node in model.graph for v in node.inputs if v is not None and v.producer() is None}
    for number, node in enumerate(model.graph):
        node.name = f"n{number}"
    for name, array in arrays.items():
        value = free[name]
        value.const_value = ir.tensor(np.asarray(array), name=name)
        model.graph.register_initializer(value)
        if name in ("scale", "shift") or name.startswith("w"):
            set_role(value, Role.PARAMETER)
        if name in ("mean", "var"):
            set_role(value, Role.RUNNING_STAT)
    worlds = BatchTracer(model.graph, 1).trace()
    for node in model.graph:
        for value in node.outputs:
            fact = worlds.small.fact(value)
            assert fact is not None
            value.type, value.shape = ir.TensorType(ir.DataType(fact.dtype)), worlds.symbolic(value)
    to_training_form(model.graph)
    return model


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_builder_is_right(name: str) -> None:
    model = case_model(CASES[name])
    assert name.split(".")[0] in {node.op_type for node in model.graph}
    check_differentiable(model.graph)
    worst, parameter = worst_gradient(model, by=by_builder)
    assert worst < TOLERANCE, parameter


def test_every_operator_of_the_table_is_tried() -> None:
    assert {name.split(".")[0] for name in CASES} == DIFFERENTIABLE


@pytest.mark.parametrize("name", ZOO)
def test_imported_models_train_with_the_right_gradients(name: str) -> None:
    worst, parameter = worst_gradient(imported(ZOO[name](), target="ort-training"), by=by_builder)
    assert worst < TOLERANCE, parameter


# Body from `h`, a trained convolution of the input, to `y`; the import compares values, this file the gradients.
REWRITTEN: dict[str, tuple[int, str, dict[str, Any]]] = {
    "ThresholdedRelu": (18, "y = ThresholdedRelu<alpha = 0.3>(h)", {}),
    "Sum": (18, "a = Tanh(h) y = Sum(a, h, a)", {}),
    "Mean": (18, "a = Tanh(h) y = Mean(a, h, a)", {}),
    "MeanVarianceNormalization": (18, "y = MeanVarianceNormalization<axes = [1, 2, 3]>(h)", {}),
    "LpNormalization.1": (18, "y = LpNormalization<p = 1, axis = 1>(h)", {}),
    "LpNormalization.2": (18, "y = LpNormalization<axis = 2>(h)", {}),
    "ReduceMin": (13, "y = ReduceMin<axes = [1, 3]>(h)", {}),
    "ReduceMax": (18, "y = ReduceMax(h, c)", {"c": i(2, 3)}),
    "ReduceL1": (13, "y = ReduceL1<axes = [2], keepdims = 0>(h)", {}),
    "ReduceSumSquare": (18, "y = ReduceSumSquare(h, c)", {"c": i(2)}),
    "Slice": (18, "y = Slice(h, c, d, e, g)", {"c": i(-1), "d": i(-99), "e": i(2), "g": i(-2)}),
    "Pad": (18, 'y = Pad<mode = "reflect">(h, c)', {"c": i(0, 0, 1, 2, 0, 0, 0, 1)}),
    "Where": (18, "a = Greater(h, c) y = Where(a, h, w)", {"c": f(0), "w": w(6)}),
    "MatMul": (18, "y = MatMul(h, w)", {"w": w(6)}),
    "Einsum": (13, 'y = Einsum<equation = "nchw,kc->nkhw">(h, w)', {"w": w(3, 2)}),
    "Einsum.ellipsis": (13, 'y = Einsum<equation = "...w,wk->...k">(h, w)', {"w": w(6, 2)}),
    "CumSum": (14, "y = CumSum(h, c)", {"c": i(2)}),
    "CumSum.back": (14, "y = CumSum<exclusive = 1, reverse = 1>(h, c)", {"c": i(-1)}),
    "GridSample": (16, "a = Transpose<perm = [0, 2, 3, 1]>(h) b = Tanh(a) y = GridSample(h, b)", {}),
    "GridSample.border": (
        16,
        'a = Transpose<perm = [0, 3, 2, 1]>(h) y = GridSample<padding_mode = "border", align_corners = 1>(h, a)',
        {},
    ),
    **{
        f"AffineGrid.{corners}": (
            20,
            f"""a = Slice(h, c, d, k) b = ReduceMean<keepdims = 0>(a, e) s = Shape(h)
            g = AffineGrid<align_corners = {corners}>(b, s) y = GridSample(h, g)""",
            {"c": i(0), "d": i(3), "e": i(3), "k": i(2)},
        )
        for corners in (0, 1)
    },
    "LRN": (13, "y = LRN<size = 3, alpha = 0.5, beta = 0.5>(h)", {}),
    "DepthToSpace": (13, 'a = Concat<axis = 1>(h, h) y = DepthToSpace<blocksize = 2, mode = "CRD">(a)', {}),
    "SpaceToDepth": (13, "y = SpaceToDepth<blocksize = 3>(h)", {}),
    "Resize": (18, 'y = Resize<mode = "cubic">(h, , c)', {"c": np.asarray([1, 1, 1.5, 0.5], np.float32)}),
    "LayerNormalization": (17, "y = LayerNormalization(h, w)", {"w": w(6)}),
    "AveragePool": (13, 'y = AveragePool<kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_LOWER">(h)', {}),
    "MaxPool": (13, 'y = MaxPool<kernel_shape = [3, 3], strides = [2, 2], auto_pad = "SAME_UPPER">(h)', {}),
    "Conv": (13, 'y = Conv<strides = [2, 2], auto_pad = "SAME_LOWER">(h, w)', {"w": w(4, 2, 4, 3)}),
    "GlobalMaxPool": (9, "y = GlobalMaxPool(h)", {}),
    "Gelu": (20, 'y = Gelu<approximate = "tanh">(h)', {}),
}


def rewritten_model(opset: int, body: str, arrays: dict[str, Any]) -> onnx.ModelProto:
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]> case (float[N, 2, 6, 6] x) => (float[N, 5] logits) {{
        h = Conv(x, kernel)
        {body}
        flat = Flatten(y)
        logits = MatMul(flat, last)
    }}"""
    model = onnx.parser.parse_model(text)
    arrays = {"kernel": w(2, 2, 1, 1), **arrays}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in arrays.items())
    kept = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    (width,) = [v.type.tensor_type.shape.dim[1].dim_value for v in kept.value_info if v.name == "flat"]
    model.graph.initializer.append(onnx.numpy_helper.from_array(w(width, 5), "last"))
    return model


@pytest.mark.parametrize("name", REWRITTEN)
def test_rewritten_operators_keep_their_values_and_get_their_gradients(name: str) -> None:
    model = imported(rewritten_model(*REWRITTEN[name]), target="ort-training")
    assert name.split(".")[0] in REWRITES
    worst, parameter = worst_gradient(model, by=by_builder)
    assert worst < TOLERANCE, parameter


def test_all_operators_without_gradient_are_named_at_once() -> None:
    model = case_model(((6,), "a = Floor(h) b = Softsign(a) y = Ceil(b)", {}))
    with pytest.raises(UnsupportedOpsError, match=r"3 operator.*Floor \(n2\), Softsign \(n3\), Ceil \(n4\)"):
        check_differentiable(model.graph)


def test_operators_off_the_training_path_need_no_gradient() -> None:
    model = case_model(((6,), "a = Floor(x) y = Add(a, h)", {}))
    check_differentiable(model.graph)
    assert [node.op_type for node in training_path(model.graph)] == ["Mul", "Add", "Add"]


def test_a_trained_exponent_is_refused() -> None:
    model = case_model(((6,), "a = Exp(h) y = Pow(a, w)", {"w": w(6)}))
    with pytest.raises(UnsupportedOpsError, match="Pow"):
        check_differentiable(model.graph)


def test_what_is_rewritten_is_no_parameter() -> None:
    model = imported(ZOO["average_pools_fixed"](), target="ort-training")
    assert not [v.name for v in model.graph.initializers.values() if role_of(v) and "ones" in str(v.name)]
    assert "AveragePool" not in {node.op_type for node in model.graph}
    assert "AveragePool" in REWRITES
