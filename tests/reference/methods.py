"""The methods of docs/methods.md that are more than batches from a buffer, around the learner of this package."""

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from .augment import normalise
from .config import Config
from .masks import top
from .network import memories
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


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1 along the last axis."""
    found: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return found


def herding(features: NDArray[np.float32], count: int) -> list[int]:
    """Algorithm 4 of iCaRL on unit features [N, D]: the numbers of the exemplars in the order of their choice."""
    mean, chosen = unit(features.mean(axis=0)), list[int]()
    for k in range(1, count + 1):
        taken = features[chosen].sum(axis=0)
        distances = np.linalg.norm(mean - unit((features + taken) / k), axis=1)
        distances[chosen] = np.inf
        chosen.append(int(distances.argmin()))
    return chosen


class Icarl(MethodLearner):
    """iCaRL for a module that is a sequence whose last part is the classifier."""

    def __init__(self, module: torch.nn.Module, config: Config, classes: int) -> None:
        super().__init__(module, config, classes)
        self.network.loss = self.loss
        self.old: list[int] = []
        self.exemplars: dict[int, NDArray[np.generic]] = {}

    def features(self, x: NDArray[np.generic]) -> NDArray[np.float32]:
        """Unit vectors [N, D]."""
        body = list(self.network.module.eval().children())[:-1]
        with torch.no_grad():
            values = torch.nn.Sequential(*body)(torch.from_numpy(normalise(x, self.config.mean, self.config.std)))
        return unit(values.numpy())

    def begin_task(self, task: int, data: Task) -> None:
        self.recorded = self.outputs(data[0])
        super().begin_task(task, data)

    def targets(self, labels: Ids, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        target = np.full((len(labels), self.classes), np.nan, np.float32)
        target[:, self.own_classes] = labels[:, None] == np.array(self.own_classes)
        target[:, self.old] = 1 / (1 + np.exp(-logits[:, self.old]))
        return target

    def current(self, ids: Ids) -> Part:
        labels, mask = self.labels[ids], np.zeros(self.classes, np.float32)
        target = self.targets(labels, self.recorded[ids])
        return part(self.prepare(self.x[ids], 0), labels, class_mask=mask, distill=1.0, target=target)

    def replayed(self) -> Iterator[Part]:
        if not self.old:
            return
        slots = self.buffer.draw(self.trace.steps, 1, self.config.batch_size)
        labels, mask = self.buffer.labels[slots], np.zeros(self.classes, np.float32)
        target, weight = self.targets(labels, self.buffer.logits[slots]), self.config.logit_weight or 1.0
        yield part(self.prepare(self.buffer.x[slots], 2), labels, class_mask=mask, distill=weight, target=target)

    def remember(self, ids: Ids, logits: NDArray[np.float32]) -> None:
        """Nothing before the end."""

    def end_task(self) -> None:
        self.old += self.own_classes
        each, buffer = self.config.buffer_size // len(self.old), self.buffer
        self.exemplars = {label: x[:each] for label, x in self.exemplars.items()}
        for label in self.own_classes:
            x = self.x[self.labels == label]
            self.exemplars[label] = x[herding(self.features(x), min(each, len(x)))]
        stored = np.concatenate(list(self.exemplars.values()))
        buffer.x = np.zeros((buffer.size, *stored.shape[1:]), stored.dtype)
        buffer.x[: len(stored)], buffer.seen = stored, len(stored)
        buffer.labels[: len(stored)] = np.concatenate([[label] * len(x) for label, x in self.exemplars.items()])
        buffer.logits = np.zeros((buffer.size, self.classes), np.float32)
        buffer.logits[: len(stored)] = self.outputs(stored)

    def means(self) -> dict[int, NDArray[np.float32]]:
        """The unit mean of each class's exemplars."""
        return {label: unit(self.features(x).mean(axis=0)) for label, x in self.exemplars.items()}

    @staticmethod
    def loss(logits: torch.Tensor, p: Part) -> torch.Tensor:
        outside = p.target.isnan()
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, p.target.nan_to_num(), reduction="none")
        return (p.distill_weight * torch.where(outside, 0, each).sum(1)).sum()


Vectors = dict[str, torch.Tensor]
"""A tensor for each parameter, by its name."""
STRENGTH, FORGETS = 1000.0, 1.0


class Ewc(MethodLearner):
    """Online EWC: the empirical Fisher information of single samples, summed over tasks, and a quadratic penalty.

    A step is implicit in the penalty.
    """

    strength, forgets = STRENGTH, FORGETS

    def __init__(self, module: torch.nn.Module, config: Config, classes: int) -> None:
        super().__init__(module, config, classes)
        self.fisher: Vectors = {}
        self.anchor: Vectors = {}

    def information(self) -> Vectors:
        """The mean over the task's samples of the squared gradients of the log-likelihood."""
        module = self.network.module.eval()
        found = {name: torch.zeros_like(parameter) for name, parameter in module.named_parameters()}
        x = torch.from_numpy(normalise(self.x, self.config.mean, self.config.std))
        for sample, label in zip(x, self.labels, strict=True):
            module.zero_grad(set_to_none=True)
            likelihood = self.network.forward(sample[None]).log_softmax(1)[0, int(label)]
            likelihood.backward()  # type: ignore[no-untyped-call]
            for name, parameter in module.named_parameters():
                if parameter.grad is not None:
                    found[name] += parameter.grad**2 / len(x)
        return found

    def end_task(self) -> None:
        for name, value in self.information().items():
            self.fisher[name] = self.forgets * self.fisher.get(name, torch.zeros(())) + value
        self.anchor = {name: p.detach().clone() for name, p in self.network.module.named_parameters()}

    def penalty(self) -> torch.Tensor:
        """Lambda / 2 times the weighted squares."""
        named = self.network.module.named_parameters()
        parts = [(self.fisher[name] * (p - self.anchor[name]) ** 2).sum() for name, p in named]
        return self.strength / 2 * torch.stack(parts).sum()

    def change_gradients(self) -> None:
        if not self.anchor:
            return
        self.penalty().backward()  # type: ignore[no-untyped-call]
        self.network.mask_gradients()
        groups = self.optimizer.param_groups
        for group, name in zip(groups, self.fisher, strict=True):
            group["params"][0].grad /= 1 + group["lr"] * self.strength * self.fisher[name]


