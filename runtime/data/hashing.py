"""The generator of docs/algorithm.md in plain integers, for the one draw that comes before any graph runs."""

WORD = 0xFFFFFFFF
CLASSES_STREAM = 6
"""Stream ``classes``, a = b = 0: element i belongs to class i; classes come by ascending hash, ties by index."""


def murmur3_32(word: int, seed: int) -> int:
    """MurmurHash3_x86_32 (A. Appleby, public domain) of the four little-endian bytes of ``word``; all values uint32."""
    k = _rotate(word * 0xCC9E2D51 & WORD, 15) * 0x1B873593 & WORD
    h = (_rotate(seed ^ k, 13) * 5 + 0xE6546B64) & WORD
    h ^= 4  # the input's length in bytes
    h = (h ^ h >> 16) * 0x85EBCA6B & WORD
    h = (h ^ h >> 13) * 0xC2B2AE35 & WORD
    return h ^ h >> 16


def _rotate(x: int, bits: int) -> int:
    return (x << bits | x >> (32 - bits)) & WORD


def key(*words: int) -> int:
    """Chain words (taken modulo 2**32) into one seed."""
    h = 0
    for word in words:
        h = murmur3_32(word & WORD, h)
    return h


def class_order(classes: int, seed: int) -> list[int]:
    """The classes 0 to ``classes`` - 1 in the order that this seed gives, the same on every platform."""
    stream = key(seed, CLASSES_STREAM, 0, 0)
    return sorted(range(classes), key=lambda i: (murmur3_32(i, stream), i))
