"""The mask policies of docs/algorithm.md, Mask policies, around the learner of this package; single weights only."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from . import schemes
from .config import Config
from .hashing import stream
from .masks import Floats, Mask, importance, top
from .network import Gradients
from .schedule import MaskEvent, rounded
from .steps import Part, loss
from .train import Task, Trace, _Learner, _run_epoch

SCORED = 10
TENTHS = tuple(Fraction(i, 10) for i in range(1, 10))
Shares = tuple[float, float]


def rigl_share(t: float) -> float:
    """f_decay(t; alpha = 0.3, T_end = 0.75) of RigL."""
    return 0.3 / 2 * (1 + math.cos(t * math.pi / 0.75))


def gradual_density(t: float, sparsity: float) -> float:
    """1 - s_t of Zhu and Gupta with s_i = 0, t_0 = 0 and n * dt = 0.8 of the first task."""
    return 1 - (sparsity + (0 - sparsity) * (1 - t / 0.8) ** 3)


def granet_shares(t: float, task: int, density: float) -> tuple[float, float]:
    """Pruned as above with n * dt = 110 of 160 epochs, then r from 0.5 to 0.005 by CosineAnnealingLR is exchanged."""
    reached = 1 - (1 - density) * (1 - (1 - t * 160 / 110) ** 3) if task == 0 and t < 110 / 160 else density
    return reached * (1 - (0.005 + (0.5 - 0.005) * (1 + math.cos(math.pi * t)) / 2)), reached


def mest_factor(t: float) -> float:
    """1, 1/2 and 0 before epochs 90, 120 and 160 of 160."""
    return 1.0 if t < 90 / 160 else 0.5 if t < 120 / 160 else 0.0


def events(policy: str, task: int, density: float) -> list[tuple[Fraction, float, float]]:
    """Fractions of a task, and the shares of all weights that are left and then reached."""
    if policy == "ac-dc":
        return ac_dc(task, density)
    found: list[tuple[Fraction, float, float]] = []
    for at in TENTHS:
        t = float(at)
        if policy in ("set", "set momentum"):
            found.append((at, density * 0.7, density))
        if policy in ("rigl", "rigl momentum") and t < 0.75:
            found.append((at, density * (1 - rigl_share(t)), density))
        if policy == "gradual" and task == 0 and t <= 0.8:
            found.append((at, gradual_density(t, 1 - density), gradual_density(t, 1 - density)))
        if policy in ("granet", "granet momentum"):
            found.append((at, *granet_shares(t, task, density)))
        if policy == "mest-em" and t < 0.75:
            found.append((at, density * (1 - 0.2 * mest_factor(t)), density))
        if policy == "mest-em-s" and t <= 0.8:
            found.append((at, density, density * (1 + 0.5 * mest_factor(t))))
    return found


def ac_dc(task: int, density: float) -> list[tuple[Fraction, float, float]]:
    """Of 100 epochs 10 with all weights, then 5 pruned and 5 whole in turn, whole from 75 and pruned from 85 on."""
    pruned, found = task > 0, []
    for epoch in range(0, 100, 5):
        wanted = epoch >= 85 or (10 <= epoch < 75 and epoch % 10 == 0)
        if wanted != pruned:
            share = density if wanted else 1.0
            found.append((Fraction(epoch, 100), share, share))
        pruned = wanted
    return found


def grow(policy: str, kept: Mask, missing: int, gradient: Floats, key: tuple[int, int, int]) -> Mask:
    """The weights that come: RigL's and GraNet's of the largest gradient, at random for the others."""
    if missing <= 0:
        return np.zeros_like(kept)
    seed, update, layer = key
    drawn = stream(seed, "grow", update, layer, np.arange(kept.size))
    by_gradient = policy in ("rigl", "granet") or policy.endswith("momentum")
    return top(np.abs(gradient) if by_gradient else drawn, ~kept, missing)


class PolicyLearner(_Learner):
    """A learner whose masks follow a policy."""

    def __init__(self, module: torch.nn.Module, config: Config, classes: int, policy: str) -> None:
        self.policy = policy
        self.trained: list[tuple[int, dict[str, int]]] = []
        self.measured: list[tuple[int, dict[str, int]]] = []
        self.smoothed: dict[str, Floats] = {}
        super().__init__(module, config, classes)
        self.network.straight = policy == "sr-ste"
        if policy in ("snip", "gradual", "granet", "granet momentum", "ac-dc", "sr-ste"):
            self._start_dense(module)

    def _start_dense(self, module: torch.nn.Module) -> None:
        for name, weight in self.network.weights.items():
            with torch.no_grad():
                weight.copy_(module.get_parameter(name))
            all_of_them = np.ones(weight.numel(), dtype=bool)
            self.network.set_mask(name, all_of_them, ~all_of_them, self.optimizer)
            group = next(group for group in self.optimizer.param_groups if group["params"][0] is weight)
            base = rounded((1 - self.config.sparsity) * weight.numel())
            group["lr"] = self.config.lr * (weight.numel() / base if self.policy == "snip" else 1)
        self.factors = [group["lr"] / self.config.lr for group in self.optimizer.param_groups]

    def begin_task(self, task: int, data: Task) -> None:
        super().begin_task(task, data)
        sizes = [weight.numel() for weight in self.network.weights.values()]
        self.mask_events = [
            MaskEvent(at, tuple(rounded(left * n) for n in sizes), tuple(rounded(reached * n) for n in sizes))
            for at, left, reached in events(self.policy, task, 1 - self.config.sparsity)
        ]
        super().run_events(Fraction(0), [])

    def run_events(self, progress: Fraction, parts: Sequence[Part]) -> None:
        if not parts:  # TDM's own, that the task would begin with
            self.mask_events = []
        super().run_events(progress, parts)

    def measure(self, parts: Sequence[Part]) -> tuple[Gradients, Gradients]:
        """One gradient of the loss that is trained, of pruned weights, too: they are 0."""
        self.measured.append((sum(len(one.x) for one in parts), self.kept()))
        held = dict(self.network.masks)
        self.network.masks = {name: np.ones_like(mask) for name, mask in held.items()}
        found = self.network.measure(self.grouped(parts))
        self.network.masks = held
        return found, {name: np.zeros_like(g) for name, g in found.items()}

    def kept(self) -> dict[str, int]:
        """The number of kept weights of each layer now."""
        return {name: int(mask.sum()) for name, mask in self.network.masks.items()}

    def step(self, ids: NDArray[np.int64]) -> list[Part]:
        """Also note the presentations, and how many weights they met."""
        if self.policy.endswith("momentum"):
            self.smooth([self.current(ids), *self.replayed()])
        if self.policy == "sr-ste":
            self.choose_n_of_m()
            self._decay_pruned()
        parts = super().step(ids)
        self.trained.append((sum(len(one.x) for one in parts), self.kept()))
        return parts

    def update_masks(self, event: MaskEvent, parts: Sequence[Part]) -> None:
        none = {name: np.zeros_like(self.network.weight(name)) for name in self.config.masked}
        gradients = self.measure(parts)[0] if parts else none
        gradients = self.smoothed or gradients
        alpha = 0.5 if self.policy.startswith("mest") else 0.0
        for layer, name in enumerate(self.config.masked):
            w, mask, g = self.network.weight(name), self.network.masks[name], gradients[name]
            scores = importance(w, g, np.zeros_like(g), alpha, 0.0)
            kept = top(scores, mask, event.remove_to[layer])
            missing = event.grow_to[layer] - int(kept.sum())
            new = kept | grow(self.policy, kept, missing, g, (self.config.seed, self.updates, layer))
            self.network.set_mask(name, new, (mask & ~kept) | (new & ~kept), self.optimizer)
        self.updates += 1
        self.stale = True

    def smooth(self, parts: Sequence[Part]) -> None:
        """The momentum of torch.optim.SGD, of all weights, as if none were pruned."""
        for name, g in self.measure(parts)[0].items():
            self.smoothed[name] = np.float32(0.9) * self.smoothed[name] + g if name in self.smoothed else g

    def choose_n_of_m(self) -> None:
        """SR-STE: the N largest of each group of M are kept; nothing is set to 0."""
        for groups, (name, mask) in zip(self.groups, list(self.network.masks.items()), strict=True):
            size, chosen = np.abs(self.network.weight(name)), np.zeros_like(mask)
            for members, many in zip(groups.members, schemes.room(groups), strict=True):
                inside = members[members >= 0]
                chosen[inside] = top(size[inside], np.ones(len(inside), dtype=bool), many)
            self.network.masks[name] = chosen

    def _decay_pruned(self) -> None:
        """Let the gradient of a step begin with the regulariser's: its norm is 2e-4 / 2 of the pruned weights'."""
        held = self.network.mask_gradients

        def with_decay() -> None:
            self.network.mask_gradients = held  # type: ignore[method-assign]
            for name, weight in self.network.weights.items():
                assert weight.grad is not None
                pruned = ~self.network.masks[name].reshape(weight.shape)
                weight.grad += torch.from_numpy((2e-4 * weight.detach().numpy() * pruned).astype(np.float32))

        self.network.mask_gradients = with_decay  # type: ignore[method-assign]

    def choose_first(self) -> None:
        """SNIP: the gradient by a mask of ones, of the sum of the losses of the first batches."""
        waiting, size = self.order(0), self.config.batch_size
        ones = {name: torch.ones_like(w, requires_grad=True) for name, w in self.network.weights.items()}
        buffers = {name: b.clone() for name, b in self.network.module.named_buffers()}
        self.network.module.train()
        for start in range(0, min(SCORED, len(waiting) // size) * size, size):
            part = self.current(waiting[start : start + size])
            self.measured.append((size, self.kept()))
            sparse = {name: w.detach() * ones[name] for name, w in self.network.weights.items()}
            loss(torch.func.functional_call(self.network.module, sparse, (part.x,)), part).backward()
        for name, b in self.network.module.named_buffers():
            b.copy_(buffers[name])
        for name, c in ones.items():
            assert c.grad is not None
            self._keep_first(name, c.grad.abs().numpy().reshape(-1))
        self.updates += 1

    def _keep_first(self, name: str, scores: NDArray[np.float32]) -> None:
        weight = self.network.weights[name]
        kept = top(scores, np.ones_like(scores, dtype=bool), rounded((1 - self.config.sparsity) * scores.size))
        norm = float(torch.linalg.vector_norm(weight.detach()))
        self.network.set_mask(name, kept, ~kept, self.optimizer)
        with torch.no_grad():
            weight *= norm / float(torch.linalg.vector_norm(weight.detach()))


def run(model: torch.nn.Module, tasks: Sequence[Task], config: Config, classes: int, policy: str) -> Trace:
    """Train a copy of the model on the tasks in turn under a mask policy."""
    return learned(model, tasks, config, classes, policy).trace


def learned(model: torch.nn.Module, tasks: Sequence[Task], config: Config, classes: int, policy: str) -> PolicyLearner:
    """The learner after all tasks."""
    learner = PolicyLearner(model, config, classes, policy)
    for task, data in enumerate(tasks):
        learner.begin_task(task, data)
        if policy == "snip" and task == 0:
            learner.choose_first()
        for epoch in range(config.epochs):
            _run_epoch(learner, epoch)
            if policy == "sr-ste":
                learner.choose_n_of_m()
    return learner


def macs(module: torch.nn.Module, sample: tuple[int, ...]) -> dict[str, int]:
    """The multiply-accumulates of one sample by the name of the weight."""
    found: dict[str, int] = {}

    def note(name: str) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
        def hook(layer: torch.nn.Module, _: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
            per_output = layer.get_parameter("weight")[0].numel()
            found[f"{name}.weight"] = per_output * out[0].numel()

        return hook

    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    hooks = [m.register_forward_hook(note(name)) for name, m in module.named_modules() if isinstance(m, kinds)]
    module.eval()(torch.zeros(1, *sample))
    for hook in hooks:
        hook.remove()
    return found


def flops(learner: PolicyLearner, each: dict[str, int], whole: bool) -> float:
    """All that was computed: three times two FLOPs a multiply-accumulate, of kept weights.

    ``whole`` says whether measured gradients are those of all weights, so that nothing is spared there.
    """
    sizes = {name: mask.size for name, mask in learner.network.masks.items()}

    def cost(kept: dict[str, int]) -> float:
        shares = {name: kept[name] / sizes[name] for name in kept}
        return sum(6.0 * n * shares.get(name, 1.0) for name, n in each.items())

    trained = sum(rows * cost(kept) for rows, kept in learner.trained)
    return trained + sum(rows * cost({} if whole else kept) for rows, kept in learner.measured)
