import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from sparcl_compile.graphs.builder import INT64, UINT32, Builder
from sparcl_compile.graphs.hash import Stream, key, murmur3, stream
from tests.support import harness

PUBLISHED = [
    (0x87654321, 0, 0xF55B516B),
    (0x87654321, 0x5082EDEE, 0x2362F9DE),
    (0, 0, 0x2362F9DE),
    (0xFFFFFFFF, 0, 0x76293B50),
    (int.from_bytes(b"test", "little"), 0, 0xBA6BD213),
    (int.from_bytes(b"test", "little"), 0x9747B28C, 0x704B81DC),
    (int.from_bytes(b"aaaa", "little"), 0x9747B28C, 0x5A97808A),
]
WORDS = st.integers(0, 2**32 - 1)


def hash_model() -> ir.Model:
    b = Builder("hash", "")
    word, seed = b.feed("word", UINT32, ["N"]), b.feed("seed", UINT32, [1])
    b.result("hash", murmur3(b, word, seed), UINT32, ["N"])
    return b.model()


def stream_model(number: Stream) -> ir.Model:
    b = Builder("stream", "")
    feed, index = b.feed("key", INT64, [3]), b.feed("index", INT64, ["N"])
    b.result("drawn", stream(b, feed, number, index), INT64, ["N"])
    return b.model()


@pytest.fixture(scope="module")
def hashing() -> harness.Graph:
    return harness.Graph(hash_model())


@pytest.fixture(scope="module")
def streams() -> dict[str, harness.Graph]:
    return {number.name.lower(): harness.Graph(stream_model(number)) for number in Stream}


@pytest.mark.parametrize(("word", "seed", "expected"), PUBLISHED)
def test_published_vectors(hashing: harness.Graph, word: int, seed: int, expected: int) -> None:
    found = hashing({"word": np.array([word], np.uint32), "seed": np.array([seed], np.uint32)})
    assert [hex(h) for h in found["hash"]] == [hex(expected)]


@pytest.mark.parametrize(("word", "seed", "expected"), PUBLISHED)
def test_the_tests_own_hash_gives_the_published_vectors(word: int, seed: int, expected: int) -> None:
    assert harness.murmur3(harness.word(word), seed) == expected


def test_the_tests_own_hash_gives_published_vectors_of_other_lengths() -> None:
    assert harness.murmur3(b"", 1) == 0x514E28B7
    assert harness.murmur3(bytes.fromhex("2143"), 0) == 0xA0F7B07A
    assert harness.murmur3(b"Hello, world!", 0x9747B28C) == 0x24884CBA


@given(words=st.lists(WORDS, max_size=20), seed=WORDS)
def test_equals_the_definition(hashing: harness.Graph, words: list[int], seed: int) -> None:
    found = hashing({"word": np.array(words, np.uint32), "seed": np.array([seed], np.uint32)})
    assert found["hash"].tolist() == [harness.murmur3(harness.word(w), seed) for w in words]


@given(word=WORDS, seed=WORDS)
def test_agrees_with_scikit_learns_implementation(hashing: harness.Graph, word: int, seed: int) -> None:
    found = hashing({"word": np.array([word], np.uint32), "seed": np.array([seed], np.uint32)})
    assert found["hash"].tolist() == [murmurhash3_32(word.to_bytes(4, "little"), seed=seed, positive=True)]


@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    a=st.integers(0, 2**40),
    b=st.integers(0, 2**20),
    indices=st.lists(st.integers(0, 2**40), max_size=5),
)
def test_streams_take_the_low_bits_of_each_word(
    streams: dict[str, harness.Graph], seed: int, a: int, b: int, indices: list[int]
) -> None:
    feed = harness.key(seed, a, b)
    for name, graph in streams.items():
        found = graph({"key": feed, "index": np.array(indices, np.int64)})
        assert found["drawn"].tolist() == [harness.element(name, feed, i) for i in indices]


def test_streams_carry_the_numbers_of_the_specification() -> None:
    assert {number.name.lower(): int(number) for number in Stream} == harness.STREAMS


def test_streams_and_their_words_are_independent(streams: dict[str, harness.Graph]) -> None:
    keys = [harness.key(1), harness.key(2), harness.key(1, 1), harness.key(1, 0, 1)]
    index = np.arange(8)
    drawn = [graph({"key": k, "index": index})["drawn"].tolist() for graph in streams.values() for k in keys]
    assert len({tuple(d) for d in drawn}) == len(drawn)


def test_one_seed_never_gives_two_words_the_same_hash(hashing: harness.Graph) -> None:
    found = hashing({"word": np.arange(2**17, dtype=np.uint32), "seed": np.array([7], np.uint32)})
    assert len(np.unique(found["hash"])) == 2**17


def test_a_key_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        key(Builder("empty", ""))
