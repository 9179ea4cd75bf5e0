"""DenseNet-121 (Huang et al., Densely Connected Convolutional Networks, CVPR 2017)."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, relu

BLOCKS = (6, 12, 24, 16)


class DenseLayer(nn.Module):
    """Its input with ``growth`` more channels: [N, channels, H, W] to [N, channels + growth, H, W]."""

    def __init__(self, channels: int, growth: int) -> None:
        """A 1x1 convolution to 4 * growth channels, then a 3x3 one; each behind its normalisation and ReLU."""
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer."""
        inner = self.conv1(relu(self.norm1(x)))
        return torch.cat([x, self.conv2(relu(self.norm2(inner)))], 1)


class DenseNet(nn.Module):
    """[N, 3, H, W], H and W from 32, to logits [N, classes]; each block but the last halves its channels and sides."""

    def __init__(self, growth: int, classes: int, blocks: Sequence[int]) -> None:
        """A 7x7 stem with pooling, one dense block for each entry of ``blocks``, global average pooling."""
        super().__init__()
        channels = 2 * growth
        stem = nn.Conv2d(3, channels, 7, 2, padding=3, bias=False)
        parts: list[nn.Module] = [stem, nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
        for i, count in enumerate(blocks):
            parts += [DenseLayer(channels + n * growth, growth) for n in range(count)]
            channels += count * growth
            parts += [nn.BatchNorm2d(channels), nn.ReLU()]
            if i + 1 < len(blocks):
                parts += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
                channels //= 2
        self.parts = nn.Sequential(*parts)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify."""
        logits: torch.Tensor = self.classifier(adaptive_avg_pool2d(self.parts(x), 1).flatten(1))
        return logits


def densenet121(width: int = 32, classes: int = 10) -> DenseNet:
    """DenseNet-121, which grows by ``width`` channels a layer."""
    return DenseNet(width, classes, BLOCKS)
