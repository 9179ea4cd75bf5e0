"""Small networks, one for each kind of layer that the compiler handles."""

import torch
from torch import nn


def _conv_bn(channels: int, out: int, stride: int = 1, groups: int = 1, kernel: int = 3) -> list[nn.Module]:
    conv = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out)]


def _head(channels: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


def mlp(width: int = 64, classes: int = 10, pixels: int = 64) -> nn.Module:
    """Two hidden layers for so many grey pixels: [N, 1, 8, 8] by default."""
    hidden = [nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(width, classes))


def cnn(width: int = 16, classes: int = 10) -> nn.Module:
    """Two convolutions with batch normalisation and a max pool between them, for [N, 3, 32, 32]."""
    first = [*_conv_bn(3, width), nn.ReLU(), nn.MaxPool2d(2)]
    second = [*_conv_bn(width, 2 * width), nn.ReLU()]
    return nn.Sequential(*first, *second, *_head(2 * width, classes))


def digits_cnn(width: int = 16, classes: int = 10) -> nn.Module:
    """Three 3x3 convolutions with batch normalisation for [N, 1, 8, 8]: the model of the quickstart."""
    layers = [*_conv_bn(1, width), nn.ReLU(), *_conv_bn(width, 2 * width, stride=2), nn.ReLU()]
    layers += [*_conv_bn(2 * width, 4 * width), nn.ReLU()]
    return nn.Sequential(*layers, *_head(4 * width, classes))


def sensor_cnn(width: int = 16, classes: int = 10) -> nn.Module:
    """Three convolutions along the time, with batch normalisation, for three axes of a motion sensor: [N, 3, 64]."""
    layers: list[nn.Module] = []
    for channels, out, stride in ((3, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2)):
        conv = nn.Conv1d(channels, out, 5, stride, padding=2, bias=False)
        layers += [conv, nn.BatchNorm1d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4 * width, classes))


class _Separable(nn.Module):
    """A depthwise 3x3 and a pointwise convolution, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        depthwise = [*_conv_bn(channels, channels, groups=channels), nn.ReLU()]
        self.body = nn.Sequential(*depthwise, *_conv_bn(channels, channels, kernel=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


def depthwise_cnn(width: int = 16, classes: int = 10) -> nn.Module:
    """A strided stem and two residual depthwise separable blocks, for [N, 3, 32, 32]."""
    stem = [*_conv_bn(3, width, stride=2), nn.ReLU()]
    return nn.Sequential(*stem, _Separable(width), _Separable(width), *_head(width, classes))
