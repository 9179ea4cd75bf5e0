"""Tiny models with one op of the domain `sparcl`, random sparse weights, and the dense second opinion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from sparcl_compile.passes.schemes.cuts import PATTERN_FLAGS
from sparcl_compile.runtime.session import kernel_library as kernels

Array = NDArray[Any]
TYPES = {"index": TensorProto.INT32, "rows": TensorProto.INT32}
PADDING = 3
"""Stored places behind the live ones; their index and value are rubbish on purpose."""


def session(model: bytes, threads: int = 2) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # refusals are expected, and come as exceptions too
    assert kernels.register(options)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def one_op(op: str, inputs: list[str], outputs: list[str], domain: str = "sparcl", **attributes: Any) -> bytes:
    """A model of one node. An empty name leaves an optional input or output out."""
    node = helper.make_node(op, inputs, outputs, domain=domain, name="the_node", **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(n, TYPES.get(n, TensorProto.FLOAT), None) for n in inputs if n],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs if n],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("sparcl", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def run(
    op: str,
    feeds: Mapping[str, Array],
    outputs: list[str],
    threads: int = 2,
    inputs: list[str] | None = None,
    **attributes: Any,
) -> list[Array]:
    """Run one op with its inputs in the order of the feeds, or as named; an empty name is a missing input."""
    made = one_op(op, inputs or list(feeds), outputs, **attributes)
    result: list[Array] = session(made, threads).run(None, dict(feeds))
    return result


@dataclass(frozen=True)
class Case:
    """A convolution: shapes, attributes, density."""

    batch: int
    channels: int
    outputs: int
    height: int
    width: int
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilations: tuple[int, int] = (1, 1)
    density: float = 0.3
    seed: int = 0

    @property
    def attributes(self) -> dict[str, Any]:
        return {
            "kernel_shape": self.kernel,
            "strides": self.strides,
            "pads": self.pads,
            "dilations": self.dilations,
        }

    def out(self) -> tuple[int, int]:
        sizes = zip((self.height, self.width), self.kernel, self.strides, self.dilations, (0, 1), strict=True)
        rows, cols = ((n + self.pads[a] + self.pads[a + 2] - (k - 1) * d - 1) // s + 1 for n, k, s, d, a in sizes)
        return rows, cols


@dataclass(frozen=True)
class Weight:
    """The same weight dense and as it is stored."""

    dense: Array
    values: Array
    index: Array
    rows: Array

    @property
    def live(self) -> int:
        return int(self.rows[-1])


LARGE = Case(32, 40, 40, 30, 30, density=0.1)
"""Input and output are more than the 4 MiB from which on outputs are written past the caches."""


def compress(dense: Array, mask: Array) -> Weight:
    positions = np.flatnonzero(mask).astype(np.int32)
    rows = np.concatenate([[0], np.cumsum(mask.reshape(len(mask), -1).sum(axis=1))]).astype(np.int32)
    rubbish = np.full(PADDING, -7, dtype=np.int32)
    values = np.concatenate([dense.ravel()[positions], np.full(PADDING, np.nan, dtype=np.float32)])
    return Weight(dense, values, np.concatenate([positions, rubbish]), rows)


def random_weight(case: Case) -> Weight:
    generator = np.random.default_rng(case.seed)
    shape = (case.outputs, case.channels, *case.kernel)
    mask = generator.random(shape) < case.density
    dense = np.where(mask, generator.standard_normal(shape), 0).astype(np.float32)
    return compress(dense, mask)


BLOCK = 4
"""Output channels of a block."""


def blocked_weight(case: Case) -> Weight:
    """A random weight of blocks that keep the same places; the last one has what is left of the channels."""
    generator = np.random.default_rng(case.seed)
    shape = (case.outputs, case.channels, *case.kernel)
    blocks = generator.random((-(-case.outputs // BLOCK), *shape[1:])) < case.density
    mask = np.repeat(blocks, BLOCK, axis=0)[: case.outputs]
    return compress(np.where(mask, generator.standard_normal(shape), 0).astype(np.float32), mask)


def whole_kernels(case: Case) -> Weight:
    """A random weight of kernels, an output channel's taps on an input channel, that are kept whole or not at all."""
    generator = np.random.default_rng(case.seed)
    shape = (case.outputs, case.channels, *case.kernel)
    mask = np.broadcast_to(generator.random((*shape[:2], 1, 1)) < case.density, shape)
    return compress(np.where(mask, generator.standard_normal(shape), 0).astype(np.float32), mask)


def patterned_kernels(case: Case) -> Weight:
    """A random weight of 3x3 kernels that keep one of the patterns of four taps, or none."""
    generator = np.random.default_rng(case.seed)
    kernels = (case.outputs, case.channels)
    kept = generator.random(kernels) < case.density
    flags = PATTERN_FLAGS[generator.integers(len(PATTERN_FLAGS), size=kernels)]
    mask = (flags & kept[..., None]).reshape(*kernels, *case.kernel)
    return compress(np.where(mask, generator.standard_normal(mask.shape), 0).astype(np.float32), mask)


def normal(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed + 1000).standard_normal(shape).astype(np.float32)


def to_nchw(x: Array) -> Array:
    return np.ascontiguousarray(x.transpose(3, 0, 1, 2))


def to_chwn(x: Array) -> Array:
    return np.ascontiguousarray(x.transpose(1, 2, 3, 0))


def assert_close(found: Array, expected: Array) -> None:
    """Float32 sums of up to some thousand products: 2e-5 of the largest number, or of 1."""
    assert found.shape == expected.shape
    limit = 2e-5 * max(1.0, float(np.abs(expected).max(initial=0.0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit)
