"""The promise of a graph's results across runtimes, read off its operators (docs/portability.md)."""

from collections.abc import Iterable

import onnx
import onnx.inliner
import onnx.shape_inference
from onnx import TensorProto

from sparcl_compile.interface.names import Role
from sparcl_compile.interface.specs import NumericProfile

EXACT = frozenset(
    (
        *("Abs", "Add", "And", "ArgMax", "ArgMin", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
        *("Cast", "Ceil", "Clip", "Compress", "Concat", "Constant", "ConstantOfShape", "DepthToSpace", "Div", "Equal"),
        *("Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Greater", "GreaterOrEqual"),
        *("Identity", "IsInf", "IsNaN", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "NonZero", "Not"),
        *("OneHot", "Or", "Pad", "Range", "ReduceMax", "ReduceMin", "Relu", "Reshape", "Round", "ScatterElements"),
        *("ScatterND", "Shape", "Sign", "Size", "Slice", "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Tile"),
        *("TopK", "Transpose", "Trilu", "Unique", "Unsqueeze", "Where", "Xor"),
    )
)
"""Operators that move, compare or count, and those of which IEEE 754 says every bit."""
SUMS = frozenset({"CumSum", "ReduceL1", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Sum"})
"""Operators that are exact in whole numbers only: a runtime adds numbers in the order that suits its processor."""
WHOLE = frozenset({TensorProto.BOOL, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64})
CHOSEN = frozenset({Role.MASK, Role.GRADIENT_MASK, Role.GRADIENT_ROWS, Role.INDEX, Role.CHANNEL})
"""Roles of state whose next value is a choice, by scores."""


def profile_of(model: onnx.ModelProto, updated: Iterable[Role | None]) -> NumericProfile:
    """The promise of a graph.

    1. ``equal``: its operators leave a runtime no choice (``EXACT``, and ``SUMS`` of whole numbers or of zeros).
    2. ``ranked``: it has others, sums say, and chooses by them (``CHOSEN``).
    3. ``close``: any other.

    An operator that is in no table makes a graph close: a promise of bits needs a reason.

    Args:
        model: the graph with its functions.
        updated: the roles of the state whose next values it gives.
    """
    if _is_exact(model):
        return "equal"
    return "close" if CHOSEN.isdisjoint(updated) else "ranked"


def _is_exact(model: onnx.ModelProto) -> bool:
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    nodes = model.graph.node
    if not all(_is_known(node) for node in nodes):
        return False
    sums = [node for node in nodes if _adds(node)]
    types = _types(model) if sums else {}
    zeros = {node.output[0] for node in nodes if node.op_type == "Sub" and node.input[0] == node.input[1]}
    return all(types.get(node.output[0]) in WHOLE or node.input[0] in zeros for node in sums)


def _is_known(node: onnx.NodeProto) -> bool:
    return not node.domain and (node.op_type in EXACT or node.op_type in SUMS)


def _adds(node: onnx.NodeProto) -> bool:
    """Whether it adds numbers up; what scatters may do so where places are named twice."""
    return node.op_type in SUMS or any(one.name == "reduction" and one.s != b"none" for one in node.attribute)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """The element types of all values by name."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
