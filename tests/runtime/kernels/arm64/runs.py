"""The runs of `make test-arm64`: every op over seeded shapes, a dense convolution, and a whole training step."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from tests.runtime.kernels.arm64 import training_step
from tests.runtime.kernels.arm64.recorded import Recorded
from tests.runtime.kernels.sparse import (
    BLOCK,
    Array,
    Case,
    Weight,
    blocked_weight,
    normal,
    one_op,
    patterned_kernels,
    random_weight,
    session,
    to_nchw,
    whole_kernels,
)

BATCHES = (1, 2, 3, 5, 8, 16, 17, 31, 32, 48, 64)
DENSITIES = (0.0, 0.05, 0.3, 1.0)
LARGE = (
    Case(32, 40, 70, 16, 16, density=0.1),
    Case(32, 96, 130, 4, 4, density=0.1),
    Case(16, 24, 24, 33, 35, strides=(2, 2)),
)
"""Several blocks of pixels, chunks of input channels and tasks."""
BLOCKED = (
    *(Case(batch, 9, 11, 7, 6, density=0.3, seed=batch) for batch in BATCHES),
    *(Case(batch, 30, 34, 9, 10, density=0.9, seed=batch) for batch in BATCHES),
    Case(32, 40, 70, 16, 16, density=0.9),
    Case(16, 40, 38, 33, 35, strides=(2, 2), density=0.7),
)
"""For blocks of output channels: few places, and so many that the input gradient scatters."""

KERNELS = (
    *(Case(batch, 9, 11, 7, 6, seed=batch) for batch in BATCHES),
    Case(32, 40, 70, 16, 16),
    Case(16, 24, 24, 13, 9, pads=(2, 0, 1, 2)),
)
"""For 3x3 kernels that are kept whole or by patterns."""

THREADS = (1, 2, 3)
ONE_THREAD = (1,)
"""For ONNX Runtime's own convolution, whose bits are not ours to promise."""


def random_cases() -> Iterator[Case]:
    """Every batch size with every density, at random shapes, strides, paddings and dilations."""
    generator = np.random.default_rng(0)
    for seed, (batch, density) in enumerate(product(BATCHES, DENSITIES)):
        kernel, strides, dilations = (tuple(map(int, pair)) for pair in generator.integers(1, 4, (3, 2)))
        spans = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
        channels, outputs, height, width = map(int, generator.integers(1, 16, 4))
        yield Case(
            batch=batch,
            channels=channels,
            outputs=outputs,
            height=height + spans[0],
            width=width + spans[1],
            kernel=kernel,
            strides=strides,
            pads=tuple(map(int, generator.integers(0, 3, 4))),
            dilations=dilations,
            density=density,
            seed=seed,
        )


def record(op: str, model: bytes, feeds: dict[str, Array]) -> Recorded:
    """Run a model on this machine."""
    return Recorded(op, model, feeds, session(model).run(None, feeds), THREADS)


def convolutions(case: Case, weight: Weight, **blocks: int) -> Iterator[Recorded]:
    """The sparse convolution with its gradients, and the dense one held against the sparse one's result."""
    x = normal((case.channels, case.height, case.width, case.batch), case.seed)
    dy = normal((case.outputs, *case.out(), case.batch), case.seed + 2)
    bias, values = normal((case.outputs,), case.seed + 1), {"values": weight.values}
    index, size = {"index": weight.index, "rows": weight.rows}, [case.height, case.width]
    mask = (normal(weight.values.shape, case.seed + 3) > 0).astype(np.float32)
    attributes = {"channels": case.channels, **case.attributes, **blocks}
    asked = (
        ("SparseConv", {"x": x, **values, **index, "bias": bias}, {}),
        ("SparseConvInputGrad", {"dy": dy, **values, **index}, {"input_shape": size}),
        ("SparseConvInputGrad", {"dy": dy, **values, **index, "addend": x}, {"input_shape": size}),
        ("SparseConvWeightGrad", {"x": x, "dy": dy, **index}, {}),
        ("SparseConvWeightGrad", {"x": x, "dy": dy, **index, "mask": mask}, {}),
    )
    made = [record(op, one_op(op, list(feeds), ["out"], **attributes, **more), feeds) for op, feeds, more in asked]
    yield from made
    dense = one_op("Conv", ["x", "w", "bias"], ["out"], domain="", **case.attributes)
    feeds = {"x": to_nchw(x), "w": weight.dense, "bias": bias}
    yield Recorded("Conv against SparseConv", dense, feeds, [to_nchw(made[0].results[0])], ONE_THREAD)


