"""Small forms of networks that people train, written by hand in PyTorch: with each one's operators and nothing else."""

import itertools
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5


class EegNet(nn.Module):
    """EEGNet (Lawhern et al., 2018): filters in time, one in space for each, and a separable convolution."""

    def __init__(self, electrodes: int = 6, filters: int = 4) -> None:
        super().__init__()
        both = 2 * filters
        self.time = nn.Sequential(nn.Conv2d(1, filters, (1, 9), padding=(0, 4), bias=False), nn.BatchNorm2d(filters))
        space = nn.Conv2d(filters, both, (electrodes, 1), groups=filters, bias=False)
        self.space = nn.Sequential(space, nn.BatchNorm2d(both), nn.ELU(), nn.AvgPool2d((1, 4)), nn.Dropout(0.0))
        depthwise = nn.Conv2d(both, both, (1, 5), padding=(0, 2), groups=both, bias=False)
        pointwise = nn.Conv2d(both, both, 1, bias=False)
        end = (nn.BatchNorm2d(both), nn.ELU(), nn.AvgPool2d((1, 4)), nn.Dropout(0.0))
        self.separable = nn.Sequential(depthwise, pointwise, *end)
        self.head = nn.Linear(both * 2, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.separable(self.space(self.time(x))).flatten(1))


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [N, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """A 7x7 depthwise convolution, then two layers over the channels, scaled and added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(F.gelu(self.up(inner)))).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """ConvNeXt (Liu et al., 2022): two stages of one block."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 4, 4), ChannelNorm(width))
        self.first, self.second = ConvNextBlock(width), ConvNextBlock(2 * width)
        self.merge = nn.Sequential(ChannelNorm(width), nn.Conv2d(width, 2 * width, 2, 2))
        self.norm, self.head = nn.LayerNorm(2 * width), nn.Linear(2 * width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.merge(self.first(self.stem(x))))
        return self.head(self.norm(x.mean([-2, -1])))


class WindowAttention(nn.Module):
    """Attention within windows, shifted or not, with a bias for relative positions."""

    def __init__(self, width: int, side: int, window: int, shift: int, heads: int = 2) -> None:
        super().__init__()
        self.side, self.window, self.shift, self.heads = side, window, shift, heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        places = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = places[:, :, None] - places[:, None, :] + window - 1
        self.register_buffer("index", (apart[0] * (2 * window - 1) + apart[1]).flatten())
        self.register_buffer("mask", self._mask())

    def _mask(self) -> Tensor:
        """-100 between tokens that the shift has brought together from opposite ends."""
        regions = torch.zeros(self.side, self.side)
        ends = [0, self.side - self.window, self.side - self.shift, self.side] if self.shift else [0, self.side]
        spans = list(itertools.pairwise(ends))
        for number, (rows, columns) in enumerate((a, b) for a in spans for b in spans):
            regions[rows[0] : rows[1], columns[0] : columns[1]] = number
        flat = self._windows(regions[None, :, :, None])[..., 0]
        return (flat[:, :, None] != flat[:, None, :]) * -100.0

    def _windows(self, x: Tensor) -> Tensor:
        """[N, H, W, C] to [N * windows, tokens, C]."""
        many, w = self.side // self.window, self.window
        return x.reshape(-1, many, w, many, w, x.shape[-1]).transpose(2, 3).reshape(-1, w * w, x.shape[-1])

    def forward(self, x: Tensor) -> Tensor:
        tokens, width, many = self.window**2, x.shape[-1], self.side // self.window
        rolled = torch.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        qkv = self.qkv(self._windows(rolled)).reshape(-1, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index].reshape(tokens, tokens, self.heads).permute(2, 0, 1)
        scores = q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5 + bias
        if self.shift:
            apart = scores.reshape(-1, many * many, self.heads, tokens, tokens) + self.mask[None, :, None]
            scores = apart.reshape(-1, self.heads, tokens, tokens)
        mixed = scores.softmax(-1) @ v
        joined = self.out(mixed.transpose(1, 2).reshape(-1, tokens, width))
        apart = joined.reshape(-1, many, many, self.window, self.window, width).transpose(2, 3)
        whole = apart.reshape(-1, self.side, self.side, width)
        return torch.roll(whole, (self.shift, self.shift), (1, 2)) if self.shift else whole


class SwinBlock(nn.Module):
    """Window attention and two layers, each behind a norm and added."""

    def __init__(self, width: int, side: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), WindowAttention(width, side, 2, shift)
        self.norm2 = nn.LayerNorm(width)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.inner(self.norm2(x))


class Swin(nn.Module):
    """Swin transformer (Liu et al., 2021): a shifted and a plain block, patches merged, one block more."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.blocks = nn.Sequential(SwinBlock(width, 4, 0), SwinBlock(width, 4, 1))
        self.norm, self.merge = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)
        self.last, self.end, self.head = (
            SwinBlock(2 * width, 2, 0),
            nn.LayerNorm(2 * width),
            nn.Linear(2 * width, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.patches(x).permute(0, 2, 3, 1))
        four = [x[:, a::2, b::2] for b in (0, 1) for a in (0, 1)]
        x = self.last(self.merge(self.norm(torch.cat(four, -1))))
        return self.head(self.end(x).mean([1, 2]))


class SqueezeExcite(nn.Module):
    """Channels weighed by a hard sigmoid of their means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, width // 2, 1), nn.Conv2d(width // 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))


def _mobile(width: int, inner: int, out: int, kernel: int, stride: int, act: type[nn.Module]) -> nn.Sequential:
    """An inverted residual of MobileNetV3 without its sum."""
    depthwise = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False)
    return nn.Sequential(
        *(nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), act()),
        *(depthwise, nn.BatchNorm2d(inner), act(), SqueezeExcite(inner)),
        *(nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)),
    )


class MobileNetV3(nn.Module):
    """MobileNetV3 (Howard et al., 2019): a stem, two inverted residuals and the head with hard swish."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.Hardswish())
        self.first = _mobile(width, 2 * width, width, 3, 1, nn.ReLU)
        self.second = _mobile(width, 2 * width, 2 * width, 5, 2, nn.Hardswish)
        self.last = nn.Sequential(
            nn.Conv2d(2 * width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width), nn.Hardswish()
        )
        self.head = nn.Sequential(nn.Linear(4 * width, 16), nn.Hardswish(), nn.Dropout(0.0), nn.Linear(16, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.last(self.second(x + self.first(x))).mean([2, 3]))


class KeywordSpotter(nn.Module):
    """Frames of a spectrogram through a convolution and a recurrent layer, whose last state is read."""

    def __init__(self, recurrent: type[nn.LSTM] | type[nn.GRU], bands: int = 6, units: int = 8) -> None:
        super().__init__()
        self.frames = nn.Conv1d(bands, 8, 3, padding=1)
        self.recurrent = recurrent(8, units, batch_first=True)
        self.head = nn.Linear(units, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent(F.relu(self.frames(x)).transpose(1, 2))
        return self.head(states[:, -1])


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "eegnet": (EegNet, (1, 6, 32)),
    "convnext": (ConvNext, (3, 16, 16)),
    "swin": (Swin, (3, 16, 16)),
    "mobilenet_v3": (MobileNetV3, (3, 16, 16)),
    "lstm_keywords": (lambda: KeywordSpotter(nn.LSTM), (6, 10)),
    "gru_keywords": (lambda: KeywordSpotter(nn.GRU), (6, 10)),
}
"""By name the function that makes a network, and the shape of a sample."""
