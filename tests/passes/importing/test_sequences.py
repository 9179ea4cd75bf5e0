"""What PyTorch's exporter writes for chunk and unbind: pieces of a list become slices, other lists are refused."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from sparcl_compile.interface.errors import UnsupportedOpsError
from sparcl_compile.passes.importing import verify
from tests.passes.importing.test_training_exports import logits
from tests.support.gradient_check import imported


def model(body: str, width: int) -> onnx.ModelProto:
    """Hidden values h [N, 6] and t [N, 2, 3], the body that makes z of them, and a classifier of three classes."""
    proto: onnx.ModelProto = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        classifier (float[N, 4] x) => (float[N, 3] y) {{
            h = Gemm(x, w)
            form = Constant <value = int64[3] {{0, 2, 3}}> ()
            t = Reshape(h, form)
            two = Constant <value = int64 {{2}}> ()
            first = Constant <value = int64 {{0}}> ()
            second = Constant <value = int64 {{1}}> ()
            uneven = Constant <value = int64[3] {{1, 3, 2}}> ()
            before = Constant <value = int64 {{-1}}> ()
            {body}
            y = Gemm(z, head)
        }}"""
    )
    draw = np.random.default_rng(1)
    weights = {"w": draw.normal(size=(4, 6)), "head": draw.normal(size=(width, 3))}
    proto.graph.initializer.extend(numpy_helper.from_array(w.astype("f4"), name) for name, w in weights.items())
    return proto


CASES = {
    "equal pieces": (
        "s = SplitToSequence <axis = -1> (h, two) a = SequenceAt(s, first) b = SequenceAt(s, second) z = Mul(a, b)",
        2,
    ),
    "pieces of their own lengths": ("s = SplitToSequence <axis = 1> (h, uneven) z = SequenceAt(s, second)", 3),
    "a short last piece": (
        "four = Constant <value = int64 {4}> () s = SplitToSequence <axis = 1> (h, four) z = SequenceAt(s, second)",
        2,
    ),
    "single places": ("s = SplitToSequence <axis = 1> (t) a = SequenceAt(s, second) z = Flatten(a)", 3),
    "single places without the axis": ("s = SplitToSequence <axis = 1, keepdims = 0> (t) z = SequenceAt(s, first)", 3),
}


@pytest.mark.parametrize("case", CASES)
def test_a_piece_of_a_list_is_a_slice(case: str) -> None:
    proto = model(*CASES[case])
    assert "SequenceAt" in {node.op_type for node in proto.graph.node}
    wanted = verify.run(proto, verify.random_input((5, 4), seed=7), "y")
    np.testing.assert_allclose(logits(proto), wanted, rtol=1e-5, atol=1e-6)


REFUSED = {
    "a place that is counted from the end": "s = SplitToSequence <axis = 1> (h, two) z = SequenceAt(s, before)",
    "a place that is computed": (
        "s = SplitToSequence <axis = 1> (h, two) n = SequenceLength(s) k = Sub(n, second) z = SequenceAt(s, k)"
    ),
    "pieces joined again": "s = SplitToSequence <axis = 1> (h, two) z = ConcatFromSequence <axis = 1> (s)",
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_lists_are_refused_by_name(case: str) -> None:
    with pytest.raises(UnsupportedOpsError, match=r"SplitToSequence \(.*: sequence or optional values"):
        imported(model(REFUSED[case], 2))
