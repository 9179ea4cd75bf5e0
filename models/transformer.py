"""A small vision transformer (Dosovitskiy et al., ICLR 2021) with mean pooling in place of a class token."""

import torch
from torch import nn


class Dense(nn.Module):
    """``x @ weight + bias`` with the weight as [inputs, outputs].

    ``nn.Linear`` holds the transpose, which the exporter either hides behind a Transpose or folds under a new name.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        """Xavier-uniform weights, zero bias."""
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(inputs, outputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., inputs] to [..., outputs]."""
        return x @ self.weight + self.bias


class Attention(nn.Module):
    """Multi-head self-attention over [N, tokens, width]."""

    def __init__(self, tokens: int, width: int, heads: int) -> None:
        """Separate projections for queries, keys and values."""
        super().__init__()
        self.split = (-1, tokens, heads, width // heads)
        self.query, self.key, self.value, self.out = (Dense(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend."""
        _, tokens, heads, size = self.split
        query, key, value = (layer(x).reshape(self.split) for layer in (self.query, self.key, self.value))
        scores = query.permute(0, 2, 1, 3) @ key.permute(0, 2, 3, 1) * size**-0.5
        mixed = torch.softmax(scores, dim=-1) @ value.permute(0, 2, 1, 3)
        projected: torch.Tensor = self.out(mixed.permute(0, 2, 1, 3).reshape(-1, tokens, heads * size))
        return projected


class Block(nn.Module):
    """Attention and a two-layer perceptron, each normalised first and added to its input."""

    def __init__(self, tokens: int, width: int, heads: int) -> None:
        """The perceptron is twice as wide."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(tokens, width, heads)
        self.mlp = nn.Sequential(Dense(width, 2 * width), nn.GELU(), Dense(2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, tokens, width] to the same."""
        x = x + self.attention(self.norm1(x))
        out: torch.Tensor = x + self.mlp(self.norm2(x))
        return out


class VisionTransformer(nn.Module):
    """[N, channels, size, size] to logits [N, classes]."""

    def __init__(self, width: int, classes: int, *, channels: int, size: int, patch: int, depth: int) -> None:
        """Four heads; ``width`` must be a multiple of 4."""
        super().__init__()
        if width % 4:
            raise ValueError(f"width {width} is not a multiple of the 4 heads")
        tokens = (size // patch) ** 2
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.blocks = nn.Sequential(*(Block(tokens, width, heads=4) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.classifier = Dense(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Classify."""
        _, tokens, width = self.position.shape
        x = self.patches(x).reshape(-1, width, tokens).permute(0, 2, 1) + self.position
        logits: torch.Tensor = self.classifier(self.norm(self.blocks(x)).mean(dim=1))
        return logits


def transformer(width: int = 32, classes: int = 10) -> VisionTransformer:
    """Two blocks over 4x4 patches of [N, 3, 32, 32]."""
    return VisionTransformer(width, classes, channels=3, size=32, patch=4, depth=2)
