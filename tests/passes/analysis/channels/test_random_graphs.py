"""Random residual graphs: whatever the analysis frees can be removed exactly."""

import math
from collections.abc import Callable

import hypothesis
import numpy as np
import onnx
from hypothesis import strategies as st

from sparcl_compile.passes.analysis.channels.analyse import analyse
from tests.support.channels_check import assert_exact, random_keep
from tests.support.gradient_check import imported
from tests.support.zoo import CLASSES, IMAGE, Net

Shape = tuple[int, int]
"""Channels and positions along one side."""


class Drawn(Net):
    """A network that remembers the shape of every value and draws what comes next."""

    def __init__(self, data: st.DataObject) -> None:
        super().__init__(IMAGE)
        self.data = data
        self.shapes: dict[str, Shape] = {"image": (3, 8)}
        self.number = 0

    @property
    def here(self) -> Shape:
        return self.shapes[self.last]

    def name(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}"

    def became(self, shape: Shape) -> None:
        self.shapes[self.last] = shape

    def pick(self, fits: Callable[[Shape], bool]) -> str:
        """Another value of a fitting shape, or the last one itself."""
        found = [name for name, shape in self.shapes.items() if name != "image" and fits(shape)]
        return str(self.data.draw(st.sampled_from(found)))

    def convolve(self) -> None:
        width, size = self.data.draw(st.integers(1, 8)), self.data.draw(st.sampled_from([1, 3]))
        self.conv(self.name("conv"), self.here[0], width, size)
        self.became((width, self.shapes_side()))

    def shapes_side(self) -> int:
        """Positions stay as they are: the last value but this one has them."""
        return self.shapes[self.nodes[-1].input[0]][1]

    def same_width(self) -> None:
        """A residual block's end: a convolution back to the width of another value, and the sum of both."""
        side = self.here[1]
        other = self.pick(lambda shape: shape[1] == side)
        self.conv(self.name("conv"), self.here[0], self.shapes[other][0])
        self.op(self.data.draw(st.sampled_from(["Add", "Mul", "Max"])), other)
        self.became((self.shapes[other][0], side))

    def depthwise(self) -> None:
        shape = self.here
        self.conv(self.name("depthwise"), shape[0], shape[0], group=shape[0])
        self.became(shape)

    def grouped(self) -> None:
        channels, side = self.here
        group = self.data.draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
        width = group * self.data.draw(st.integers(1, 3))
        self.conv(self.name("grouped"), channels, width, group=group)
        self.became((width, side))

    def shuffle(self) -> None:
        channels, side = self.here
        group = self.data.draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
        self.op("Reshape", self.ints(self.name("split"), 0, group, channels // group, side, side))
        self.op("Transpose", perm=[0, 2, 1, 3, 4])
        self.op("Reshape", self.ints(self.name("join"), 0, channels, side, side))
        self.became((channels, side))

    def deepen(self) -> None:
        """Blocks of pixels become channels."""
        channels, side = self.here
        if side % 2 == 0 and channels <= 4:
            self.op("SpaceToDepth", blocksize=2)
            self.became((channels * 4, side // 2))

    def flatten_out(self) -> None:
        """Channels become blocks of pixels."""
        channels, side = self.here
        if channels % 4 == 0 and side <= 8:
            self.op("DepthToSpace", blocksize=2, mode=self.data.draw(st.sampled_from(["DCR", "CRD"])))
            self.became((channels // 4, side * 2))

    def transpose(self) -> None:
        """A transposed convolution."""
        (channels, side), width = self.here, self.data.draw(st.integers(1, 6))
        weight = self.weight(self.name("up"), channels, width, 3, 3)
        self.op("ConvTranspose", weight, self.weight(self.name("bias"), width), pads=[1, 1, 1, 1])
        self.became((width, side))

    def normalise(self) -> None:
        shape = self.here
        self.bn(self.name("bn"), shape[0])
        self.became(shape)

    def activate(self) -> None:
        shape = self.here
        self.op(self.data.draw(st.sampled_from(["Relu", "Sigmoid", "Tanh"])))
        self.became(shape)

    def concatenate(self) -> None:
        channels, side = self.here
        other = self.pick(lambda shape: shape[1] == side)
        self.op("Concat", other, axis=1)
        self.became((channels + self.shapes[other][0], side))

    def part_ways(self) -> None:
        """The channels from some place on, before the others."""
        channels, side = self.here
        if channels < 2:
            return
        cut = self.data.draw(st.integers(1, channels - 1))
        first = self.op("Split", self.ints(self.name("sizes"), cut, channels - cut), outputs=2, axis=1)
        self.op("Concat", first, source=f"{first}_1", axis=1)
        self.became((channels, side))

    def pool(self) -> None:
        channels, side = self.here
        if side < 2:
            return
        self.op(self.data.draw(st.sampled_from(["MaxPool", "AveragePool"])), kernel_shape=[2, 2], strides=[2, 2])
        self.became((channels, side // 2))

    def gate(self) -> None:
        """Squeeze and excite."""
        (channels, side), start, name = self.here, self.last, self.name("gate")
        self.op("GlobalAveragePool")
        self.conv(f"{name}.down", channels, 2, 1)
        self.op("Relu")
        self.conv(f"{name}.up", 2, channels, 1)
        self.op("Sigmoid")
        self.op("Mul", start)
        self.became((channels, side))

    def finish(self) -> onnx.ModelProto:
        channels, side = self.here
        if self.data.draw(st.booleans()):
            return self.head(channels)
        if self.data.draw(st.booleans()):
            self.op("Transpose", perm=[0, 2, 3, 1])
        self.op("Flatten")
        width = channels * math.prod((side, side))
        self.op("Gemm", self.weight("fc.weight", CLASSES, width), self.weight("fc.bias", CLASSES), transB=1)
        return self.model()


STEPS = [
    Drawn.convolve, Drawn.same_width, Drawn.same_width, Drawn.depthwise, Drawn.grouped, Drawn.shuffle, Drawn.normalise,
    Drawn.activate, Drawn.concatenate, Drawn.part_ways, Drawn.pool, Drawn.gate,
]  # fmt: skip


@hypothesis.settings(max_examples=60)
@hypothesis.given(data=st.data())
def test_random_residual_graphs_are_shrunk_exactly(data: st.DataObject) -> None:
    check(data, STEPS, "ort-training")


@hypothesis.settings(max_examples=30)
@hypothesis.given(data=st.data())
def test_random_graphs_that_the_target_ort_leaves_as_they_are_are_shrunk_exactly(data: st.DataObject) -> None:
    check(data, [*STEPS, *2 * [Drawn.deepen, Drawn.flatten_out, Drawn.transpose]], "ort")


def check(data: st.DataObject, steps: list[Callable[[Drawn], None]], target: str) -> None:
    net = Drawn(data)
    net.convolve()
    for step in data.draw(st.lists(st.sampled_from(steps), min_size=2, max_size=9)):
        if net.here[0] <= 32:
            step(net)
    model = imported(net.finish(), target=target)
    channels = analyse(model)
    hypothesis.target(float(len(channels.spaces)))
    keep = random_keep(channels, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert_exact(model, channels, keep, changes=False)
