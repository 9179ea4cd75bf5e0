"""The replay buffer: rows of arrays. Which row is written or drawn is decided by graphs."""

from collections.abc import Sequence

import numpy as np

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.runtime.session.engine import Engine


class ReplayBuffer:
    """Raw samples, labels and logits of past presentations (reservoir sampling, Vitter 1985).

    Attributes:
        x: raw samples [size, ...] in the data's dtype.
        labels: int64 [size].
        logits: float32 [size, C], in training mode at the time of the presentation.
        seen: presentations so far.

    Raises:
        OptionError: the buffer does not fit into the memory.
    """

    def __init__(self, size: int, sample_shape: Sequence[int], dtype: np.dtype, classes: int) -> None:
        self.size = size
        try:
            self.x = np.zeros((size, *sample_shape), dtype)
            self.labels = np.zeros(size, np.int64)
            self.logits = np.zeros((size, classes), np.float32)
        except (MemoryError, ValueError) as error:
            raise OptionError(f"--buffer {size}: does not fit into the memory; give fewer samples") from error
        self.seen = 0

    @property
    def filled(self) -> int:
        """Rows that hold a sample."""
        return min(self.seen, self.size)

    def add(self, engine: Engine, seed: int, x: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> None:
        """Offer a batch of presentations; the graph ``buffer_slots`` says which row each one takes, -1 for none."""
        feeds = {
            "key": np.array([seed, 0, 0], np.int64),
            "seen": np.array(self.seen, np.int64),
            "size": np.array(self.size, np.int64),
            "labels": labels,
        }
        slot = engine.run("buffer_slots", feeds)["slot"]
        taken = slot >= 0
        self.x[slot[taken]] = x[taken]
        self.labels[slot[taken]] = labels[taken]
        self.logits[slot[taken]] = logits[taken]
        self.seen += len(labels)

    def draw(self, engine: Engine, seed: int, step: int, draw: int, batch: int) -> np.ndarray:
        """Row numbers of a replay batch, int64 [min(batch, filled)]."""
        feeds = {
            "key": np.array([seed, step, draw], np.int64),
            "filled": np.array(self.filled, np.int64),
            "size": np.array(self.size, np.int64),
            "batch": np.array(batch, np.int64),
        }
        return engine.run("draw_replay", feeds)["slot"]

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint must hold."""
        return {"buffer.x": self.x, "buffer.labels": self.labels, "buffer.logits": self.logits}

    def restore(self, arrays: dict[str, np.ndarray], seen: int) -> None:
        """Take back what ``arrays`` gave."""
        self.x, self.labels, self.logits = (arrays[f"buffer.{name}"].copy() for name in ("x", "labels", "logits"))
        self.seen = seen
