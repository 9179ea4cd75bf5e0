"""The hash against published vectors and an independent implementation."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from sklearn.utils import murmurhash3_32

from sparcl_compile.runtime.data.hashing import CLASSES_STREAM, class_order, key, murmur3_32

WORDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("word", "seed", "expected"),
    [
        (0x00000000, 0, 0x2362F9DE),
        (0xFFFFFFFF, 0, 0x76293B50),
        (0x87654321, 0, 0xF55B516B),
        (0x87654321, 0x5082EDEE, 0x2362F9DE),
        (int.from_bytes(b"test", "little"), 0, 0xBA6BD213),
        (int.from_bytes(b"test", "little"), 0x9747B28C, 0x704B81DC),
        (int.from_bytes(b"aaaa", "little"), 0x9747B28C, 0x5A97808A),
    ],
)
def test_published_vectors(word: int, seed: int, expected: int) -> None:
    assert murmur3_32(word, seed) == expected


@given(word=WORDS, seed=WORDS)
def test_agrees_with_scikit_learns_implementation(word: int, seed: int) -> None:
    assert murmur3_32(word, seed) == murmurhash3_32(word.to_bytes(4, "little"), seed=seed, positive=True)


def test_key_chains_from_zero_and_heeds_order() -> None:
    assert key() == 0
    assert key(7, 6) == murmur3_32(6, murmur3_32(7, 0))
    assert key(7, 6) != key(6, 7)


@given(classes=st.integers(0, 300), seed=WORDS)
def test_class_order_is_a_permutation_by_ascending_hash(classes: int, seed: int) -> None:
    order = class_order(classes, seed)
    assert sorted(order) == list(range(classes))
    hashes = [
        murmurhash3_32(i.to_bytes(4, "little"), seed=key(seed, CLASSES_STREAM, 0, 0), positive=True) for i in order
    ]
    assert hashes == sorted(hashes)


def test_class_order_stays_what_it_was() -> None:
    assert class_order(10, 0) == [0, 3, 6, 8, 2, 9, 5, 1, 7, 4]
    assert class_order(10, 1) != class_order(10, 0)
