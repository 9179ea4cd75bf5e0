"""ResNet for 32x32 images (He et al., CVPR 2016, in the CIFAR form that DER++ and SparCL train)."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import relu


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; [N, channels, H, W] to [N, out, H / stride, W / stride]."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        """The shortcut is a 1x1 convolution where the shape changes, else the identity."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        same = stride == 1 and channels == out
        convolved = (nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Sequential() if same else nn.Sequential(*convolved)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block."""
        inner = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class ResNet(nn.Module):
    """[N, 3, 32, 32] to logits [N, classes]; stage i has width * 2**i channels."""

    def __init__(self, width: int, classes: int, blocks: Sequence[int]) -> None:
        """A 3x3 stem without pooling, one stage for each entry of ``blocks``, global average pooling."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels, stages = width, []
        for i, count in enumerate(blocks):
            out = width * 2**i
            first = BasicBlock(channels, out, stride=1 if i == 0 else 2)
            stages.append(nn.Sequential(first, *(BasicBlock(out, out, 1) for _ in range(count - 1))))
            channels = out
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify."""
        x = self.stages(relu(self.bn1(self.conv1(x))))
        pooled = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        logits: torch.Tensor = self.classifier(pooled)
        return logits


def resnet18(width: int = 64, classes: int = 10, blocks: Sequence[int] = (2, 2, 2, 2)) -> ResNet:
    """ResNet-18 for [N, 3, 32, 32]; narrower or shallower by ``width`` and ``blocks``."""
    return ResNet(width, classes, blocks)


def resnet110(width: int = 16, classes: int = 10) -> ResNet:
    """ResNet-110 for [N, 3, 32, 32]: three stages of eighteen blocks."""
    return ResNet(width, classes, (18, 18, 18))


def masked_weights(model: ResNet) -> list[str]:
    """The state_dict names of the residual stages' 3x3 convolutions, which the SparCL authors' code masks."""
    return [n for n, p in model.named_parameters() if n.startswith("stages.") and p.shape[2:] == (3, 3)]
