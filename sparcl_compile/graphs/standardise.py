"""Standardises raw samples for the model."""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, Builder
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.manifest import Layout
from sparcl_compile.interface.names import Role

LAYOUTS: Mapping[str, tuple[Callable[[Builder, ir.Value], ir.Value], tuple[str, ...]]] = {
    "NCHW": (lambda _, x: x, ("N", "C", "H", "W")),
    "NHWC": (lambda b, x: b.op.Transpose(x, perm=[0, 2, 3, 1]), ("N", "H", "W", "C")),
    "flat": (lambda b, x: b.op.Flatten(x), ("N", "F")),
}
"""The transposition or reshape of [N, C, H, W] and the shape of the model's input, by layout."""

PIXEL_MAX = 255.0
RESULT = "x_ready"
"""The result cannot be called x: that is the input, and a graph gives each name to one value."""


def build(layout: Layout = "NCHW", dtype: ir.DataType = FLOAT) -> ir.Model:
    """Make the graph ``standardise``.

    Inputs: ``x`` [N, C, H, W], raw values; state ``data.mean`` and ``data.std`` float32 [C].
    Result: ``x_ready`` float32, ``(x / 255 - mean) / std`` in the layout asked for; ``flat`` is [N, C * H * W].

    Args:
        layout: ``NCHW``, ``NHWC`` or ``flat``.
        dtype: type of ``x``, float32 or uint8.

    Raises:
        OptionError: the layout has no such name.
    """
    b = Builder("standardise", "Take the means of the channels from raw values and divide by their deviations.")
    standardise(b, pixels(b, dtype), layout)
    return b.model()


def pixels(b: Builder, dtype: ir.DataType) -> ir.Value:
    """Add the feed ``x`` and return it as float32 [N, C, H, W]."""
    raw = b.feed("x", dtype, ["N", "C", "H", "W"])
    return raw if dtype is FLOAT else b.cast(raw, FLOAT)


def standardise(b: Builder, x: ir.Value, layout: Layout) -> None:
    """Add the state ``data.mean`` and ``data.std`` and the result ``x_ready`` made from float32 values [N, C, H, W].

    Raises:
        OptionError: the layout has no such name.
    """
    if layout not in LAYOUTS:
        raise OptionError(f"unknown layout {layout!r} of the model's input; choose one of {', '.join(LAYOUTS)}")
    op = b.op
    mean, std = (b.state(f"data.{name}", FLOAT, ["C"], Role.DATA) for name in ("mean", "std"))
    mean, std = (op.Reshape(value, [-1, 1, 1]) for value in (mean, std))
    scaled = op.Div(op.Sub(op.Div(x, PIXEL_MAX), mean), std)
    arrange, shape = LAYOUTS[layout]
    b.result(RESULT, arrange(b, scaled), FLOAT, shape)
