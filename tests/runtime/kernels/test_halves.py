"""Activations that lie in memory as bfloat16: equal to the same op on float32 with casts around it, to the bit."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tests.runtime.kernels.cases import cases
from tests.runtime.kernels.sparse import (
    BLOCK,
    LARGE,
    TYPES,
    Array,
    Case,
    Weight,
    blocked_weight,
    normal,
    random_weight,
    session,
)

FLOAT, HALF = TensorProto.FLOAT, TensorProto.BFLOAT16
STORED = ".bf16"
"""Suffix of the port that takes or gives a tensor as bfloat16."""

PORTS = {
    "SparseConv": (("x", "values", "index", "rows", "bias", "x.bf16"), ("y", "y.bf16")),
    "SparseConvWeightGrad": (("x", "dy", "index", "rows", "mask", "x.bf16"), ("dvalues",)),
    "BatchNormTraining": (
        ("x", "scale", "bias", "addend", "mean", "var", "x.bf16", "addend.bf16"),
        ("y", "next_mean", "next_var", "saved_mean", "saved_inv_std", "y.bf16"),
    ),
    "BatchNormGrad": (
        ("dy", "x", "scale", "saved_mean", "saved_inv_std", "y", "x.bf16", "y.bf16"),
        ("dx", "dscale", "dbias", "daddend"),
    ),
}
"""The inputs and outputs of each op that knows bfloat16, in order."""


STATISTICS = ["next_mean", "next_var", "saved_mean", "saved_inv_std"]
GRADIENTS = ["dx", "dscale", "dbias"]


def rounded(values: Array) -> Array:
    """To bfloat16 and back, to nearest and ties to even, by integers; a second opinion beside ONNX Runtime's Cast."""
    bits = values.view(np.uint32).astype(np.uint64)
    near = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32)
    quiet = ((bits >> 16 << 16) | 0x400000).astype(np.uint32)
    return np.where(np.isnan(values), quiet, near).view(np.float32)


def compute(
    op: str, feeds: Mapping[str, Array], outputs: Sequence[str], threads: int = 2, **attributes: Any
) -> list[Array]:
    """Run one op on float32 feeds; a port with the suffix is behind or in front of a Cast to bfloat16."""
    inputs, results = PORTS[op]
    nodes = [helper.make_node("Cast", [f"{n}.in"], [n], to=HALF) for n in feeds if n.endswith(STORED)]
    given_to = [name if name in feeds else "" for name in inputs]
    made = [name if name in outputs else "" for name in results]
    nodes.append(helper.make_node(op, given_to, made, domain="sparcl", name="the_node", **attributes))
    nodes += [helper.make_node("Cast", [n], [f"{n}.out"], to=FLOAT) for n in outputs if n.endswith(STORED)]
    ends = {n: f"{n}.out" if n.endswith(STORED) else n for n in outputs}
    starts = {n: f"{n}.in" if n.endswith(STORED) else n for n in feeds}
    infos = [helper.make_tensor_value_info(starts[n], TYPES.get(n, FLOAT), None) for n in feeds]
    graph = helper.make_graph(nodes, op, infos, [helper.make_tensor_value_info(ends[n], FLOAT, None) for n in outputs])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("sparcl", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    found: list[Array] = session(model, threads).run(None, {starts[n]: value for n, value in feeds.items()})
    return found


def stored(feeds: Mapping[str, Array], *names: str) -> dict[str, Array]:
    """The feeds, those of the names through the port for bfloat16."""
    return {n + STORED if n in names else n: value for n, value in feeds.items()}


def plain(feeds: Mapping[str, Array], *names: str) -> dict[str, Array]:
    """The feeds, those of the names rounded."""
    return {n: rounded(value) if n in names else value for n, value in feeds.items()}


def same_bits(found: Array, wanted: Array) -> None:
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))


def check_equal(
    op: str, feeds: Mapping[str, Array], names: Sequence[str], outputs: Sequence[str], **attributes: Any
) -> None:
    """Of the outputs, those that have a port for bfloat16 are asked for in both types, and then in that alone."""
    halves = [n + STORED for n in outputs if n + STORED in PORTS[op][1]]
    wanted = dict(zip(outputs, compute(op, plain(feeds, *names), outputs, **attributes), strict=True))
    both = dict(
        zip([*outputs, *halves], compute(op, stored(feeds, *names), [*outputs, *halves], **attributes), strict=True)
    )
    rest = [n for n in outputs if n + STORED not in halves]
    alone = dict(zip([*rest, *halves], compute(op, stored(feeds, *names), [*rest, *halves], **attributes), strict=True))
    for name, value in wanted.items():
        same_bits(both[name], value)
    for half in halves:
        same_bits(both[half], rounded(wanted[half.removesuffix(STORED)]))
    for name, value in alone.items():
        same_bits(value, both[name])


