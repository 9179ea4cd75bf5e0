"""Make ``symbols.onnx``, the untrained network of this page: ``python -m examples.web.model``.

Small enough for a phone: 22 thousand parameters and 1.3 million multiply-adds a picture.
"""

from pathlib import Path

import torch

from models.export import export

SHAPE = (3, 32, 32)
CLASSES = 10
WIDTHS = ((3, 16, 2), (16, 32, 2), (32, 48, 1))
"""Channels in, channels out and stride of each convolution."""
SEED = 0


def network() -> torch.nn.Module:
    """Convolutions with batch normalisation, a mean over the picture, and a linear classifier."""
    torch.manual_seed(SEED)
    layers: list[torch.nn.Module] = []
    for into, out, stride in WIDTHS:
        conv = torch.nn.Conv2d(into, out, 3, stride=stride, padding=1, bias=False)
        layers += [conv, torch.nn.BatchNorm2d(out), torch.nn.ReLU()]
    head = [torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(16 * WIDTHS[-1][1], CLASSES)]
    return torch.nn.Sequential(*layers, *head).eval()


if __name__ == "__main__":
    export(network(), SHAPE, Path(__file__).with_name("symbols.onnx"))
