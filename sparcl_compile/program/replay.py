"""The replay methods: the batches of a step that come from the buffer, and their weights in the loss."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class ReplayBatch:
    """One batch of a step that is drawn from the buffer.

    Attributes:
        draw: number of the draw: batches of one step with different numbers hold different samples.
        ce: weight of the mean cross-entropy.
        distill: weight of the mean squared distance to the stored logits.
    """

    draw: int
    ce: float
    distill: float


REPLAYS: Mapping[str, tuple[ReplayBatch, ...]] = {
    "none": (),
    "er": (ReplayBatch(draw=1, ce=1.0, distill=0.0),),
    "der++": (ReplayBatch(draw=0, ce=0.0, distill=0.1), ReplayBatch(draw=1, ce=0.5, distill=0.0)),
}
"""Fine-tuning; experience replay; DER++ (Buzzega et al., NeurIPS 2020, equation 6) with its alpha and beta."""
FIRST_TASK = 1
"""The task, from 0, with which replay begins."""