def convolution_feeds(case: Case, weight: Weight) -> dict[str, Array]:
    x = normal((case.channels, case.height, case.width, case.batch), case.seed)
    bias = normal((case.outputs,), case.seed + 1)
    return {"x": x, "values": weight.values, "index": weight.index, "rows": weight.rows, "bias": bias}


def check_convolution(case: Case, blocks: bool) -> None:
    weight = (blocked_weight if blocks else random_weight)(case)
    feeds = convolution_feeds(case, weight)
    attributes = {"channels": case.channels, **case.attributes, **({"block": BLOCK} if blocks else {})}
    check_equal("SparseConv", feeds, ["x"], ["y"], **attributes)
    dy = normal((case.outputs, *case.out(), case.batch), case.seed + 2)
    gradient = {"x": feeds["x"], "dy": dy, "index": weight.index, "rows": weight.rows}
    check_equal("SparseConvWeightGrad", gradient, ["x"], ["dvalues"], **attributes)


@settings(max_examples=80, deadline=None)
@given(case=cases(), blocks=st.booleans())
@example(case=LARGE, blocks=False)
@example(case=LARGE, blocks=True)
@example(case=Case(32, 96, 200, 4, 4), blocks=False)
@example(case=Case(48, 60, 62, 33, 35, strides=(2, 2), density=0.7), blocks=True)
def test_convolutions_equal_casts_around_them(case: Case, blocks: bool) -> None:
    check_convolution(case, blocks)


def normalisation_feeds(shape: tuple[int, int, int, int], seed: int) -> dict[str, Array]:
    channels = shape[:1]
    parameters = {name: normal(channels, seed + i) for i, name in enumerate(("scale", "bias", "mean", "var"), start=1)}
    return {"x": normal(shape, seed) * 2 + 3, "addend": normal(shape, seed + 5), **parameters}


def check_normalisation(shape: tuple[int, int, int, int], seed: int, names: Sequence[str], relu: bool) -> None:
    feeds = normalisation_feeds(shape, seed)
    check_equal("BatchNormTraining", feeds, names, ["y", *STATISTICS], relu=int(relu))
    if "addend" in names:
        alone = {n: value for n, value in feeds.items() if n != "addend"}
        check_equal("BatchNormTraining", alone, [n for n in names if n != "addend"], ["y", *STATISTICS], relu=int(relu))


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.sampled_from([2, 7, 16, 33, 64])),
    seed=st.integers(0, 100),
    names=st.sampled_from([(), ("x",), ("addend",), ("x", "addend")]),
    relu=st.booleans(),
)
@example(shape=(40, 30, 30, 32), seed=0, names=("x", "addend"), relu=True)
@example(shape=(90, 30, 30, 32), seed=0, names=("x",), relu=False)
@example(shape=(90, 27, 27, 37), seed=0, names=("x", "addend"), relu=True)
def test_normalisations_equal_casts_around_them(
    shape: tuple[int, int, int, int], seed: int, names: Sequence[str], relu: bool
) -> None:
    check_normalisation(shape, seed, names, relu)


def gradient_feeds(shape: tuple[int, int, int, int], seed: int, relu: bool) -> dict[str, Array]:
    parameters = {
        n: normal(shape[:1], seed + i) for i, n in enumerate(("scale", "saved_mean", "saved_inv_std"), start=1)
    }
    found = {"dy": normal(shape, seed), "x": normal(shape, seed + 4), **parameters}
    return found | ({"y": np.maximum(normal(shape, seed + 5), 0)} if relu else {})


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.sampled_from([2, 7, 16, 33, 64])),
    seed=st.integers(0, 100),
    names=st.sampled_from([("x",), ("y",), ("x", "y")]),
    relu=st.booleans(),
)
@example(shape=(40, 30, 30, 32), seed=0, names=("x", "y"), relu=True)
@example(shape=(40, 27, 27, 37), seed=0, names=("x", "y"), relu=True)
def test_gradients_equal_casts_around_them(
    shape: tuple[int, int, int, int], seed: int, names: Sequence[str], relu: bool
) -> None:
    feeds = gradient_feeds(shape, seed, relu)
    outputs = ["dx", "dscale", "dbias", "daddend"]
    check_equal("BatchNormGrad", feeds, [n for n in names if n in feeds], outputs, relu=int(relu))


SPECIAL = np.array(
    [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-45, 2.0**-126, 3.4028235e38, -3.3961775e38, 1.00390625, 1.01171875]
    + [np.float32(1.0) + np.float32(i) * np.float32(2.0**-9) for i in range(9)],
    dtype=np.float32,
)
"""Zeros, infinities, subnormal numbers, the largest ones, which round to infinity, and ties."""


def through(values: Array) -> Array:
    """The values as a convolution of one channel with the weight 1 rounds them."""
    one = {"values": np.ones(1, np.float32), "index": np.zeros(1, np.int32), "rows": np.array([0, 1], np.int32)}
    feeds = {"x": values.reshape(1, 1, 1, -1), **one}
    attributes = {"channels": 1, "kernel_shape": [1, 1]}
    return compute("SparseConv", feeds, ["y.bf16"], **attributes)[0].reshape(-1)


