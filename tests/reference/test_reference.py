"""The parts of the reference implementation against published vectors and hand-worked cases."""

from dataclasses import replace
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray
from sklearn.utils import murmurhash3_32

from tests.reference import schedule
from tests.reference.augment import crop_flip, normalise
from tests.reference.buffer import Buffer, draw, reservoir_slots
from tests.reference.config import Config
from tests.reference.gradient_masks import gradient_mask
from tests.reference.hashing import STREAMS, class_order, key, murmur3, stream
from tests.reference.masks import combine, importance, initial_mask, top, update_mask
from tests.reference.removal import Samples
from tests.reference.steps import class_mask, loss, merge, part

WORDS = st.integers(0, 2**32 - 1)
CONFIG = Config(("weight",), mean=(0.5,), std=(0.5,))


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


# --- the generator


@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [
        (b"\0\0\0\0", 0, 0x2362F9DE),
        (b"\xff\xff\xff\xff", 0, 0x76293B50),
        (b"\x21\x43\x65\x87", 0, 0xF55B516B),
        (b"\x21\x43\x65\x87", 0x5082EDEE, 0x2362F9DE),
        (b"test", 0, 0xBA6BD213),
        (b"test", 0x9747B28C, 0x704B81DC),
        (b"aaaa", 0x9747B28C, 0x5A97808A),
    ],
)
def test_murmur3_gives_the_published_vectors(data: bytes, seed: int, expected: int) -> None:
    assert murmur3(int.from_bytes(data, "little"), seed).tolist() == [expected]


@given(word=WORDS, seed=WORDS)
def test_murmur3_agrees_with_scikit_learns_implementation(word: int, seed: int) -> None:
    assert murmur3(word, seed).tolist() == [murmurhash3_32(word.to_bytes(4, "little"), seed=seed, positive=True)]


@given(classes=st.integers(0, 300), seed=WORDS)
def test_class_order_is_a_permutation_by_ascending_hash(classes: int, seed: int) -> None:
    order = class_order(classes, seed)
    assert sorted(order) == list(range(classes))
    chained = key(seed, STREAMS["classes"], 0, 0)
    hashes = [murmurhash3_32(i.to_bytes(4, "little"), seed=chained, positive=True) for i in order]
    assert hashes == sorted(hashes)


def test_class_order_stays_what_it_was() -> None:
    assert class_order(10, 0) == [0, 3, 6, 8, 2, 9, 5, 1, 7, 4]
    assert class_order(10, 1) != class_order(10, 0)


def test_key_chains_its_words_in_order() -> None:
    assert key() == 0
    assert key(7, 3) == int(murmur3(3, int(murmur3(7, 0)[0]))[0])
    assert key(7, 3) != key(3, 7)


def test_streams_differ_in_every_word() -> None:
    words = [(0, "order", 0, 0), (1, "order", 0, 0), (0, "grow", 0, 0), (0, "order", 1, 0), (0, "order", 0, 1)]
    first = [stream(*w, np.arange(8)).tolist() for w in words]
    assert len({tuple(values) for values in first}) == len(words)


