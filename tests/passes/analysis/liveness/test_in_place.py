import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparcl_compile.passes.analysis.liveness.in_place import overwritable, places_of, unordered_readers
from sparcl_compile.passes.differentiating.attach_optimizer import AttachOptimizer
from sparcl_compile.passes.emitting.emit import optimizer_model
from tests.support.training_form import differentiated

HEADER = '<ir_version: 10, opset_import: ["" : 18]>\n'


def found(body: str, outputs: str = 'float[4] "w.next"', inputs: str = "float[4] w, float[4] g, float s") -> list[str]:
    text = f"{HEADER} g ({inputs}) => ({outputs}) {{ {body} }}"
    return overwritable(ir.from_proto(onnx.parser.parse_model(text)).graph)


@pytest.mark.parametrize(
    "body",
    [
        '"w.next" = Sub (w, g)',
        '"w.next" = Sub (g, w)',
        # All other readers of w come before.
        'a = Mul (w, s) b = Add (a, g) "w.next" = Sub (w, b)',
        # w itself is not read by the node that writes.
        'a = ReduceMean <keepdims = 0> (w) "w.next" = Add (g, a)',
        'a = Identity (w) b = Mul (a, g) "w.next" = Neg (b)',
    ],
)
def test_what_may_be_written_over(body: str) -> None:
    assert found(body) == ["w"]


@pytest.mark.parametrize(
    "body",
    [
        # An operator that does not work in place.
        '"w.next" = CumSum (w, s)',
        # A reader that may run later, one behind a view, and one that is another output.
        'a = Abs (w) "a.next" = Neg (a) "w.next" = Sub (w, g)',
        'v = Identity (w) "a.next" = Neg (v) "w.next" = Sub (w, g)',
        '"a.next" = Identity (w) "w.next" = Sub (w, g)',
        # Behind a Transpose, which a product of matrices takes over in a session: it then reads w itself.
        'v = Transpose (w) "a.next" = Neg (v) "w.next" = Sub (w, v)',
        # A place that ONNX Runtime's kernel may not write over.
        '"a.next" = Neg (g) "w.next" = Pow (g, w)',
    ],
)
def test_what_may_not_be_written_over(body: str) -> None:
    both = 'float[4] "w.next", float[4] "a.next"' if "a.next" in body else 'float[4] "w.next"'
    assert "w" not in found(body, both)


ROWS = 'float[4] "w.next"', "float[4] w, int64[2,1] i, float[2] r"


def test_rows_may_be_written_into_a_tensor() -> None:
    assert found('"w.next" = ScatterND (w, i, r)', *ROWS) == ["w"]


@pytest.mark.parametrize("body", ["v = Flatten (w) w.next = ScatterND (w, i, v)", "w.next = ScatterND (r, i, w)"])
def test_rows_of_the_tensor_itself_may_not(body: str) -> None:
    # They would be read while the others are written.
    assert found(body.replace("w.next", '"w.next"'), *ROWS) == []


def test_another_shape_or_type_has_other_memory() -> None:
    assert found('"w.next" = Add (w, g)', 'float[4] "w.next"', "float[1] w, float[4] g") == []
    assert found('"w.next" = Cast <to = 7> (w)', 'int64[4] "w.next"', "float[4] w") == []


def test_what_is_no_state_is_no_candidate() -> None:
    assert found("y = Sub (w, g)", "float[4] y") == []
    assert found('"v.next" = Sub (w, g)', 'float[4] "v.next"') == []


def test_an_accumulator_that_begins_anew_has_its_memory_for_the_gradient() -> None:
    name = "w_grad.accumulation.buffer"
    assert found(f'"{name}.next" = MatMul (g, g)', f'float[4] "{name}.next"') == [name]
    assert (
        found(f'"{name}.next" = MatMul (g, "{name}")', f'float "{name}.next"', f'float[4] g, float[4] "{name}"') == []
    )


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adamw", 0.0)])
def test_every_optimizer_writes_over_its_state(optimizer: str, momentum: float) -> None:
    _, model = differentiated()
    AttachOptimizer(optimizer=optimizer, momentum=momentum)(model)
    graph = optimizer_model(AttachOptimizer(), model).graph
    assert overwritable(graph) == [str(out.name).removesuffix(".next") for out in graph.outputs]
    assert len(graph.outputs) > 3


def ancestors(node: ir.Node) -> set[ir.Node]:
    producers = [value.producer() for value in node.inputs if value is not None]
    return {found for one in producers if one is not None for found in (one, *ancestors(one))}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=12), st.integers(0, 11))
def test_unordered_readers_are_those_that_no_path_leads_from(operands: list[tuple[int, int]], last: int) -> None:
    names, body = ["w", "g"], []
    for number, (first, second) in enumerate(operands):
        body.append(f"v{number} = Add ({names[first % len(names)]}, {names[second % len(names)]})")
        names.append(f"v{number}")
    text = f"{HEADER} g (float[4] w, float[4] g) => (float[4] {names[-1]}) {{ {' '.join(body)} }}"
    graph = ir.from_onnx_text(text).graph
    node = list(graph)[last % len(operands)]
    readers = dict.fromkeys(usage.node for usage in graph.inputs[0].uses())
    wanted = [reader for reader in readers if reader is not node and reader not in ancestors(node)]
    assert unordered_readers(graph.inputs[0], node, places_of(graph)) == wanted
