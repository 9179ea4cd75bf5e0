"""BatchNormApply gives what BatchNormTraining gave, to the bit, from the factor and the offset."""

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.runtime.kernels.sparse import Array, normal, run, session

FLOAT, HALF = TensorProto.FLOAT, TensorProto.BFLOAT16
STATISTICS = ["next_mean", "next_var", "saved_mean", "saved_inv_std"]

Shape = tuple[int, int, int, int]


def both(shape: Shape, seed: int, relu: bool, addend: bool, half: bool, threads: int = 2) -> tuple[Array, Array]:
    """The output of a normalisation and the second one, of bfloat16 x and addend to bfloat16 where ``half``."""
    feeds = {"x": normal(shape, seed) * 2 + 3, "addend": normal(shape, seed + 1)}
    for place, name in enumerate(("scale", "bias", "mean", "var"), start=2):
        feeds[name] = normal(shape[:1], seed + place)
    large = {"x": "x", "addend": "addend" if addend else ""}
    whole, short = ({"x": "", "addend": ""}, {n: v and f"{v}.16" for n, v in large.items()})
    floats, halves = (whole, short) if half else (large, whole)
    y, y16 = ("", "{}.16") if half else ("{}", "")
    training = [floats["x"], "scale", "bias", floats["addend"], "mean", "var", halves["x"], halves["addend"]]
    results = [y.format("y"), *STATISTICS, y16.format("y"), "factor", "offset"]
    again = [floats["x"], "factor", "offset", floats["addend"], halves["x"], halves["addend"]]
    nodes = [helper.make_node("Cast", [n], [f"{n}.16"], to=HALF) for n in ("x", "addend")]
    nodes += [
        helper.make_node("BatchNormTraining", training, results, domain="sparcl", relu=int(relu)),
        helper.make_node("BatchNormApply", again, [y.format("z"), y16.format("z")], domain="sparcl", relu=int(relu)),
    ]
    outputs = ["y", "z"]
    if half:
        nodes += [helper.make_node("Cast", [f"{n}.16"], [n], to=FLOAT) for n in outputs]
    inputs = [helper.make_tensor_value_info(n, FLOAT, None) for n in feeds]
    graph = helper.make_graph(nodes, "twice", inputs, [helper.make_tensor_value_info(n, FLOAT, None) for n in outputs])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("sparcl", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    first, second = session(model, threads).run(outputs, feeds)
    return np.asarray(first), np.asarray(second)


shapes = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 2, 7, 16, 33, 64]))


@settings(max_examples=60, deadline=None)
@given(shape=shapes, seed=st.integers(0, 100), relu=st.booleans(), addend=st.booleans(), half=st.booleans())
# Of more than 4 MiB: written past the caches.
@example(shape=(40, 30, 30, 32), seed=0, relu=True, addend=True, half=False)
@example(shape=(40, 27, 27, 37), seed=2, relu=True, addend=True, half=True)
def test_the_same_bits(shape: Shape, seed: int, relu: bool, addend: bool, half: bool) -> None:
    first, second = both(shape, seed, relu, addend, half)
    assert relu or first.any()
    np.testing.assert_array_equal(second.view(np.uint32), first.view(np.uint32))


@pytest.mark.parametrize("name", [b"AVX3", b"AVX2", b"SCALAR", b"EMU128", b"SSE2"])
def test_every_instruction_set(loaded: ctypes.CDLL, name: bytes) -> None:
    if not loaded.SparclUseTarget(name):
        pytest.skip(f"{name.decode()} is not in this build")
    first, second = both((5, 6, 7, 21), 0, relu=True, addend=True, half=False)
    np.testing.assert_array_equal(second, first)


def test_the_number_of_threads_changes_no_bit() -> None:
    one, three = (both((9, 20, 20, 32), 0, True, True, False, threads)[1] for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("factor", lambda a: a[1:], "BatchNormApply: factor has 2 numbers for 3 channels"),
        ("offset", lambda a: a[None], "BatchNormApply: offset has 2 axes, not 1"),
        ("addend", lambda a: a[:, 1:], r"BatchNormApply: addend is \[3, 1, 2, 16\] and x is \[3, 2, 2, 16\]"),
        ("x", lambda a: a[..., :0], r"BatchNormApply: (x is empty|addend is)"),
        ("x", lambda a: a[0], r"BatchNormApply: x has 3 axes, not 4"),
    ],
)
def test_wrong_input_is_refused(name: str, change: Any, message: str) -> None:
    shape = (3, 2, 2, 16)
    feeds = {"x": normal(shape, 0), "factor": normal((3,), 1), "offset": normal((3,), 2), "addend": normal(shape, 3)}
    with pytest.raises(Exception, match=message):
        run("BatchNormApply", feeds | {name: change(feeds[name])}, ["y"])


def test_an_empty_batch_is_refused() -> None:
    feeds = {"x": normal((3, 2, 2, 0), 0), "factor": normal((3,), 1), "offset": normal((3,), 2)}
    with pytest.raises(Exception, match=r"BatchNormApply: x is empty: \[3, 2, 2, 0\]"):
        run("BatchNormApply", feeds, ["y"])
