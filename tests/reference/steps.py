"""One micro-step: a batch with its loss weights, and the loss."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

LEFT_OUT = -1e9
"""Added by the class mask to the logit of a class that takes no part."""


@dataclasses.dataclass(frozen=True)
class Part:
    """The feeds of one micro-step: N samples, C classes.

    x f32 [N, ...] augmented and normalised, labels i64 [N], class_mask f32 [N, C], ce_weight f32 [N],
    target f32 [N, C], distill_weight f32 [N].
    """

    x: torch.Tensor
    labels: torch.Tensor
    class_mask: torch.Tensor
    ce_weight: torch.Tensor
    target: torch.Tensor
    distill_weight: torch.Tensor


def part(
    x: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    class_mask: NDArray[np.float32],
    ce: float = 0.0,
    distill: float = 0.0,
    target: NDArray[np.float32] | None = None,
) -> Part:
    """A part whose samples all weigh ``ce / N`` and ``distill / N``; class_mask is [C]."""
    n, classes = len(x), len(class_mask)
    return Part(
        x=torch.from_numpy(x),
        labels=torch.from_numpy(labels),
        class_mask=torch.from_numpy(class_mask).expand(n, classes),
        ce_weight=torch.full((n,), ce / n),
        target=torch.zeros(n, classes) if target is None else torch.from_numpy(target),
        distill_weight=torch.full((n,), distill / n),
    )


def merge(parts: Sequence[Part]) -> Part:
    """All samples of the parts as one."""
    columns = zip(*(dataclasses.astuple(p) for p in parts), strict=True)
    return Part(*(torch.cat(column) for column in columns))


def class_mask(classes: int, taking_part: Sequence[int] | None) -> NDArray[np.float32]:
    """[C]: 0 for the classes that take part (None: all), ``LEFT_OUT`` for the others."""
    if taking_part is None:
        return np.zeros(classes, dtype=np.float32)
    mask = np.full(classes, LEFT_OUT, dtype=np.float32)
    mask[list(taking_part)] = 0
    return mask


def log_shares(own: Sequence[int], stored: Sequence[int], classes: int, weight: float) -> NDArray[np.float32]:
    """[C]: the log of each class's share of a step's loss, of the task's classes ``own`` and the labels ``stored``.

    ``weight`` is that of the replayed labels. A class that is not stored counts as one sample of the buffer.
    """
    current = [1.0 / len(own) if label in own else 0.0 for label in range(classes)]
    replayed = [max(list(stored).count(label), 1) / max(len(stored), 1) for label in range(classes)]
    return np.array([math.log(a + weight * b) for a, b in zip(current, replayed, strict=True)], dtype=np.float32)


def loss(logits: torch.Tensor, p: Part) -> torch.Tensor:
    """Weighted cross-entropy plus weighted squared distance to the target logits."""
    ce = torch.nn.functional.cross_entropy(logits + p.class_mask, p.labels, reduction="none")
    distance = (logits - p.target).square().mean(dim=1)
    return (p.ce_weight * ce).sum() + (p.distill_weight * distance).sum()
