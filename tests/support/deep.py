"""Deep networks that nothing normalises, with the weights that PyTorch begins with."""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from torch import nn

from models.export import export

CHANNELS, CLASSES, DEPTH = 12, 4, 7
IMAGE = (3, 8, 8)


def deep(seed: int = 0, between: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Convolutions with nothing between them but what is asked for, and a classifier."""
    torch.manual_seed(seed)
    widths = (3, *[CHANNELS] * DEPTH)
    layers = [(nn.Conv2d(a, b, 3, padding=1), between()) for a, b in itertools.pairwise(widths)]
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, CLASSES))
    return nn.Sequential(*(one for pair in layers for one in pair), *last)


def as_file(module: nn.Module, sample: tuple[int, ...] = IMAGE) -> onnx.ModelProto:
    """The module as its exporter writes it, for samples of this shape."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(module, sample, file)
        return onnx.load(file)
