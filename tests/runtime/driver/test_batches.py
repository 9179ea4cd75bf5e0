import numpy as np

from sparcl_compile.runtime.driver.batches import NOT_A_CLASS, class_mask, current_batch, merge, replay_batch

X = np.arange(12, dtype=np.float32).reshape(3, 4)
LABELS = np.array([0, 1, 1])


def test_class_mask_lets_only_the_allowed_take_part() -> None:
    mask = class_mask(4, (1, 3))
    assert mask.tolist() == np.array([NOT_A_CLASS, 0, NOT_A_CLASS, 0], np.float32).tolist()
    assert mask.dtype == np.float32


def test_a_current_batch_is_the_mean_cross_entropy() -> None:
    batch = current_batch(X, LABELS, class_mask(2, (1,)), np.array([7, 8, 9]))
    assert batch.ce_weight.sum() == np.float32(1)
    assert batch.class_mask.shape == batch.distill_target.shape == (3, 2)
    assert not batch.distill_weight.any()
    assert batch.sample_id.tolist() == [7, 8, 9]


def test_a_replay_batch_counts_for_no_sample_and_masks_no_class() -> None:
    logits = np.full((3, 2), 5, np.float32)
    batch = replay_batch(X, LABELS, logits, ce=0.5, distill=0.1)
    np.testing.assert_allclose(batch.ce_weight, 0.5 / 3)
    np.testing.assert_allclose(batch.distill_weight, 0.1 / 3, rtol=1e-6)
    assert batch.distill_target is logits
    assert batch.sample_id.tolist() == [-1] * 3
    assert not batch.class_mask.any()


def test_merging_keeps_every_weight() -> None:
    parts = [
        current_batch(X, LABELS, class_mask(2, (0, 1)), np.array([0, 1, 2])),
        replay_batch(X[:2], LABELS[:2], np.zeros((2, 2), np.float32), ce=0.0, distill=0.1),
    ]
    whole = merge(parts)
    assert whole.sample_id.tolist() == [0, 1, 2, -1, -1]
    np.testing.assert_allclose(whole.ce_weight, [1 / 3] * 3 + [0] * 2)
    np.testing.assert_allclose(whole.distill_weight, [0] * 3 + [0.05] * 2)
    assert whole.x.shape == (5, 4)


def test_feeds_are_what_the_training_graph_takes() -> None:
    feeds = current_batch(X, LABELS, class_mask(2, (0, 1)), np.array([0, 1, 2])).feeds(first=True)
    assert {name: (array.dtype.name, array.ndim) for name, array in feeds.items()} == {
        "x": ("float32", 2),
        "labels": ("int64", 1),
        "class_mask": ("float32", 2),
        "ce_weight": ("float32", 1),
        "distill_target": ("float32", 2),
        "distill_weight": ("float32", 1),
        "sample_id": ("int64", 1),
        "lazy_reset_grad": ("bool", 1),
    }
    assert feeds["lazy_reset_grad"].tolist() == [True]