@pytest.mark.parametrize("name", [b"AVX3", b"AVX2", b"SCALAR", b"EMU128", b"SSE2"])
def test_every_instruction_set_rounds_alike(loaded: ctypes.CDLL, name: bytes) -> None:
    if not loaded.SparclUseTarget(name):
        pytest.skip(f"{name.decode()} is not in this build")
    generator = np.random.default_rng(0)
    # Signalling NaNs would become quiet ones on the way.
    bits = (generator.integers(0, 2**32, 4096, dtype=np.uint32) | 0x400000).view(np.float32)
    for count in (len(SPECIAL), 16, 4096):
        values = np.concatenate([SPECIAL, bits])[:count]
        found = through(values)
        # The product with 1 is added to 0, which turns -0 into 0.
        same_bits(found, rounded(values + np.float32(0)))


@pytest.mark.parametrize("name", [b"AVX3", b"AVX2", b"SCALAR", b"EMU128", b"SSE2"])
@pytest.mark.parametrize("blocks", [False, True])
def test_every_instruction_set_equals_its_casts(loaded: ctypes.CDLL, name: bytes, blocks: bool) -> None:
    if not loaded.SparclUseTarget(name):
        pytest.skip(f"{name.decode()} is not in this build")
    for case in (Case(32, 40, 70, 16, 16, density=0.5), Case(24, 33, 35, 9, 7), Case(5, 3, 4, 6, 5)):
        check_convolution(case, blocks)
    check_normalisation((5, 9, 7, 32), 0, ("x", "addend"), True)
    check_normalisation((5, 3, 7, 5), 0, ("x", "addend"), True)
    check_equal("BatchNormGrad", gradient_feeds((5, 3, 7, 21), 0, True), ["x", "y"], ["dx", "dscale", "dbias"], relu=1)


def test_the_number_of_threads_changes_no_bit() -> None:
    feeds = stored(convolution_feeds(LARGE, random_weight(LARGE)), "x")
    attributes = {"channels": LARGE.channels, **LARGE.attributes}
    one, three = (compute("SparseConv", feeds, ["y.bf16"], threads, **attributes)[0] for threads in (1, 3))
    same_bits(one, three)


def test_the_same_input_in_both_types_is_refused() -> None:
    case = Case(16, 4, 4, 5, 5)
    feeds = convolution_feeds(case, random_weight(case))
    with pytest.raises(Exception, match="SparseConv: input x is there twice, as float32 and as bfloat16"):
        compute("SparseConv", feeds | {"x.bf16": feeds["x"]}, ["y"], channels=4, **case.attributes)
    gradient = gradient_feeds((3, 2, 2, 16), 0, True)
    with pytest.raises(Exception, match="BatchNormGrad: input y is there twice, as float32 and as bfloat16"):
        compute("BatchNormGrad", gradient | {"y.bf16": gradient["y"]}, GRADIENTS, relu=1)


@pytest.mark.parametrize(
    ("op", "name"),
    [("SparseConv", "x"), ("SparseConvWeightGrad", "x"), ("BatchNormTraining", "x"), ("BatchNormGrad", "x")],
)
def test_an_input_in_neither_type_is_refused(op: str, name: str) -> None:
    case = Case(16, 4, 4, 5, 5)
    weight = random_weight(case)
    every = (
        convolution_feeds(case, weight) | normalisation_feeds((4, 5, 5, 16), 0) | gradient_feeds((4, 5, 5, 16), 0, True)
    )
    feeds = {n: every[n] for n in PORTS[op][0] if n in every and n not in (name, "addend")}
    geometry = {"channels": 4, **case.attributes} if "Conv" in op else {"relu": 1}
    with pytest.raises(Exception, match=f"{op}: input {name} is missing"):
        compute(op, feeds, [name for name in PORTS[op][1] if not name.endswith(STORED)], **geometry)


def test_a_stored_input_of_another_shape_is_refused() -> None:
    feeds = gradient_feeds((3, 2, 2, 16), 0, True)
    with pytest.raises(Exception, match=r"BatchNormGrad: y is \[3, 2, 2, 15\] and x is \[3, 2, 2, 16\]"):
        compute("BatchNormGrad", stored(feeds | {"y": feeds["y"][..., 1:]}, "x", "y"), GRADIENTS, relu=1)
    feeds = normalisation_feeds((3, 2, 2, 16), 0)
    with pytest.raises(Exception, match=r"BatchNormTraining: addend is \[3, 2, 1, 16\] and x is \[3, 2, 2, 16\]"):
        compute(
            "BatchNormTraining", stored(feeds | {"addend": feeds["addend"][:, :, 1:]}, "addend"), ["y", *STATISTICS]
        )