def test_hash_bits_are_balanced() -> None:
    bits = np.unpackbits(stream(0, "order", 0, 0, np.arange(20000)).view(np.uint8).reshape(-1, 4), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.02


# --- counts and events


def test_counts_round_half_up() -> None:
    assert schedule.rounded(2.5) == 3
    assert schedule.rounded(2.4999) == 2
    paper = schedule.layer_counts(1000, 0.75, 0.8, "paper")
    code = schedule.layer_counts(1000, 0.75, 0.8, "reference-code")
    assert (paper.base, paper.shrunk, paper.grown, paper.update) == (250, 245, 260, 200)
    assert (code.base, code.shrunk, code.grown) == (250, 240, 260)


@pytest.mark.parametrize(("sparsity", "shrunk", "grown"), [(0.0, 1000, 1000), (0.99, 5, 15), (0.995, 3, 8)])
def test_changes_stay_within_half_the_density_and_the_layer(sparsity: float, shrunk: int, grown: int) -> None:
    counts = schedule.layer_counts(1000, sparsity, 0.0, "paper")
    assert (counts.shrunk, counts.grown, counts.update) == (shrunk, grown, 1000)


def test_events_of_first_and_later_tasks() -> None:
    counts = (schedule.layer_counts(1000, 0.75, 0.8, "paper"),)
    first, later = (schedule.mask_events(task, counts, "paper") for task in (0, 1))
    assert [e.fraction for e in first] == [Fraction(i, 10) for i in range(1, 10)]
    assert {(e.remove_to, e.grow_to) for e in first} == {((245,), (250,))}
    assert later[0].grow_to == (260,)
    assert later[0].fraction == 0
    assert (later[1].remove_to, later[1].grow_to) == ((250,), (250,))
    assert later[2:] == first[1:]
    code = schedule.mask_events(1, (schedule.layer_counts(1000, 0.75, 0.8, "reference-code"),), "reference-code")
    assert (code[1].remove_to, code[1].grow_to) == ((240,), (250,))


def test_removal_totals_and_none_without_a_share() -> None:
    assert [e.total for e in schedule.filter_events(90, CONFIG)] == [7, 14, 20, 27]
    assert schedule.filter_events(90, replace(CONFIG, data_removal=0)) == []


# --- masks


def test_top_breaks_ties_by_index_and_stops_at_the_candidates() -> None:
    among = np.array([True, False, True, True, True])
    assert top(np.array([1, 9, 2, 2, 2]), among, 2).tolist() == [False, False, True, True, False]
    assert top(np.ones(5), among, 99).tolist() == among.tolist()
    assert not top(np.ones(5), among, 0).any()


def test_initial_mask_keeps_the_largest_magnitudes() -> None:
    assert initial_mask(np.array([1, -3, 2, 0], np.float32), 2).tolist() == [False, True, True, False]


def test_importance_adds_in_float32_and_in_order() -> None:
    w, g = floats(1.0), floats(2**-24)
    assert importance(w, g, g, 1.0, 1.0).dtype == np.float32
    assert importance(w, g, g, 1.0, 1.0)[0] == 1  # the sum of both gradients first would have given more
    assert combine(floats(-2), floats(-3), 0.5, 1.0).tolist() == [4]


def test_update_mask_removes_the_least_important_and_may_regrow_it() -> None:
    mask = np.array([True, True, True, False])
    new, touched = update_mask(mask, floats(3, 1, 2, 9), 2, 2, seed=0, update=0, layer=0)
    assert new.tolist() == [True, False, True, False]
    assert touched.tolist() == [False, True, False, False]
    full, touched = update_mask(mask, floats(3, 1, 2, 9), 2, 4, seed=0, update=0, layer=0)
    assert full.all()
    assert touched.tolist() == [False, True, False, True]


def test_growth_takes_the_largest_hashes() -> None:
    mask = np.zeros(100, dtype=bool)
    new, _ = update_mask(mask, None, 10, 10, seed=5, update=3, layer=2)
    hashes = stream(5, "grow", 3, 2, np.arange(100))
    assert set(np.flatnonzero(new)) == set(np.argsort(hashes)[-10:])


def test_gradient_mask_is_part_of_the_mask() -> None:
    mask = np.array([True, False, True, True])
    assert gradient_mask(floats(1, 9, 3, 2), mask, 2).tolist() == [False, False, True, True]
    assert gradient_mask(floats(1, 9, 3, 2), mask, 4).tolist() == mask.tolist()


# --- samples, buffer, augmentation


def test_misclassified_samples_stay_and_more_seen_ones_leave_first() -> None:
    samples = Samples(4, "paper")
    samples.observe(np.array([0, 1, 2]), np.array([False, True, True]))
    samples.observe(np.array([0, 1, 2]), np.array([True, True, True]))
    samples.observe(np.array([2]), np.array([True]))
    samples.remove(1, batch=1)
    assert samples.keep.tolist() == [True, True, False, True]
    samples.remove(2, batch=1)  # all counters began anew: nothing is proved
    assert samples.keep.tolist() == [True, True, False, True]
    for _ in range(2):
        samples.observe(np.arange(4), np.ones(4, bool))
    samples.remove(2, batch=1)  # the lower index leaves
    assert samples.keep.tolist() == [False, True, False, True]


@pytest.mark.parametrize(("batch", "left"), [(1, 1), (3, 3), (4, 4), (9, 4)])
def test_a_full_batch_stays(batch: int, left: int) -> None:
    samples = Samples(4, "paper")
    for _ in range(2):
        samples.observe(np.arange(4), np.ones(4, bool))
    samples.remove(4, batch)
    assert int(samples.keep.sum()) == left


def test_forgetting_counts_transitions_and_never_learned_samples_stay() -> None:
    samples = Samples(3, "reference-code")
    for correct in ([True, False, False], [False, True, False], [True, True, False]):
        samples.observe(np.arange(3), np.array(correct))
    assert samples.score().tolist() == [1, 0, 50]
    samples.remove(1, batch=1)
    assert samples.score().tolist() == [1, 0, 50]
    assert samples.keep.tolist() == [True, False, True]


def test_reservoir_fills_in_order_and_the_later_of_two_wins() -> None:
    assert reservoir_slots(0, 0, 5, 5).tolist() == [0, 1, 2, 3, 4]
    buffer = Buffer(1, seed=0)
    for n in range(50):
        buffer.add(np.full((2, 1), n), np.array([n, n + 100]), np.zeros((2, 3), np.float32))
    winners = np.flatnonzero(reservoir_slots(0, 0, 1, 100) == 0)
    assert buffer.source.tolist() == [winners[-1]]
    assert buffer.labels[0] == winners[-1] // 2 + 100 * (winners[-1] % 2)


def test_reservoir_takes_the_hash_modulo_the_presentations() -> None:
    n = np.arange(100)
    r = stream(9, "reservoir", 0, 0, n).astype(np.int64) % (n + 1)
    assert reservoir_slots(9, 60, 10, 40).tolist() == np.where(r < 10, r, -1)[60:].tolist()


def test_reservoir_is_uniform() -> None:
    counts = np.zeros(400)
    for seed in range(300):
        source = np.full(20, -1)
        for n, slot in enumerate(reservoir_slots(seed, 0, 20, 400)):
            source[slot] = n if slot >= 0 else source[slot]
        counts[source] += 1
    quarters = counts.reshape(4, 100).sum(axis=1) / counts.sum()
    assert np.abs(quarters - 0.25).max() < 0.02


def test_draws_are_distinct_and_differ_by_step_and_batch() -> None:
    slots = draw(0, step=3, which=0, filled=50, batch=16)
    assert len(set(slots.tolist())) == 16
    assert slots.max() < 50
    assert slots.tolist() != draw(0, 3, 1, 50, 16).tolist()
    assert slots.tolist() != draw(0, 4, 0, 50, 16).tolist()
    assert draw(0, 3, 0, 0, 16).size == 0
    assert sorted(draw(0, 3, 0, 5, 16).tolist()) == [0, 1, 2, 3, 4]


def test_crop_and_flip_follow_the_stream() -> None:
    x = np.arange(1, 2 * 64 + 1, dtype=np.uint8).reshape(2, 1, 8, 8)
    out = crop_flip(x, seed=3, step=7, which=1)
    row, column, mirror = (int(v) for v in stream(3, "augment", 7, 1, np.arange(3, 6)))
    expected = np.zeros((16, 16), np.uint8)
    expected[4:12, 4:12] = x[1, 0]
    crop = expected[row % 9 : row % 9 + 8, column % 9 : column % 9 + 8]
    assert np.array_equal(out[1, 0], crop[:, ::-1] if mirror >= 2**31 else crop)


def test_normalise() -> None:
    assert normalise(np.full((1, 1, 1, 1), 255, np.uint8), (0.5,), (0.25,)).tolist() == [[[[2.0]]]]


# --- the loss


def test_loss_of_a_merged_batch_is_the_sum_of_its_parts() -> None:
    torch.manual_seed(0)
    every = class_mask(4, None)
    x: NDArray[np.float32] = np.zeros((3, 1), np.float32)
    labels, target = np.array([0, 1, 2]), np.ones((3, 4), np.float32)
    parts = [part(x, labels, class_mask=every, ce=1.0), part(x, labels, class_mask=every, distill=0.1, target=target)]
    logits = torch.randn(6, 4)
    parted = loss(logits[:3], parts[0]) + loss(logits[3:], parts[1])
    torch.testing.assert_close(loss(logits, merge(parts)), parted)
    by_hand = torch.nn.functional.cross_entropy(logits[:3], torch.tensor(labels))
    by_hand = by_hand + 0.1 * torch.nn.functional.mse_loss(logits[3:], torch.ones(3, 4))
    torch.testing.assert_close(parted, by_hand)


def test_classes_left_out_get_no_gradient() -> None:
    logits = torch.zeros(2, 4, requires_grad=True)
    p = part(np.zeros((2, 1), np.float32), np.array([2, 3]), class_mask=class_mask(4, [2, 3]), ce=1.0)
    loss(logits, p).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[:, :2].abs().max() == 0
    assert logits.grad[0].tolist() == [0, 0, -0.25, 0.25]
