"""Batches as the training graph takes them, made by hand: every replay method is a setting of the weights."""

import dataclasses
from collections.abc import Sequence

import numpy as np

NOT_A_CLASS = -1e9
"""Added to the logits of a class that does not take part; finite, see passes/differentiating/attach_loss.py."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """Feeds of one micro-step.

    Attributes:
        x: float32 [N, ...], ready for the model.
        labels: int64 [N].
        class_mask: float32 [N, C], 0 or ``NOT_A_CLASS``.
        ce_weight: float32 [N].
        distill_target: float32 [N, C].
        distill_weight: float32 [N].
        sample_id: int64 [N], -1 for replayed samples.
    """

    x: np.ndarray
    labels: np.ndarray
    class_mask: np.ndarray
    ce_weight: np.ndarray
    distill_target: np.ndarray
    distill_weight: np.ndarray
    sample_id: np.ndarray

    def values(self, name: str) -> dict[str, np.ndarray]:
        """The batch as values of a program."""
        return {f"{name}.{field.name}": getattr(self, field.name) for field in dataclasses.fields(self)}

    def feeds(self, first: bool) -> dict[str, np.ndarray]:
        """The graph's feeds; the first micro-step of a step overwrites the accumulated gradient."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**values, "lazy_reset_grad": np.array([first])}


def current_batch(x: np.ndarray, labels: np.ndarray, class_mask: np.ndarray, sample_id: np.ndarray) -> Batch:
    """A batch of the current task: mean cross-entropy."""
    size, classes = len(labels), class_mask.shape[-1]
    return Batch(
        x=x,
        labels=labels,
        class_mask=np.broadcast_to(class_mask, (size, classes)).astype(np.float32),
        ce_weight=np.full(size, 1.0 / size, np.float32),
        distill_target=np.zeros((size, classes), np.float32),
        distill_weight=np.zeros(size, np.float32),
        sample_id=sample_id,
    )


def replay_batch(x: np.ndarray, labels: np.ndarray, logits: np.ndarray, ce: float, distill: float) -> Batch:
    """A batch from the buffer: ``ce`` times the mean cross-entropy plus ``distill`` times the mean logit error."""
    size = len(labels)
    return Batch(
        x=x,
        labels=labels,
        class_mask=np.zeros_like(logits),
        ce_weight=np.full(size, ce / size, np.float32),
        distill_target=logits,
        distill_weight=np.full(size, distill / size, np.float32),
        sample_id=np.full(size, -1, np.int64),
    )


def with_class_mask(batch: Batch, mask: np.ndarray) -> Batch:
    """The same batch under another class mask, float32 [C]."""
    return dataclasses.replace(batch, class_mask=np.broadcast_to(mask, batch.class_mask.shape).astype(np.float32))


def merge(batches: Sequence[Batch]) -> Batch:
    """Several batches as one: one forward pass, one set of BatchNorm statistics."""
    names = [field.name for field in dataclasses.fields(Batch)]
    return Batch(**{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in names})


def class_mask(classes: int, allowed: Sequence[int]) -> np.ndarray:
    """A mask [C] that lets only the allowed classes take part."""
    mask = np.full(classes, NOT_A_CLASS, np.float32)
    mask[list(allowed)] = 0.0
    return mask
