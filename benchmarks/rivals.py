"""PyTorch's step in other forms, to compare with: dense in channels-last layout, dense and compiled, and SparseProp.

The table of contestants imports this module. SparseProp (Nikdan et al., ICML 2023, github.com/IST-DASLab/sparseprop) is
a package of its own that builds from source; its contestants are left out where it cannot be imported.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from benchmarks.contestants import Setting, Step

SPARSEPROP = importlib.util.find_spec("sparseprop") is not None
"""Whether SparseProp is installed."""
DENSE_LAYER = "conv1"
"""The layer that stays dense, as in the compiled forms: three input channels."""


def channels_last(setting: "Setting", batch: int, threads: int, folder: Path) -> "Step":
    """Dense eager PyTorch, weights and images in channels-last layout."""
    import torch

    from benchmarks.contestants import module_of

    torch.set_num_threads(threads)
    module = module_of(setting.width, setting.net).to(memory_format=torch.channels_last)
    return _step(module, setting, batch, torch.channels_last)


def inductor(setting: "Setting", batch: int, threads: int, folder: Path) -> "Step":
    """Dense PyTorch, forward and backward compiled by ``torch.compile``; the optimizer is eager."""
    import torch

    from benchmarks.contestants import module_of

    torch.set_num_threads(threads)
    module = torch.compile(module_of(setting.width, setting.net))
    return _step(module, setting, batch, torch.contiguous_format)  # type: ignore[arg-type]


def sparseprop(setting: "Setting", batch: int, threads: int, folder: Path) -> "Step":
    """SparseProp's convolutions in eager PyTorch, each in the faster of its two forms; the mask is random."""
    import torch
    from sparseprop.utils import swap_module  # type: ignore[import-not-found]

    from benchmarks.contestants import batch_of, module_of

    torch.set_num_threads(threads)
    module = module_of(setting.width, setting.net)
    generator = torch.Generator().manual_seed(0)
    x, _ = (torch.from_numpy(array) for array in batch_of(batch, setting.net))
    for name, (layer, shape) in _convolutions(module, x).items():
        weight = layer.weight.detach()
        weight.mul_(torch.rand(weight.shape, generator=generator) >= setting.sparsity)
        swap_module(module, name, _faster(layer, shape))
    return _step(module, setting, batch, torch.contiguous_format)


def _convolutions(module: "torch.nn.Module", x: "torch.Tensor") -> "dict[str, tuple[torch.nn.Conv2d, torch.Size]]":
    import torch

    found = dict[str, tuple[torch.nn.Conv2d, torch.Size]]()
    layers = {n: m for n, m in module.named_modules() if isinstance(m, torch.nn.Conv2d) and n != DENSE_LAYER}

    def note(name: str) -> object:
        return lambda layer, inputs, _: found.update({name: (layer, inputs[0].shape)})

    hooks = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]  # type: ignore[arg-type]
    with torch.no_grad():
        module.eval()(x)
    for hook in hooks:
        hook.remove()
    return found


def _faster(layer: "torch.nn.Conv2d", shape: "torch.Size") -> "torch.nn.Module":
    """The form whose forward and backward take less time, the second run of each counts."""
    import time

    import torch
    from sparseprop.modules import SparseConv2d  # type: ignore[import-not-found]

    x = torch.randn(shape, requires_grad=True)
    times = dict[float, torch.nn.Module]()
    for over_columns in (False, True):
        made: torch.nn.Module = SparseConv2d.from_dense(layer, over_columns)
        for _ in range(2):
            started = time.perf_counter()
            made(x).sum().backward()
            took = time.perf_counter() - started
        times[took] = made
    return times[min(times)]


def _step(module: "torch.nn.Module", setting: "Setting", batch: int, memory_format: "torch.memory_format") -> "Step":
    import torch

    from benchmarks.contestants import LEARNING_RATE, batch_of

    module.train()
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE)
    x, y = (torch.from_numpy(array) for array in batch_of(batch, setting.net))
    x = x.contiguous(memory_format=memory_format)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()

    return step
