"""A torch module with weight masks, gradient masks and an SGD optimizer around it."""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .masks import Floats, Mask
from .steps import Part, loss

Layers = dict[str, Mask]
Gradients = dict[str, Floats]


MEMORIES = ("momentum_buffer", "exp_avg", "exp_avg_sq")


def memories(weight: torch.Tensor, optimizer: torch.optim.Optimizer) -> list[NDArray[Any]]:
    """What an optimizer remembers of a weight's elements, flat, to be written to; not the number of its steps."""
    state = optimizer.state[weight]
    return [state[name].numpy().reshape(-1) for name in MEMORIES if state.get(name) is not None]


class MaskedNetwork:
    """A copy of a module that computes with ``w * mask``. Masks are flat bool arrays by state_dict name."""

    def __init__(self, module: torch.nn.Module, masked: Sequence[str]) -> None:
        """Keep all weights."""
        self.straight = False
        self.module = copy.deepcopy(module)
        self.loss = loss
        self.weights = {name: self.module.get_parameter(name) for name in masked}
        self.masks: Layers = {name: np.ones(w.numel(), dtype=bool) for name, w in self.weights.items()}
        self.gradient_masks: Layers = {name: m.copy() for name, m in self.masks.items()}

    def weight(self, name: str) -> Floats:
        """A masked layer's values, flat; writing to them changes the module."""
        values: Floats = self.weights[name].detach().numpy().reshape(-1)
        return values

    def _mask(self, name: str, mask: Mask) -> torch.Tensor:
        return torch.from_numpy(mask.reshape(self.weights[name].shape).astype(np.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [N, C] of normalised samples, in the module's current mode."""
        sparse = {name: w * self._mask(name, self.masks[name]) for name, w in self.weights.items()}
        if self.straight:  # the value of w * mask, and the gradient of w
            sparse = {name: w + (sparse[name] - w).detach() for name, w in self.weights.items()}
        logits: torch.Tensor = torch.func.functional_call(self.module, sparse, (x,))
        return logits

    def accumulate(self, parts: Sequence[Part]) -> tuple[list[float], list[torch.Tensor]]:
        """Run the micro-steps from zero gradients; returns each one's loss and logits."""
        self.module.train()
        self.module.zero_grad(set_to_none=True)
        losses, all_logits = [], []
        for p in parts:
            logits = self.forward(p.x)
            value = self.loss(logits, p)
            value.backward()  # type: ignore[no-untyped-call]
            losses.append(value.item())
            all_logits.append(logits.detach())
        return losses, all_logits

    def measure(self, parts: Sequence[Part]) -> Gradients:
        """The masked layers' accumulated gradients, flat; running statistics do not change. No parts: zeros."""
        before = {name: b.clone() for name, b in self.module.named_buffers()}
        self.accumulate(parts)
        for name, b in self.module.named_buffers():
            b.copy_(before[name])
        return {name: self._gradient(name) for name in self.weights}

    def _gradient(self, name: str) -> Floats:
        grad = self.weights[name].grad
        if grad is None:
            return np.zeros(self.weights[name].numel(), dtype=np.float32)
        values: Floats = grad.numpy().reshape(-1).copy()
        return values

    def mask_gradients(self) -> None:
        """Zero the gradients outside of the gradient masks."""
        for name, w in self.weights.items():
            if w.grad is not None:
                w.grad *= self._mask(name, self.gradient_masks[name])

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Move no weight outside of the gradient masks, whatever is left in its momentum."""
        before = {name: w.detach().clone() for name, w in self.weights.items()}
        yield
        with torch.no_grad():
            for name, w in self.weights.items():
                free = torch.from_numpy(self.gradient_masks[name].reshape(w.shape))
                w.copy_(torch.where(free, w, before[name]))

    def set_mask(self, name: str, mask: Mask, touched: Mask, optimizer: torch.optim.Optimizer) -> None:
        """Replace a layer's mask, and its gradient mask by it; weights and their memory start at 0 where touched."""
        self.masks[name], self.gradient_masks[name] = mask, mask.copy()
        self.weight(name)[touched] = 0
        for memory in memories(self.weights[name], optimizer):
            memory[touched] = 0

    def state(self) -> dict[str, NDArray[Any]]:
        """A copy of the parameters and running statistics by state_dict name."""
        return {name: value.detach().numpy().copy() for name, value in self.module.state_dict().items()}
