"""ResNet-101 for photographs (He et al., CVPR 2016): a hundred layers of three convolutions a block."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, relu

BLOCKS = (3, 4, 23, 3)
EXPANSION = 4


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones and a shortcut; [N, channels, H, W] to [N, 4 * width, H / stride, ...]."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        """The shortcut is a 1x1 convolution where the shape changes, else the identity."""
        super().__init__()
        out = EXPANSION * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        convolved = (nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Sequential() if stride == 1 and channels == out else nn.Sequential(*convolved)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        inner = relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))))
        return relu(self.bn3(self.conv3(inner)) + self.shortcut(x))


class DeepResNet(nn.Module):
    """[N, 3, H, W], H and W from 32, to logits [N, classes]; stage i has 4 * width * 2**i channels."""

    def __init__(self, width: int, classes: int, blocks: Sequence[int]) -> None:
        """A 7x7 stem with pooling, one stage for each entry of ``blocks``, global average pooling."""
        super().__init__()
        stem = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        parts: list[nn.Module] = [stem, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
        channels = width
        for i, count in enumerate(blocks):
            for number in range(count):
                parts.append(Bottleneck(channels, width * 2**i, stride=2 if i and not number else 1))
                channels = EXPANSION * width * 2**i
        self.parts = nn.Sequential(*parts)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify."""
        logits: torch.Tensor = self.classifier(adaptive_avg_pool2d(self.parts(x), 1).flatten(1))
        return logits


def resnet101(width: int = 64, classes: int = 1000) -> DeepResNet:
    """ResNet-101."""
    return DeepResNet(width, classes, BLOCKS)
