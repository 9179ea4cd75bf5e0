"""The counter-based generator in ONNX operators: MurmurHash3_x86_32 of one 32-bit word.

Source: Austin Appleby's public-domain MurmurHash3; streams and keys are those of docs/algorithm.md.
"""

import enum

import numpy as np
import onnx_ir as ir

from sparcl_compile.graphs.builder import INT32, INT64, UINT32, Builder

MIX_WORD = (0xCC9E2D51, 0x1B873593)
ROUND_FACTOR, ROUND_TERM = 5, 0xE6546B64
MIX_FINAL = (0x85EBCA6B, 0xC2B2AE35)
WORD_BYTES = 4


class Stream(enum.IntEnum):
    """The independent streams of random numbers."""

    ORDER = 1
    GROW = 2
    RESERVOIR = 3
    REPLAY = 4
    AUGMENT = 5
    CLASSES = 6
    INIT = 7


def murmur3(b: Builder, word: ir.Value, seed: ir.Value | int) -> ir.Value:
    """Hash ``word`` with ``seed``: uint32 in and out, any shapes that broadcast.

    For one seed this is a bijection of the 32-bit words, so the elements of a stream never tie.
    """
    op = b.op
    with b.scope("murmur3"):
        mixed = _multiply(b, _rotate(b, _multiply(b, word, MIX_WORD[0]), 15), MIX_WORD[1])
        h = _rotate(b, op.BitwiseXor(mixed, seed), 13)
        h = _multiply(b, h, ROUND_FACTOR, ROUND_TERM)
        h = op.BitwiseXor(h, WORD_BYTES)
        h = _multiply(b, _fold(b, h, 16), MIX_FINAL[0])
        h = _multiply(b, _fold(b, h, 13), MIX_FINAL[1])
        return _fold(b, h, 16)


def words(b: Builder, feed: ir.Value, count: int = 3) -> list[ir.Value]:
    """The first ``count`` words (seed, a, b) of a graph's input ``key`` (int64 [3]), each uint32 [1]."""
    # Vectors of one element, here and below: NumPy, under onnx.reference, warns when a scalar wraps.
    low = b.cast(feed, UINT32)
    return [b.op.Slice(low, [i], [i + 1]) for i in range(count)]


def key(b: Builder, *chain: ir.Value | int, start: ir.Value | int = 0) -> ir.Value:
    """Chain words (uint32 [1], or known numbers) into the seed of a stream, uint32 [1].

    Args:
        b: the graph.
        chain: the words, at least one.
        start: the key so far.
    """
    h = start
    for word in chain:
        h = murmur3(b, word if isinstance(word, ir.Value) else b.cast(b.op.Identity([int(word)]), UINT32), h)
    if isinstance(h, int):
        raise ValueError("a key needs at least one word")
    return h


def numbered(b: Builder, count: int, start: ir.Value) -> ir.Value:
    """The keys that follow ``start`` (uint32 [1]) by the words 0, 1, ... below ``count``: uint32 [count]."""
    return murmur3(b, b.cast(b.op.Identity(list(range(count))), UINT32), start)


def elements(b: Builder, index: ir.Value, seed: ir.Value) -> ir.Value:
    """The elements of a stream at ``index`` (int64), as int64 in [0, 2**32) of the same shape."""
    return b.cast(murmur3(b, b.cast(index, UINT32), seed), INT64)


def stream(b: Builder, feed: ir.Value, number: Stream, index: ir.Value) -> ir.Value:
    """The elements at ``index`` (int64) of the stream that the graph's input ``key`` (int64 [3]) chooses.

    Returns:
        int64 in [0, 2**32), of the shape of ``index``.
    """
    with b.scope("stream"):
        seed, *rest = words(b, feed)
        return elements(b, index, key(b, seed, number, *rest))


def _multiply(b: Builder, x: ir.Value, factor: int, term: int = 0) -> ir.Value:
    # ONNX Runtime has no kernel to multiply or add uint32; int32 wraps to the same bits.
    product = b.op.Mul(b.cast(x, INT32), _signed(factor))
    total = b.op.Add(product, _signed(term)) if term else product
    return b.cast(total, UINT32)


def _rotate(b: Builder, x: ir.Value, bits: int) -> ir.Value:
    left = b.op.BitShift(x, bits, direction="LEFT")
    return b.op.BitwiseOr(left, b.op.BitShift(x, 32 - bits, direction="RIGHT"))


def _fold(b: Builder, x: ir.Value, bits: int) -> ir.Value:
    return b.op.BitwiseXor(x, b.op.BitShift(x, bits, direction="RIGHT"))


def _signed(word: int) -> int:
    return int(np.uint32(word).view(np.int32))
