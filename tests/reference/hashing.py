"""The counter-based generator of docs/algorithm.md: MurmurHash3_x86_32 of one 32-bit word.

Source: Austin Appleby's public-domain MurmurHash3, for inputs of exactly four bytes.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

WORD = 0xFFFFFFFF
STREAMS = {"order": 1, "grow": 2, "reservoir": 3, "replay": 4, "augment": 5, "classes": 6, "init": 7}


def _words(values: ArrayLike) -> NDArray[np.uint32]:
    """Integers as an array of at least one dimension: numpy wraps arrays silently but warns about scalars."""
    return np.atleast_1d(np.asarray(values, dtype=np.int64) & WORD).astype(np.uint32)


def _rotate(x: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


def murmur3(word: ArrayLike, seed: ArrayLike) -> NDArray[np.uint32]:
    """Hash the little-endian bytes of each word (integers, broadcast against ``seed``); uint32, at least 1-d."""
    k = _rotate(_words(word) * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
    h = _rotate(_words(seed) ^ k, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    h = h ^ np.uint32(4)  # the input's length in bytes
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return np.asarray(h ^ (h >> np.uint32(16)), dtype=np.uint32)


def key(*words: int) -> int:
    """Chain the words into one seed."""
    h = 0
    for word in words:
        h = int(murmur3(word, h)[0])
    return h


def stream(seed: int, name: str, a: int, b: int, elements: ArrayLike) -> NDArray[np.uint32]:
    """The given elements (integers) of a named stream, uint32."""
    return murmur3(elements, key(seed, STREAMS[name], a, b))


def class_order(classes: int, seed: int) -> list[int]:
    """The numbers of the classes in the order of a seed: by ascending hash, which no two of them share."""
    order: list[int] = np.argsort(stream(seed, "classes", 0, 0, np.arange(classes)), kind="stable").tolist()
    return order
