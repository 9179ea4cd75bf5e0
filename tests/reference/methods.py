"""The methods of docs/methods.md that are more than batches from a buffer, around the learner of this package."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from .augment import normalise
from .config import Config
from .steps import LEFT_OUT, Part, part
from .train import Task, Trace, _Learner
from .train import run as run_learner

Ids = NDArray[np.int64]
TEMPERATURE = 2.0


class MethodLearner(_Learner):
    """A learner that can ask its network."""

    def outputs(self, x: NDArray[np.generic]) -> NDArray[np.float32]:
        """Logits [N, C] of raw samples, with running statistics."""
        self.network.module.eval()
        with torch.no_grad():
            logits = self.network.forward(torch.from_numpy(normalise(x, self.config.mean, self.config.std)))
        found: NDArray[np.float32] = logits.numpy()
        return found


class Lwf(MethodLearner):
    """Learning without Forgetting: the loss of the task's own classes, and the old outputs softened by T = 2."""

    def __init__(self, module: torch.nn.Module, config: Config, classes: int) -> None:
        super().__init__(module, config, classes)
        self.network.loss = self.loss
        self.old: list[int] = []

    def begin_task(self, task: int, data: Task) -> None:
        self.recorded = self.outputs(data[0])
        super().begin_task(task, data)

    def end_task(self) -> None:
        self.old += self.own_classes

    def current(self, ids: Ids) -> Part:
        mask = np.full(self.classes, LEFT_OUT, np.float32)
        mask[self.own_classes] = 0
        target, x = self.recorded[ids], self.prepare(self.x[ids], 0)
        return part(x, self.labels[ids], class_mask=mask, ce=1.0, distill=float(bool(self.old)), target=target)

    def loss(self, logits: torch.Tensor, p: Part) -> torch.Tensor:
        ce = torch.nn.functional.cross_entropy(logits + p.class_mask, p.labels, reduction="none")
        total = (p.ce_weight * ce).sum()
        if not self.old:
            return total
        then = (p.target[:, self.old] / TEMPERATURE).softmax(1)
        now = (logits[:, self.old] / TEMPERATURE).log_softmax(1)
        return total - (p.distill_weight * (then * now).sum(1)).sum()


class Fdr(MethodLearner):
    """Function distance: the buffer is filled at the end of a task, and softmax outputs are to stay as they were."""

    def __init__(self, module: torch.nn.Module, config: Config, classes: int) -> None:
        super().__init__(module, config, classes)
        self.network.loss = self.loss

    def remember(self, ids: Ids, logits: NDArray[np.float32]) -> None:
        """Nothing before the end."""

    def end_task(self) -> None:
        self.buffer.add(self.x, self.labels, self.outputs(self.x))

    @staticmethod
    def loss(logits: torch.Tensor, p: Part) -> torch.Tensor:
        ce = torch.nn.functional.cross_entropy(logits + p.class_mask, p.labels, reduction="none")
        error = logits.softmax(1) - p.target.softmax(1)
        return (p.ce_weight * ce).sum() + (p.distill_weight * torch.linalg.vector_norm(error, dim=1)).sum()


LEARNERS: dict[str, type[_Learner]] = {"lwf": Lwf, "fdr": Fdr}


def run(module: torch.nn.Module, tasks: Sequence[Task], config: Config, classes: int) -> Trace:
    """Train a copy of the model by the method that ``config.replay`` names."""
    return run_learner(module, tasks, config, classes, learner_type=LEARNERS.get(config.replay, _Learner))
