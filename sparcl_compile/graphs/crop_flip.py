"""Random crop and flip of raw images, then their standardisation."""

import onnx_ir as ir

from sparcl_compile.graphs.builder import FLOAT, INT64, Builder
from sparcl_compile.graphs.hash import Stream, stream
from sparcl_compile.graphs.standardise import Sample, pixels, standardise
from sparcl_compile.interface.manifest import Layout

PADDING = 4
OFFSETS = 2 * PADDING + 1
DRAWS = 3
"""Random words a sample takes: row offset, column offset, flip."""

SIGN_BIT = 2**31


def build(layout: Layout = "NCHW", dtype: ir.DataType = FLOAT, sample: Sample = ()) -> ir.Model:
    """Make the graph ``crop_flip``.

    Inputs: ``x`` [N, C, H, W], raw pixels; ``key`` int64 [3] (seed, optimizer steps, 0 current, 1 logits batch,
    2 label batch); state ``data.mean`` and ``data.std`` float32 [C].
    Result: ``x_ready`` float32: each sample padded by 4 with zeros, cropped at its own offset back to [C, H, W],
    mirrored or not, then ``(x / 255 - mean) / std`` in the layout asked for.

    Args:
        layout: as ``standardise`` names them; ``flat`` is [N, C * H * W].
        dtype: type of ``x``, float32 or uint8.
        sample: the shape of one sample as the model takes it, for a volume.

    Raises:
        OptionError: the layout has no such name.
    """
    b = Builder("crop_flip", "Crop each padded image at a random offset, mirror half of them, standardise.")
    x = pixels(b, dtype)
    key = b.feed("key", INT64, [3])
    standardise(b, _cropped(b, x, key), layout, sample)
    return b.model()


def _cropped(b: Builder, x: ir.Value, key: ir.Value) -> ir.Value:
    """Take each sample's window out of the padded batch, by one index per pixel."""
    op = b.op
    with b.scope("crop"):
        samples, channels, height, width = (op.Gather(op.Shape(x), axis) for axis in range(4))
        row_offset, column_offset, mirrored = _draws(b, key, samples)
        padded = op.Pad(x, [0, 0, PADDING, PADDING, 0, 0, PADDING, PADDING])
        line, lines = op.Add(width, 2 * PADDING), op.Add(height, 2 * PADDING)

        straight = op.Range(0, width, 1)
        reverse = op.Sub(op.Sub(width, 1), straight)
        rows = op.Add(op.Reshape(op.Range(0, height, 1), [-1, 1]), row_offset)
        columns = op.Add(op.Where(mirrored, reverse, straight), column_offset)
        within = op.Add(op.Mul(rows, line), columns)

        planes = op.Mul(op.Range(0, op.Mul(samples, channels), 1), op.Mul(lines, line))
        shape = op.Concat(op.Shape(x, start=0, end=2), [1, 1], axis=0)
        return op.Gather(op.Reshape(padded, [-1]), op.Add(op.Reshape(planes, shape), within))


def _draws(b: Builder, key: ir.Value, samples: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Row offset and column offset int64, and whether to mirror bool; each [N, 1, 1, 1]."""
    op = b.op
    drawn = stream(b, key, Stream.AUGMENT, op.Range(0, op.Mul(samples, DRAWS), 1))
    table = op.Reshape(drawn, [-1, DRAWS, 1, 1])
    row, column, flip = (op.Slice(table, [i], [i + 1], [1]) for i in range(DRAWS))
    return op.Mod(row, OFFSETS), op.Mod(column, OFFSETS), op.GreaterOrEqual(flip, SIGN_BIT)
