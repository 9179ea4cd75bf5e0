"""An If whose condition is known is the branch that it takes; any other is refused by name."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.interface.names import Role
from sparcl_compile.passes.core.roles import values_with_role
from sparcl_compile.passes.importing import verify
from tests.support.gradient_check import imported
from tests.support.zoo import CLASSES

# As PyTorch writes x.squeeze(2) where it does not know the length: an If over a comparison of shapes.
SQUEEZE = """
    shape = Shape(h)
    two = Constant<value = int64 {2}>()
    length = Gather(shape, two)
    one = Constant<value = int64 {1}>()
    is_one = Equal(length, one)
    s = If(is_one)<
        then_branch = t () => (float[N, 4] a) { axes = Constant<value_ints = [2]>() a = Squeeze(h, axes) },
        else_branch = e () => (float[N, 4, 1] b) { b = Identity(h) }>
    logits = MatMul(s, last)
"""
INNER_WEIGHT = """
    yes = Constant<value = bool {1}>()
    flat = Flatten(h)
    logits = If(yes)<
        then_branch = t () => (float[N, 5] a)
            <float[4, 5] inner = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20}> { a = MatMul(flat, inner) },
        else_branch = e () => (float[N, 5] b) { b = MatMul(flat, last) }>
"""
NESTED = """
    yes = Constant<value = bool {1}>()
    flat = Flatten(h)
    logits = If(yes)<
        then_branch = t () => (float[N, 5] a) {
            no = Constant<value = bool {0}>()
            r = Relu(flat)
            a = If(no)<
                then_branch = tt () => (float[N, 5] c) { c = MatMul(flat, last) },
                else_branch = ee () => (float[N, 5] d) { r2 = Neg(r) d = MatMul(r2, last) }> },
        else_branch = e () => (float[N, 5] b) { r = Abs(flat) b = MatMul(r, last) }>
"""
BY_DATA = """
    total = ReduceSum<keepdims = 0>(h)
    zero = Constant<value = float {0}>()
    large = Greater(total, zero)
    flat = Flatten(h)
    logits = If(large)<
        then_branch = t () => (float[N, 5] a) { a = MatMul(flat, last) },
        else_branch = e () => (float[N, 5] b) { r = Neg(flat) b = MatMul(r, last) }>
"""
BY_BATCH = BY_DATA.replace(
    "total = ReduceSum<keepdims = 0>(h)", "shape = Shape<end = 1>(h) total = Cast<to = 1>(shape)"
)
RANDOM = """
    yes = Constant<value = bool {1}>()
    flat = Flatten(h)
    logits = If(yes)<
        then_branch = t () => (float[N, 5] a) { m = MatMul(flat, last) n = RandomNormalLike(m) a = Add(m, n) },
        else_branch = e () => (float[N, 5] b) { b = MatMul(flat, last) }>
"""


def model(body: str, batch: str = "N") -> onnx.ModelProto:
    text = f"""<ir_version: 8, opset_import: ["" : 18]> case (float[{batch}, 2, 1] x) => (float[{batch}, 5] logits) {{
        h = MatMul(kernel, x)
        {body}
    }}"""
    proto = onnx.parser.parse_model(text.replace("float[N,", f"float[{batch},"))
    random = np.random.default_rng(0)
    for name, shape in (("kernel", (4, 2)), ("last", (4, CLASSES))):
        proto.graph.initializer.append(numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name))
    return proto


@pytest.mark.parametrize("batch", ["N", "1", "4"])
@pytest.mark.parametrize("body", [SQUEEZE, INNER_WEIGHT, NESTED])
def test_a_known_branch_takes_the_place_of_the_if(body: str, batch: str) -> None:
    proto = model(body, batch)
    taken = imported(model(body, batch))
    assert "If" not in [node.op_type for node in taken.graph]
    assert taken.graph.outputs[0].shape == ir.Shape(["N", CLASSES])
    x = verify.random_input((4, 2, 1), seed=3)
    wanted = verify.run_by_definition(proto, x, "logits", batch=1 if batch == "1" else 4)
    np.testing.assert_allclose(verify.run(ir.to_proto(taken), x, "logits"), wanted, rtol=1e-4, atol=1e-5)


def test_a_weight_of_the_branch_is_trained() -> None:
    parameters = {str(value.name) for value in values_with_role(imported(model(INNER_WEIGHT)), Role.PARAMETER)}
    assert parameters == {"kernel", "inner"}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (BY_DATA, r"If \(.+\): which branch it takes depends on the contents of the input"),
        (BY_BATCH, r"If \(.+\): which branch it takes depends on the batch size"),
        (RANDOM, r"RandomNormalLike \(.+\): a platform's random generator"),
    ],
)
def test_an_if_of_which_nothing_is_known_is_refused(body: str, problem: str) -> None:
    with pytest.raises(UnsupportedOpsError, match=problem):
        imported(model(body.replace("zero = Constant<value = float {0}>()", "zero = Constant<value = float {2.5}>()")))
