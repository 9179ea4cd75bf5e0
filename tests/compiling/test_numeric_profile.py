import onnx
import pytest
from onnx import parser

from sparcl_compile.compiling.numeric_profile import profile_of
from sparcl_compile.interface.artifact import read_manifest
from sparcl_compile.interface.names import Role
from tests.conformance.kit import kits

MANIFESTS = {name: read_manifest(kit.artifact) for name, kit in kits().items()}


def model(body: str, signature: str = "float[N, 4] x) => (float[N, 4] y", functions: str = "") -> onnx.ModelProto:
    head = '<ir_version: 10, opset_import: ["": 18, "sparcl": 1, "own": 1]>'
    return parser.parse_model(f"{head} g ({signature}) {{ {body} }} {functions}")


EQUAL = {
    "moves": "y = Identity(x)",
    "one rounding each": "a = Mul(x, x) b = Div(a, x) c = Sqrt(b) y = Sub(c, x)",
    "a largest number": "a = ReduceMax<keepdims = 1>(x) y = Sub(x, a)",
    "places that are written": 'i = NonZero(x) y = ScatterND<reduction = "none">(x, i, x)',
    "zeros in any order": "z = Sub(x, x) s = ReduceSum(z) y = Add(x, s)",
}


@pytest.mark.parametrize("body", EQUAL.values(), ids=EQUAL)
def test_bits_that_leave_a_runtime_no_choice(body: str) -> None:
    assert profile_of(model(body), []) == "equal"


def test_whole_numbers_may_be_added_in_any_order() -> None:
    assert profile_of(model("y = ReduceSum(x)", "int64[N] x) => (int64[1] y"), []) == "equal"


CLOSE = {
    "a sum": "s = ReduceSum(x) y = Add(x, s)",
    "a mean": "s = ReduceMean(x) y = Add(x, s)",
    "a difference of two that are no zeros": "z = Sub(x, a) s = ReduceSum(z) y = Add(x, s)",
    "a product of matrices": "y = MatMul(x, x)",
    "a function that no standard gives": "y = Exp(x)",
    "a kernel of ours": "y = sparcl.SparseConv(x)",
    "places that are added to": 'i = NonZero(x) y = ScatterND<reduction = "add">(x, i, a)',
    "an operator that nobody listed": "y = Foo(x)",
}


@pytest.mark.parametrize("body", CLOSE.values(), ids=CLOSE)
def test_sums_and_the_unknown_promise_no_bits(body: str) -> None:
    two = "float[N, 4] x, float[N, 4] a) => (float[N, 4] y"
    assert profile_of(model(body, two), [Role.PARAMETER, None]) == "close"


@pytest.mark.parametrize("role", [Role.MASK, Role.GRADIENT_MASK, Role.INDEX, Role.CHANNEL, Role.GRADIENT_ROWS])
def test_what_is_chosen_by_sums_is_ranked(role: Role) -> None:
    assert profile_of(model(CLOSE["a sum"]), [Role.PARAMETER, role]) == "ranked"
    assert profile_of(model(EQUAL["moves"]), [role]) == "equal"


def test_the_nodes_of_functions_count() -> None:
    function = '<domain: "own", opset_import: ["": 18]> %s (a) => (b) { b = %s(a) }'
    body = "y = own.Add(x)"
    assert profile_of(model(body, functions=function % ("Add", "ReduceMean")), []) == "close"
    assert profile_of(model(body, functions=function % ("Add", "Abs")), []) == "equal"


def test_an_operator_of_another_domain_is_not_the_one_of_its_name() -> None:
    assert profile_of(model("y = own.Add(x)"), []) == "close"


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_graphs_of_an_artifact(name: str) -> None:
    graphs = MANIFESTS[name].graphs
    rounded = graphs.keys() & {"train", "eval", "measure", "summary"}
    assert {graphs[one].numeric_profile for one in rounded} == {"close"}
    exact = graphs.keys() & {"order", "standardise", "write_buffer", "crop_flip"}
    assert {graphs[one].profile("uint8") for one in exact} == {"equal"}
    assert graphs["sum_pixels"].numeric_profile == {"float32": "close", "uint8": "equal"}
    assert [graphs["sum_pixels"].profile(samples) for samples in ("float32", "uint8")] == ["close", "equal"]


def test_masks_of_single_weights_are_equal_and_those_of_channels_ranked() -> None:
    assert MANIFESTS["der"].graphs["update_masks"].numeric_profile == "equal"
    assert MANIFESTS["er_channels"].graphs["update_masks"].numeric_profile == "ranked"
