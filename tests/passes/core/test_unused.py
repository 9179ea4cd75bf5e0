"""Many nodes removed at once are those that onnx-ir's passes remove one by one."""

from collections.abc import Callable

import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass

from sparcl_compile.passes.core.unused import remove_identities, remove_unused

HEAD = '<ir_version: 10, opset_import: ["" : 18]>\n'
PAIRS = [(remove_unused, RemoveUnusedNodesPass), (remove_identities, IdentityEliminationPass)]


def compare(text: str, ours: Callable[[ir.Model], bool], theirs: type[ir.passes.PassBase]) -> ir.Model:
    one, other = ir.from_onnx_text(text), ir.from_onnx_text(text)
    assert ours(one) == theirs()(other).modified
    assert ir.to_proto(one) == ir.to_proto(other)
    return one


STEPS = st.lists(
    st.tuples(st.sampled_from(["Relu", "Identity", "Add"]), st.integers(0, 9), st.integers(0, 9)), max_size=9
)


@settings(max_examples=60)
@given(STEPS, st.sets(st.integers(0, 9), min_size=1, max_size=3))
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_random_graphs(
    ours: Callable[[ir.Model], bool],
    theirs: type[ir.passes.PassBase],
    steps: list[tuple[str, int, int]],
    ends: set[int],
) -> None:
    names, body = ["x", "z"], []
    for number, (op, first, second) in enumerate(steps):
        read = [names[first % len(names)], names[second % len(names)]][: 2 if op == "Add" else 1]
        body.append(f"v{number} = {op} ({', '.join(read)})")
        names.append(f"v{number}")
    body += [f"y{end} = {'Identity' if end % 2 else 'Neg'} ({names[end % len(names)]})" for end in sorted(ends)]
    outputs = ", ".join(f"float[N] y{end}" for end in sorted(ends))
    compare(f"{HEAD} g (float[N] x, float[4] z) => ({outputs}) {{ {' '.join(body)} }}", ours, theirs)


def test_optional_outputs_and_initializers_go_too() -> None:
    text = f"{HEAD} g (float[2, 3, 4, 4] x) => (float[2, 3, 2, 2] y) <float[1] w = {{1}}> {{ \
        y, index = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x) unread = Add (index, index) }}"
    model = compare(text, remove_unused, RemoveUnusedNodesPass)
    assert len(model.graph) == len(model.graph.node(0).outputs) == 1
    assert not model.graph.initializers


def test_a_number_is_known_from_either_side() -> None:
    text = f"{HEAD} g (float[N, M, 3] x) => (float[2, K, 3] y) <float[2, K, 3] b, float[N, 5, 3] a> {{ \
        a = Neg (x) b = Identity (a) y = Neg (b) }}"
    model = compare(text, remove_identities, IdentityEliminationPass)
    assert str(next(iter(model.graph)).outputs[0].shape) == "[2,5,3]"
