"""Random shift, scale and noise of series, for samples that are no images."""

import math

import onnx_ir as ir

from sparcl_compile.graphs.builder import DOUBLE, FLOAT, INT64, Builder
from sparcl_compile.graphs.hash import Stream, stream
from sparcl_compile.graphs.standardise import Sample, give, pixels, standardised
from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.manifest import SERIES, Layout

SHIFT_PART = 10
"""A series is shifted by up to a tenth of its length."""
SCALE = 0.1 * math.sqrt(3)
JITTER = 0.05 * math.sqrt(3)
"""Half widths of uniform draws whose deviations are 0.1 and 0.05: the scaling and the jittering of T. T. Um et al.,
"Data augmentation of wearable sensor data for Parkinson's disease monitoring using convolutional neural networks", ICMI
2017. Uniform and not normal, so that every platform draws the same numbers."""
WORDS = 2.0**32


def build(layout: Layout = "NCT", dtype: ir.DataType = FLOAT, sample: Sample = ()) -> ir.Model:
    """Make the graph ``jitter_shift_scale``.

    Inputs: ``x`` [N, C, T, 1], raw values; ``key`` int64 [3] (seed, optimizer steps, 0 current, 1 logits batch, 2 label
    batch); state ``data.mean`` and ``data.std`` float32 [C].
    Result: ``x_ready`` float32: each sample shifted by its own number of steps with its first or last values repeated,
    then ``(x / 255 - mean) / std``, times a factor for each channel, plus noise for each value, in the
    layout asked for.

    Args:
        layout: one of ``SERIES``.
        dtype: type of ``x``, float32 or uint8.
        sample: the shape of one sample as the model takes it.

    Raises:
        OptionError: samples of this layout are no series.
    """
    if layout not in SERIES:
        raise OptionError(f"samples of layout {layout!r} are no series; choose one of {', '.join(SERIES)}")
    b = Builder("jitter_shift_scale", "Shift each series, standardise it, scale its channels and add noise.")
    x = pixels(b, dtype)
    key = b.feed("key", INT64, [3])
    shift, factor, noise = _draws(b, x, key)
    ready = standardised(b, _shifted(b, x, shift))
    give(b, b.op.Add(b.op.Mul(ready, factor), noise), layout, sample)
    return b.model()


def _draws(b: Builder, x: ir.Value, key: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """A word for the shift int64 [N, 1], factors float32 [N, C, 1, 1], and noise float32 of the shape of ``x``."""
    op = b.op
    with b.scope("draws"):
        samples, channels, steps = (op.Shape(x, start=axis, end=axis + 1) for axis in range(3))
        head = op.Add(channels, 1)
        each = op.Add(head, op.Mul(channels, steps))
        numbers = op.Range(0, op.Squeeze(op.Mul(samples, each)), 1)
        table = op.Reshape(stream(b, key, Stream.AUGMENT, numbers), op.Concat([-1], each, axis=0))
        factors = op.Unsqueeze(op.Slice(table, [1], head, [1]), [2, 3])
        noise = op.Reshape(op.Slice(table, head, each, [1]), op.Shape(x))
        return op.Slice(table, [0], [1], [1]), _uniform(b, factors, SCALE, 1.0), _uniform(b, noise, JITTER, 0.0)


def _uniform(b: Builder, drawn: ir.Value, width: float, centre: float) -> ir.Value:
    """Words as float32 from ``centre - width`` to ``centre + width``, by way of float64, which holds a word exactly."""
    op = b.op
    share = op.Sub(op.Mul(b.cast(drawn, DOUBLE), 2.0 / WORDS), 1.0)
    return b.cast(op.Add(op.Mul(share, width), centre), FLOAT)


def _shifted(b: Builder, x: ir.Value, word: ir.Value) -> ir.Value:
    op = b.op
    with b.scope("shift"):
        steps = op.Gather(op.Shape(x), 2)
        most = op.Div(steps, SHIFT_PART)
        offset = op.Sub(op.Mod(word, op.Add(op.Mul(most, 2), 1)), most)
        places = op.Add(op.Range(0, steps, 1), offset)
        within = op.Max(op.Min(places, op.Sub(steps, 1)), [0])
        return op.GatherElements(x, op.Expand(op.Unsqueeze(within, [1, 3]), op.Shape(x)), axis=2)
