"""The loop of docs/algorithm.md: :func:`run` and :func:`evaluate`."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from . import scaling, schedule, schemes
from .augment import crop_flip, normalise
from .buffer import Buffer
from .config import Config, LayerCounts
from .gradient_masks import channel_gradient_mask, gradient_mask
from .hashing import stream
from .masks import combine, importance
from .network import Gradients, MaskedNetwork
from .removal import Samples
from .schedule import MaskEvent
from .steps import Part, class_mask, log_shares, merge, part
from .trace import MaskSnapshot, Trace

Task = tuple[NDArray[np.generic], NDArray[np.int64]]
"""Raw samples [S, C, H, W] (uint8 or float) and labels [S]."""

COEFFICIENTS = {"paper": (0.5, 1.0), "reference-code": (0.5, 0.0)}
"""alpha and beta of CWI and CGI."""

REPLAY = {
    "finetune": (),
    "er": ((1, 1.0, 0.0),),
    "der": ((0, 0.0, 0.3),),
    "der++": ((0, 0.0, 0.2), (1, 1.0, 0.0)),
    "er-ace": ((1, 1.0, 0.0),),
    "a-gem": ((1, 1.0, 0.0),),
    "lwf": (),
    "ewc": (),
    "fdr": ((0, 0.0, 0.3),),
    "packnet": (),
}
"""The replay batches of a step: number in the random streams, weight of the cross-entropy, weight of the logits."""


class _Learner:
    """The state of a run, and what happens in one step of it."""

    def __init__(self, module: torch.nn.Module, config: Config, classes: int) -> None:
        self.config, self.classes = config, classes
        network = MaskedNetwork(module, config.masked)
        self.trace = Trace(network, Buffer(config.buffer_size, config.seed))
        self.network, self.buffer = self.trace.network, self.trace.buffer
        self.optimizer = self._optimizer()
        self.groups = [self._groups(weight) for weight in network.weights.values()]
        self.counts = config.counts or tuple(self._counts(groups) for groups in self.groups)
        self.updates = 0
        for name, groups, counts in zip(config.masked, self.groups, self.counts, strict=True):
            mask = schemes.initial_mask(groups, network.weight(name), counts.base)
            if config.scaling:
                self._scale(name, mask)
            network.set_mask(name, mask, ~mask, self.optimizer)
        self.factors = [group["lr"] / config.lr for group in self.optimizer.param_groups]
        self.limits = self._largest_steps()

    def _optimizer(self) -> torch.optim.Optimizer:
        c, each = self.config, [{"params": [parameter]} for parameter in self.network.module.parameters()]
        if c.optimizer == "adamw":
            return torch.optim.AdamW(each, lr=c.lr, weight_decay=c.weight_decay)
        return torch.optim.SGD(each, lr=c.lr, momentum=c.momentum, weight_decay=c.weight_decay)

    def _scale(self, name: str, mask: NDArray[np.bool_]) -> None:
        weight = self.network.weights[name]
        with torch.no_grad():
            weight *= scaling.gain(weight.numpy(), mask.reshape(weight.shape))
        group = next(group for group in self.optimizer.param_groups if group["params"][0] is weight)
        group["lr"] *= scaling.rate_factor(mask.reshape(weight.shape))

    def _largest_steps(self) -> list[float]:
        """By parameter the largest norm of its step; infinite where there is no limit."""
        share, limits = self.config.step_limit * (1.0 - self.config.momentum), []
        for name, parameter in self.network.module.named_parameters():
            mask = self.network.masks.get(name)
            kept = parameter if mask is None else parameter * torch.from_numpy(mask.reshape(parameter.shape))
            limits.append(share * scaling.first_norm(kept.detach()) if share else float("inf"))
        return limits

    def _groups(self, weight: torch.Tensor) -> schemes.Groups:
        return schemes.groups_of(self.config.scheme, weight.shape, "oi" + "k" * (weight.dim() - 2))

    def _counts(self, groups: schemes.Groups) -> LayerCounts:
        c = self.config
        return schemes.counts(groups, c.sparsity, c.gradient_sparsity, c.recipe)

    @property
    def done(self) -> bool:
        return self.config.max_steps is not None and self.trace.steps >= self.config.max_steps

    def begin_task(self, task: int, data: Task) -> None:
        self.task, (self.x, self.labels) = task, data
        self.own_classes = sorted({int(label) for label in self.labels})
        self.samples = Samples(len(self.x), self.config.recipe)
        self.trace.sample_keep.append(self.samples.keep)
        self.mask_events = schedule.mask_events(task, self.counts, self.config.recipe)
        self.filter_events = schedule.filter_events(len(self.x), self.config)
        self.task_step, self.epoch, self.stale = 0, 0, True
        self.long_steps = [0] * len(self.limits)
        self.run_events(Fraction(0), [])

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The kept samples in the order of this epoch."""
        kept = np.flatnonzero(self.samples.keep)
        return kept[np.lexsort((kept, stream(self.config.seed, "order", self.task, epoch, kept)))]

    def prepare(self, x: NDArray[np.generic], which: int) -> NDArray[np.float32]:
        c = self.config
        raw = crop_flip(x, c.seed, self.trace.steps, which) if c.augment else x
        return normalise(raw, c.mean, c.std)

    def current(self, ids: NDArray[np.int64]) -> Part:
        c = self.config
        present = sorted({int(label) for label in self.labels[ids]})
        mask = class_mask(self.classes, self.own_classes if c.loss_classes == "task" else None)
        mask = class_mask(self.classes, present) if c.replay == "er-ace" else mask
        mask = self.log_shares() if self.balanced else mask
        return part(self.prepare(self.x[ids], 0), self.labels[ids], class_mask=mask, ce=1.0)

    def replayed(self) -> Iterator[Part]:
        """The replay batches; none in the first task."""
        c = self.config
        mask = class_mask(self.classes, self.seen() if c.replay == "er-ace" else None)
        mask = self.log_shares() if self.balanced else mask
        for which, of_labels, of_logits in REPLAY[c.replay] if self.task > 0 else ():
            ce = of_labels and (c.label_weight or of_labels)
            distill = of_logits and (c.logit_weight or of_logits)
            slots = self.buffer.draw(self.trace.steps, which, self.config.batch_size)
            if len(slots) == 0:
                return
            if self.config.record:
                self.trace.drawn[-1].append(slots)
            yield part(
                self.prepare(self.buffer.x[slots], which + 1),
                self.buffer.labels[slots],
                class_mask=mask,
                ce=ce,
                distill=distill,
                target=self.buffer.logits[slots],
            )

    def seen(self) -> list[int]:
        """The classes in the buffer and in the task."""
        stored = self.buffer.labels[: self.buffer.filled]
        return sorted({int(label) for label in stored} | set(self.own_classes))

    @property
    def balanced(self) -> bool:
        """Whether the logarithm of each class's share of the loss is added to logits, er's and der++'s default."""
        chosen = self.config.loss_classes
        return chosen == "balanced" or (chosen is None and self.config.replay in ("er", "der++"))

    def log_shares(self) -> NDArray[np.float32]:
        c = self.config
        weight = sum(of_labels and (c.label_weight or of_labels) for _, of_labels, _ in REPLAY[c.replay])
        stored = self.buffer.labels[: self.buffer.filled].tolist()
        return log_shares(self.own_classes, stored, self.classes, weight)

    def grouped(self, parts: Sequence[Part]) -> list[Part]:
        """The parts as micro-steps."""
        merged = self.config.replay_batches == "merged" and len(parts) > 1
        return [merge(parts)] if merged else list(parts)

    def measure(self, parts: Sequence[Part]) -> tuple[Gradients, Gradients]:
        """g1 and g2; the first part is the current batch."""
        if self.config.recipe == "reference-code":
            return self.network.measure(self.grouped(parts)), self.network.measure([])
        current, *replay = parts
        mask = torch.from_numpy(class_mask(self.classes, self.own_classes)).expand_as(current.class_mask)
        single_head = dataclasses.replace(current, class_mask=mask)
        return self.network.measure([single_head]), self.network.measure(self.grouped(replay))

    def decay(self, left: Fraction) -> None:
        """Set the learning rates of a step, when this part of the task is left."""
        part = min(1.0, float(left) / self.config.rate_decay) if self.config.rate_decay else 1.0
        rate = float(np.float32(part * float(np.float32(self.config.lr))))
        for group, factor in zip(self.optimizer.param_groups, self.factors, strict=True):
            group["lr"] = rate * factor

    def step(self, ids: NDArray[np.int64]) -> list[Part]:
        """One optimizer step on the given samples; returns its parts, for the events that follow."""
        if self.config.record:
            self.trace.presented.append((self.task, ids))
            self.trace.drawn.append([])
        parts = [self.current(ids), *self.replayed()]
        if self.task_step % schedule.REFRESH == 0 or self.stale:
            self.refresh(parts)
        losses, logits = self.network.accumulate(self.grouped(parts))
        self.network.mask_gradients()
        self.change_gradients()
        self.move()
        own = logits[0][: len(ids)]
        guess = (own + parts[0].class_mask).argmax(dim=1)
        self.samples.observe(ids, (guess == parts[0].labels).numpy())
        self.remember(ids, own.numpy())
        self.trace.losses.append(sum(losses))
        self.trace.micro_losses.append(losses)
        self.trace.samples_seen += len(ids)
        self.task_step += 1
        return parts

    def move(self) -> None:
        """Move the parameters, by gradients that keep every step in its limit."""
        full = self.config.full_limit_steps
        for index, (group, limit) in enumerate(zip(self.optimizer.param_groups, self.limits, strict=True)):
            gradient = group["params"][0].grad
            if gradient is None:
                continue
            self.long_steps[index] += scaling.share(group["lr"], gradient, limit) < 1.0
            part = math.sqrt(full / max(full, self.long_steps[index])) if full else 1.0
            gradient *= scaling.share(group["lr"], gradient, limit * part)
        with self.network.held():
            self.optimizer.step()

    def change_gradients(self) -> None:
        """Change the gradients of the step before the parameters move."""

    def remember(self, ids: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Present the samples of the step to the buffer."""
        self.buffer.add(self.x[ids], self.labels[ids], logits)

    def end_task(self) -> None:
        """Keep what later tasks need."""

    def refresh(self, parts: Sequence[Part]) -> None:
        """Choose the gradients that are applied until the next refresh."""
        self.stale = False
        if not self.config.masks_gradients:
            return
        g1, g2 = self.measure(parts)
        alpha, beta = COEFFICIENTS[self.config.recipe]
        for name, counts in zip(self.config.masked, self.counts, strict=True):
            cgi = combine(g1[name], g2[name], alpha, beta)
            mask, channels = self.network.masks[name], len(self.network.weights[name])
            if self.config.gradient_scheme == "channel":
                chosen = channel_gradient_mask(cgi, mask, channels, self.config.gradient_sparsity)
            else:
                chosen = gradient_mask(cgi, mask, counts.update)
            self.network.gradient_masks[name] = chosen
        if self.config.record:
            self.trace.refreshes.append((self.trace.steps, dict(self.network.gradient_masks)))

    def run_events(self, progress: Fraction, parts: Sequence[Part]) -> None:
        """Run the events that are due; without parts (before a task's first step) nothing is measured."""
        while self.mask_events and self.mask_events[0].fraction <= progress:
            self.update_masks(self.mask_events.pop(0), parts)
        while self.filter_events and self.filter_events[0].fraction <= progress:
            self.samples.remove(self.filter_events.pop(0).total, self.config.batch_size, self.order(self.epoch))
            if self.config.record:
                self.trace.removals.append((self.trace.steps, self.task, self.samples.keep.copy()))

    def update_masks(self, event: MaskEvent, parts: Sequence[Part]) -> None:
        gradients = self.measure(parts) if parts else None
        for layer, name in enumerate(self.config.masked):
            w, mask = self.network.weight(name), self.network.masks[name]
            coefficients = COEFFICIENTS[self.config.recipe]
            scores = importance(w, gradients[0][name], gradients[1][name], *coefficients) if gradients else None
            counts = event.remove_to[layer], event.grow_to[layer]
            key = self.config.seed, self.updates, layer
            new, touched = schemes.update_mask(self.groups[layer], mask, scores, counts, key)
            self.network.set_mask(name, new, touched, self.optimizer)
        self.updates += 1
        self.stale = True
        if self.config.record:
            snapshot = MaskSnapshot(self.trace.steps, self.task, event.fraction, dict(self.network.masks))
            self.trace.mask_updates.append(snapshot)


def _run_epoch(learner: _Learner, epoch: int) -> None:
    """The steps of one epoch. The epoch's length follows removals inside it: done + what can still be done."""
    config, learner.epoch = learner.config, epoch
    waiting = learner.order(epoch)
    size, done = min(config.batch_size, len(waiting)), 0
    while len(waiting) >= size > 0 and not learner.done:
        ids, waiting = waiting[:size], waiting[size:]
        learner.decay(1 - (epoch + Fraction(done, done + 1 + len(waiting) // size)) / config.epochs)
        parts = learner.step(ids)
        done += 1
        total = done + len(waiting) // size
        learner.run_events((epoch + Fraction(done, total)) / config.epochs, parts)
        waiting = waiting[learner.samples.keep[waiting]]


def run(
    model: torch.nn.Module,
    tasks: Sequence[Task],
    config: Config,
    classes: int | None = None,
    after_task: Callable[[int, Trace], None] | None = None,
    learner_type: type[_Learner] = _Learner,
) -> Trace:
    """Train a copy of the model on the tasks in turn.

    ``classes`` is the width of the logits; by default the largest label + 1. ``after_task`` is called with the
    task's number and the trace so far. ``learner_type`` is the learner of another method.
    """
    width = classes or 1 + max(int(labels.max()) for _, labels in tasks)
    learner = learner_type(model, config, width)
    for task, data in enumerate(tasks):
        learner.begin_task(task, data)
        for epoch in range(config.epochs):
            _run_epoch(learner, epoch)
        learner.end_task()
        if after_task is not None:
            after_task(task, learner.trace)
        if learner.done:
            break
    return learner.trace


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Percent, per task: among all classes, and among the task's own."""

    class_il: list[float]
    task_il: list[float]


def evaluate(network: MaskedNetwork, tasks: Sequence[Task], config: Config, batch: int = 500) -> Accuracy:
    """The accuracy on each task's test samples, with running statistics."""
    network.module.eval()
    result = Accuracy([], [])
    for x, labels in tasks:
        with torch.no_grad():
            chunks = (normalise(x[i : i + batch], config.mean, config.std) for i in range(0, len(x), batch))
            logits = torch.cat([network.forward(torch.from_numpy(chunk)) for chunk in chunks]).numpy()
        own = class_mask(logits.shape[1], sorted({int(label) for label in labels}))
        result.class_il.append(100 * float((logits.argmax(1) == labels).mean()))
        result.task_il.append(100 * float(((logits + own).argmax(1) == labels).mean()))
    return result
