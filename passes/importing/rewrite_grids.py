"""Sampling of images at computed places (spatial transformers), said in products and gathered elements."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from sparcl_compile.passes.core.edit import int_attribute, lengths_from, string_attribute
from sparcl_compile.passes.core.insert import Inserter

IMAGE, TRANSFORM = 4, [2, 3]
"""The axes of a batch of images, and the shape of the matrix that moves one."""
PADDINGS = ("zeros", "border")
LINEAR = ("bilinear", "linear")


def affine_grid(e: Inserter, node: ir.Node) -> ir.Value | None:
    """AffineGrid of images: the places of the pixels, which are constants, times the matrix of every sample."""
    theta, size = node.inputs[:2]
    if theta is None or lengths_from(theta, 1) != TRANSFORM:
        return None
    corners = bool(int_attribute(node, "align_corners", 0))
    height, width = (e.op("Slice", size, *(e.ints("bound", [k]) for k in (axis, axis + 1))) for axis in (2, 3))
    one, plane = e.ints("one", [1]), e.op("Concat", height, width, e.ints("one", [1]), axis=0)
    rows = e.op("Reshape", places(e, height, corners), e.op("Concat", height, one, one, axis=0))
    columns = e.op("Reshape", places(e, width, corners), e.op("Concat", one, width, one, axis=0))
    filled = [e.op("Expand", value, plane) for value in (columns, rows, e.const("unit", 1.0))]
    pixels = e.op("Reshape", e.op("Concat", *filled, axis=2), e.ints("pixels", [-1, 3]))
    grid = e.op("MatMul", pixels, e.op("Transpose", theta, perm=[0, 2, 1]))
    return e.op("Reshape", grid, e.op("Concat", e.ints("batch", [0]), height, width, e.ints("two", [2]), axis=0))


def places(e: Inserter, count: ir.Value, corners: bool) -> ir.Value:
    """The places of so many pixels between -1 and 1: of their middles, or with the outer ones at the ends."""
    number = e.op("Squeeze", count, e.ints("first", [0]))
    pixel = e.op("Range", e.const("zero", 0, np.int64), number, e.const("step", 1, np.int64))
    at = e.op("Mul", e.op("Cast", pixel, to=ir.DataType.FLOAT), e.const("two", 2.0))
    length = e.op("Cast", number, to=ir.DataType.FLOAT)
    if corners:
        return e.op("Sub", e.op("Div", at, e.op("Sub", length, e.const("one", 1.0))), e.const("one", 1.0))
    return e.op("Sub", e.op("Div", e.op("Add", at, e.const("one", 1.0)), length), e.const("one", 1.0))


def grid_sample(e: Inserter, node: ir.Node) -> ir.Value | None:
    """GridSample of images, linear: the sum of the four pixels around each place, by their distance to it."""
    x, grid = node.inputs[:2]
    lengths, plane = lengths_from(x, 1), lengths_from(grid, 1)
    padding = string_attribute(node, "padding_mode", "zeros")
    linear = string_attribute(node, "mode", "bilinear") in LINEAR
    if lengths is None or plane is None or len(lengths) != IMAGE - 1 or padding not in PADDINGS or not linear:
        return None
    channels, height, width = lengths
    corners, count = bool(int_attribute(node, "align_corners", 0)), plane[0] * plane[1]
    across, down = (
        neighbours(e, pixel_place(e, grid, axis, length, corners, padding), length)
        for axis, length in ((0, width), (1, height))
    )
    flat = e.op("Reshape", x, e.ints("flat", [-1, channels, height * width]))
    total: ir.Value | None = None
    for row, row_share in down:
        for column, column_share in across:
            place = e.op("Add", e.op("Mul", row, e.const("width", width, np.int64)), column)
            index = e.op("Reshape", place, e.ints("places", [-1, 1, count]))
            found = e.op("GatherElements", flat, e.op("Expand", index, e.ints("channels", [1, channels, 1])), axis=2)
            share = e.op("Reshape", e.op("Mul", row_share, column_share), e.ints("shares", [-1, 1, count]))
            part = e.op("Mul", found, share)
            total = part if total is None else e.op("Add", total, part)
    return e.op("Reshape", total, e.ints("image", [-1, channels, *plane[:2]]))


def pixel_place(e: Inserter, grid: ir.Value | None, axis: int, length: int, corners: bool, padding: str) -> ir.Value:
    """The places of a grid along one axis, counted in pixels from the middle of the first."""
    place = e.op("Gather", grid, e.const("axis", axis, np.int64), axis=3)
    scale = (length - 1) / 2 if corners else length / 2
    at = e.op("Add", e.op("Mul", place, e.const("scale", scale)), e.const("middle", (length - 1) / 2))
    if padding == "zeros":
        return at
    return e.op("Clip", at, e.const("first", 0.0), e.const("last", length - 1.0))


def neighbours(e: Inserter, place: ir.Value, length: int) -> list[tuple[ir.Value, ir.Value]]:
    """The pixels before and behind each place as int64, inside the image, and their shares: 0 outside of it."""
    low, high = e.const("first", 0.0), e.const("last", length - 1.0)
    held = e.op("Clip", place, e.const("far_before", -2.0), e.const("far_behind", length + 1.0))
    before = floor(e, held)
    found = []
    for pixel in (before, e.op("Add", before, e.const("one", 1.0))):
        share = e.op("Sub", e.const("one", 1.0), e.op("Abs", e.op("Sub", held, pixel)))
        inside = e.op("Clip", pixel, low, high)
        kept = e.op("Cast", e.op("Equal", inside, pixel), to=ir.DataType.FLOAT)
        found.append((e.op("Cast", inside, to=ir.DataType.INT64), e.op("Mul", share, kept)))
    return found


def floor(e: Inserter, x: ir.Value) -> ir.Value:
    """The next lower integer; by casts, through which no gradient goes, where the gradient builder has no Floor."""
    cut = e.op("Cast", e.op("Cast", x, to=ir.DataType.INT64), to=ir.DataType.FLOAT)
    return e.op("Sub", cut, e.op("Cast", e.op("Less", x, cut), to=ir.DataType.FLOAT))


REWRITES: dict[str, Callable[[Inserter, ir.Node], ir.Value | None]] = {
    "AffineGrid": affine_grid,
    "GridSample": grid_sample,
}
