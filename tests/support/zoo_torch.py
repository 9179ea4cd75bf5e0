"""Classifiers exported from PyTorch, for the forms that only its exporters write."""

import functools
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5
SIZE = 12


class Lambda(nn.Module):
    """A forward function over some modules."""

    def __init__(self, function: Callable[..., Tensor], *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


class TokenTransformer(nn.Module):
    """Class token, positions, PyTorch's own encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 10, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.encoder(x)[:, 0])


class OwnAttention(nn.Module):
    """Attention written out, with a relative position bias gathered from a table."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24, bias=False), nn.Linear(8, 8)
        self.table = nn.Parameter(torch.randn(17, 2))
        self.register_buffer("index", torch.arange(9)[:, None] - torch.arange(9)[None, :] + 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(n, t, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index.view(-1)].view(9, 9, 2).permute(2, 0, 1)
        attention = (q @ k.transpose(-2, -1) * 0.5 + bias).softmax(-1)
        x = x + self.out((attention @ v).transpose(1, 2).reshape(n, t, c))
        return self.head(x.mean(1))


def conv(into: int, out: int, size: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(into, out, size, padding=size // 2, **options)


def head(width: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def shuffle(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def excite(x: Tensor, down: nn.Module, up: nn.Module) -> Tensor:
    return x * F.hardsigmoid(up(F.relu(down(F.adaptive_avg_pool2d(x, 1)))))


def tokens(x: Tensor, patches: nn.Module, layer: nn.Module, last: nn.Module) -> Tensor:
    return last(layer(patches(x).flatten(2).permute(2, 0, 1)).mean(0))


S = nn.Sequential
MODULES: dict[str, Callable[[], nn.Module]] = {
    "shufflenet": lambda: S(conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(), Lambda(shuffle), conv(8, 8, groups=2), head(8)),
    "split_half": lambda: S(conv(3, 8), Lambda(lambda x: F.relu(x.chunk(2, 1)[1])), head(4)),
    "squeeze_excite": lambda: S(
        conv(3, 8), nn.Hardswish(), Lambda(excite, nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)), head(8)
    ),
    "densenet": lambda: S(
        conv(3, 4),
        Lambda(lambda x, n, c: torch.cat([x, c(F.relu(n(x)))], 1), nn.BatchNorm2d(4), conv(4, 4)),
        nn.AvgPool2d(2, 2),
        head(8),
    ),
    "average_pools": lambda: S(
        conv(3, 4), nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(2, 2, 0, True), head(4)
    ),
    "max_pools": lambda: S(conv(3, 4), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, 2, ceil_mode=True), head(4)),
    "adaptive_max": lambda: S(conv(3, 8), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
    "largest": lambda: Lambda(lambda x, c, f: f(c(x).amax((1, 2))), conv(3, 8), nn.Linear(SIZE, CLASSES)),
    "view_size": lambda: Lambda(
        lambda x, c, f: f(F.max_pool2d(F.relu(c(x)), 2).view(x.size(0), -1)), conv(3, 4), nn.Linear(144, CLASSES)
    ),
    "mean_hw": lambda: Lambda(lambda x, c, f: f(F.silu(c(x)).mean([2, 3])), conv(3, 8), nn.Linear(8, CLASSES)),
    "group_norm": lambda: S(conv(3, 8), nn.GroupNorm(2, 8), nn.SiLU(), conv(8, 4), nn.GELU(), head(4)),
    "instance_norm": lambda: S(conv(3, 8), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), head(8)),
    "smooth_activations": lambda: S(
        conv(3, 4), nn.ELU(), nn.SELU(), nn.CELU(0.5), nn.Softplus(), nn.Mish(), nn.Softsign(),
        nn.GELU(approximate="tanh"), head(4)
    ),
    "kinked_activations": lambda: S(
        conv(3, 4), nn.LeakyReLU(0.1), nn.PReLU(4), nn.PReLU(), nn.Hardtanh(), nn.ReLU6(),
        nn.Threshold(0.0, 0.0), head(4)
    ),
    "pixel_shuffle": lambda: S(conv(3, 8), nn.PixelShuffle(2), nn.PixelUnshuffle(4), head(32)),
    "upsample": lambda: S(
        conv(3, 4), nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear"), head(4)
    ),
    "pads": lambda: S(conv(3, 4), nn.ReflectionPad2d(1), nn.ReplicationPad2d(1), nn.ConstantPad2d(1, 0.5), head(4)),
    "einsum": lambda: Lambda(
        lambda x, a, f: f(torch.einsum("nchw,ndhw->ndc", a(x), a(x) ** 2).flatten(1)),
        conv(3, 4), nn.Linear(16, CLASSES)
    ),
    "conv_1d": lambda: S(
        nn.Flatten(2), nn.Conv1d(3, 8, 3, stride=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
        nn.Flatten(), nn.LazyLinear(CLASSES)
    ),
    "log_softmax": lambda: S(nn.Flatten(), nn.Linear(432, 8), nn.Dropout(), nn.Linear(8, CLASSES), nn.LogSoftmax(-1)),
    "token_transformer": TokenTransformer,
    "own_attention": OwnAttention,
    "sequence_first": lambda: Lambda(
        tokens, nn.Conv2d(3, 8, 4, 4), nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, CLASSES)
    ),
}  # fmt: skip


@functools.cache
def module(name: str) -> nn.Module:
    """A model with weights and running statistics that are not all zero or one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = MODULES[name]().eval()
            made(torch.zeros(1, 3, SIZE, SIZE))
        for part in made.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(part.running_var, 0.5, 2.0)
                nn.init.normal_(part.running_mean)
                nn.init.normal_(part.bias)
    return made


def export(name: str, opset: int, symbolic: bool, dynamo: bool = False) -> onnx.ModelProto:
    """One of MODULES as ONNX, with the batch fixed to 1 or symbolic."""
    file = io.BytesIO()
    options: dict[str, Any] = {"dynamic_axes": {"input": {0: "batch"}}} if symbolic else {}
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module(name), (torch.zeros(1, 3, SIZE, SIZE),), file, opset_version=opset, input_names=["input"],
            dynamo=dynamo, verbose=False, **options,
        )  # fmt: skip
    logging.disable(previous)
    return onnx.load_model_from_string(file.getvalue())


def exported(name: str, symbolic: bool) -> onnx.ModelProto:
    return export(name, 17 if symbolic else 14, symbolic)


TORCH_ZOO: dict[str, Callable[[], onnx.ModelProto]] = {
    f"{name}_{'symbolic' if symbolic else 'fixed'}": functools.partial(exported, name, symbolic)
    for name in MODULES
    for symbolic in (False, True)
}
