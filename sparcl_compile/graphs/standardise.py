"""Standardises raw samples for the model."""

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.manifest import Layout
from sparcl_compile.interface.names import Role

Sample = Sequence[int | None]
"""The shape of one sample as the model takes it; None for a length that may vary."""

LAYOUTS: Mapping[str, tuple[Callable[[Builder, ir.Value, Sample], ir.Value], tuple[str, ...]]] = {
    "NCHW": (lambda _, x, __: x, ("N", "C", "H", "W")),
    "NHWC": (lambda b, x, _: b.op.Transpose(x, perm=[0, 2, 3, 1]), ("N", "H", "W", "C")),
    "flat": (lambda b, x, _: b.op.Flatten(x), ("N", "F")),
    "NCT": (lambda b, x, _: b.op.Squeeze(x, [3]), ("N", "C", "T")),
    "NTC": (lambda b, x, _: b.op.Transpose(b.op.Squeeze(x, [3]), perm=[0, 2, 1]), ("N", "T", "C")),
    "NCDHW": (lambda b, x, sample: _volume(b, x, sample[1:]), ("N", "C", "D", "H", "W")),
    "NDHWC": (
        lambda b, x, sample: b.op.Transpose(_volume(b, x, sample[:3]), perm=[0, 2, 3, 4, 1]),
        ("N", "D", "H", "W", "C"),
    ),
}
"""The transposition or reshape of [N, C, H, W] and the shape of the model's input, by layout. A raw sequence is
[N, C, T, 1], a raw volume [N, C, D * H, W]."""

PIXEL_MAX = 255.0
RESULT = "x_ready"
"""The result cannot be called x: that is the input, and a graph gives each name to one value."""


def build(layout: Layout = "NCHW", dtype: ir.DataType = FLOAT, sample: Sample = ()) -> ir.Model:
    """Make the graph ``standardise``.

    Inputs: ``x`` [N, C, H, W], raw values; state ``data.mean`` and ``data.std`` float32 [C].
    Result: ``x_ready`` float32, ``(x / 255 - mean) / std`` in the layout asked for; ``flat`` is [N, C * H * W].

    Args:
        layout: a key of ``LAYOUTS``.
        dtype: type of ``x``, float32 or uint8.
        sample: the shape of one sample as the model takes it, for a volume.

    Raises:
        OptionError: the layout has no such name.
    """
    b = Builder("standardise", "Take the means of the channels from raw values and divide by their deviations.")
    standardise(b, pixels(b, dtype), layout, sample)
    return b.model()


def pixels(b: Builder, dtype: ir.DataType) -> ir.Value:
    """Add the feed ``x`` and return it as float32 [N, C, H, W]."""
    raw = b.feed("x", dtype, ["N", "C", "H", "W"])
    return raw if dtype is FLOAT else b.cast(raw, FLOAT)


def standardise(b: Builder, x: ir.Value, layout: Layout, sample: Sample = ()) -> None:
    """Add the state ``data.mean`` and ``data.std`` and the result ``x_ready`` made from float32 values [N, C, H, W].

    Raises:
        OptionError: the layout has no such name.
    """
    give(b, standardised(b, x), layout, sample)


def standardised(b: Builder, x: ir.Value) -> ir.Value:
    """Add the state ``data.mean`` and ``data.std`` and return ``(x / 255 - mean) / std`` of float32 [N, C, H, W]."""
    op = b.op
    mean, std = (b.state(f"data.{name}", FLOAT, ["C"], Role.DATA) for name in ("mean", "std"))
    mean, std = (op.Reshape(value, [-1, 1, 1]) for value in (mean, std))
    return op.Div(op.Sub(op.Div(x, PIXEL_MAX), mean), std)


def give(b: Builder, ready: ir.Value, layout: Layout, sample: Sample) -> None:
    """Make float32 values [N, C, H, W] the result ``x_ready`` in a layout; raises OptionError for an unknown one."""
    if layout not in LAYOUTS:
        raise OptionError(f"unknown layout {layout!r} of the model's input; choose one of {', '.join(LAYOUTS)}")
    arrange, shape = LAYOUTS[layout]
    b.result(RESULT, arrange(b, ready, sample), FLOAT, shape)


def _volume(b: Builder, x: ir.Value, lengths: Sample) -> ir.Value:
    """The raw sample [N, C, D * H, W] with depth and height apart; one of them may vary, and the width."""
    depth, height, _ = lengths
    return b.op.Reshape(x, b.op.Concat([0, 0, depth or -1, height or -1], b.op.Shape(x, start=3, end=4), axis=0))