class Agem(MethodLearner):
    """A-GEM: the gradient of the current batch, turned where it is against that of a batch from the buffer."""

    def __init__(self, module: torch.nn.Module, config: Config, classes: int) -> None:
        super().__init__(module, config, classes)
        self.sum_gradients = self.network.accumulate
        self.network.accumulate = self.accumulate  # type: ignore[method-assign]
        self.reference: Vectors = {}

    def gradients(self) -> Vectors:
        """What is stored of them."""
        named = self.network.module.named_parameters()
        return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in named}

    def accumulate(self, parts: Sequence[Part]) -> tuple[list[float], list[torch.Tensor]]:
        """The gradients of the first batch; those of the second one are kept."""
        self.reference = {}
        if len(parts) == 2:
            self.sum_gradients(parts[1:])
            self.network.mask_gradients()
            self.reference = self.gradients()
        return self.sum_gradients(parts[:1])

    def change_gradients(self) -> None:
        if not self.reference:
            return
        gradient = torch.cat([one.flatten() for one in self.gradients().values()]).double()
        reference = torch.cat([one.flatten() for one in self.reference.values()]).double()
        along = gradient @ reference
        if along >= 0:
            return
        share = (along / (reference @ reference)).float()
        for name, parameter in self.network.module.named_parameters():
            if parameter.grad is not None:
                parameter.grad -= share * self.reference[name]


class PackNet(MethodLearner):
    """PackNet for a module without normalisation whose last weight and bias are the classifier's.

    At two thirds of a task its free weights are pruned, layer by layer, to the largest of the task's share.
    """

    def __init__(self, module: torch.nn.Module, config: Config, classes: int) -> None:
        super().__init__(module, config, classes)
        *body, _, _ = self.network.module.named_parameters()
        self.packed = {name: p for name, p in body if p.dim() > 1}
        self.shared = {name: p for name, p in body if p.dim() == 1}
        self.owners = {name: torch.zeros_like(p) for name, p in self.packed.items()}

    def begin_task(self, task: int, data: Task) -> None:
        self.prunes = True
        self.optimizer.state.clear()
        self.owners = {name: owner.clamp(min=0) for name, owner in self.owners.items()}
        super().begin_task(task, data)

    def current(self, ids: Ids) -> Part:
        mask = np.full(self.classes, LEFT_OUT, np.float32)
        mask[self.own_classes] = 0
        return part(self.prepare(self.x[ids], 0), self.labels[ids], class_mask=mask, ce=1.0)

    def change_gradients(self) -> None:
        for name, weight in self.packed.items():
            assert weight.grad is not None
            weight.grad *= (self.owners[name] == 0) | (self.owners[name] == self.task + 1)
        for parameter in self.shared.values():
            assert parameter.grad is not None
            parameter.grad *= float(self.task == 0)

    def run_events(self, progress: Fraction, parts: Sequence[Part]) -> None:
        super().run_events(progress, parts)
        if self.prunes and progress >= Fraction(2, 3):
            self.prunes = False
            for name, weight in self.packed.items():
                self._prune(weight, self.owners[name])

    def _prune(self, weight: torch.Tensor, owner: torch.Tensor) -> None:
        values, owned, tasks = weight.detach().numpy().reshape(-1), owner.numpy().reshape(-1), self.config.tasks
        count = values.size * (self.task + 1) // tasks - values.size * self.task // tasks
        free = owned == 0
        kept = top(np.abs(values), free, count)
        owned[free], owned[kept] = -1, self.task + 1
        values[free & ~kept] = 0
        for memory in memories(weight, self.optimizer):
            memory[free & ~kept] = 0

    def answers(self, x: NDArray[np.generic], of: int) -> NDArray[np.float32]:
        """Logits of the network of a task: the weights of the tasks up to this one."""
        for name, weight in self.packed.items():
            weight.detach().mul_((self.owners[name] > 0) & (self.owners[name] <= of + 1))
        return self.outputs(x)


LEARNERS: dict[str, type[_Learner]] = {
    "lwf": Lwf,
    "fdr": Fdr,
    "icarl": Icarl,
    "ewc": Ewc,
    "a-gem": Agem,
    "packnet": PackNet,
}


def run(module: torch.nn.Module, tasks: Sequence[Task], config: Config, classes: int) -> Trace:
    """Train a copy of the model by the method that ``config.replay`` names."""
    return run_learner(module, tasks, config, classes, learner_type=LEARNERS.get(config.replay, _Learner))


def run_jointly(module: torch.nn.Module, tasks: Sequence[Task], config: Config, classes: int) -> Trace:
    """Train a copy of the model on all tasks so far, each time one has come: plain training of a growing set."""
    growing = [tuple(np.concatenate(part) for part in zip(*tasks[: n + 1], strict=True)) for n in range(len(tasks))]
    return run_learner(module, growing, dataclasses.replace(config, replay="finetune"), classes)