def pools(case: Case) -> Iterator[Recorded]:
    """MaxPool and its gradient."""
    x = normal((case.channels, case.height, case.width, case.batch), case.seed)
    forward = record("MaxPoolBatchLast", one_op("MaxPoolBatchLast", ["x"], ["y"], **case.attributes), {"x": x})
    yield forward
    feeds = {"dy": normal(forward.results[0].shape, case.seed + 1), "x": x, "y": forward.results[0]}
    model = one_op("MaxPoolBatchLastGrad", list(feeds), ["dx"], **case.attributes)
    yield record("MaxPoolBatchLastGrad", model, feeds)


def normalisations(shape: tuple[int, int, int, int], seed: int, relu: bool, addend: bool) -> Iterator[Recorded]:
    """BatchNormTraining, its output a second time and its gradient, with and without what is fused with them."""
    made = {name: normal(shape[:1], seed + place) for place, name in enumerate(("scale", "bias", "mean", "var"))}
    feeds = {"x": normal(shape, seed + 4) * 2 + 3, "scale": made["scale"], "bias": made["bias"]}
    feeds |= {"addend": normal(shape, seed + 5)} if addend else {}
    feeds |= {"mean": made["mean"], "var": np.abs(made["var"])}
    inputs = ["x", "scale", "bias", "addend" if addend else "", "mean", "var"]
    outputs = ["y", "next_mean", "next_var", "saved_mean", "saved_inv_std"]
    forward = record("BatchNormTraining", one_op("BatchNormTraining", inputs, outputs, relu=int(relu)), feeds)
    yield forward
    again = {"x": feeds["x"], "factor": made["scale"], "offset": made["bias"]}
    again |= {"addend": feeds["addend"]} if addend else {}
    yield record("BatchNormApply", one_op("BatchNormApply", list(again), ["y"], relu=int(relu)), again)
    y, _, _, mean, inv_std = forward.results
    feeds = {"dy": normal(shape, seed + 6), "x": feeds["x"], "scale": made["scale"]}
    feeds |= {"saved_mean": mean, "saved_inv_std": inv_std, **({"y": y} if relu else {})}
    outputs = ["dx", "dscale", "dbias", *(["daddend"] if addend else [])]
    yield record("BatchNormGrad", one_op("BatchNormGrad", list(feeds), outputs, relu=int(relu)), feeds)


def runs() -> Iterator[Recorded]:
    """All runs, with the results of this machine."""
    for case in (*random_cases(), *LARGE):
        yield from convolutions(case, random_weight(case))
        yield from pools(case)
    for case in BLOCKED:
        yield from convolutions(case, blocked_weight(case), block=BLOCK)
    for case in KERNELS:
        yield from convolutions(case, whole_kernels(case))
        yield from convolutions(case, patterned_kernels(case))
    generator = np.random.default_rng(1)
    for seed, (batch, relu, addend) in enumerate(product(BATCHES, (False, True), (False, True))):
        channels, height, width = map(int, generator.integers(1, 9, 3))
        # One number has no variance: the gradient then amplifies what is left of it by rounding.
        yield from normalisations((channels, height + 1, width, batch), seed, relu, addend)
    for seed, (batch, density) in enumerate(product((7, 32), (0.1, 0.3, 1.0))):
        feeds = training_step.feeds(batch, density, seed)
        yield record("a training step", training_step.training_step(), feeds)
