"""The networks of the shipped data, each whole and narrow: ``python -m benchmarks.shipped_networks -o build/shipped``.

A narrow one takes as much work for a sample as the whole one does with 80 % sparse weights: 22 to 49 %, as first layers
stay dense.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import torch
from torch import nn

from models.export import export
from models.small import digits_cnn


class Network(NamedTuple):
    """A network by its width and its classes, the shape of a sample, and both widths."""

    build: Callable[[int, int], nn.Module]
    sample: tuple[int, ...]
    classes: int
    width: int
    narrow: int


def lenet(width: int, classes: int) -> nn.Module:
    """LeNet-5's shape for [N, 1, 28, 28], without normalisation; its own width is 6."""
    first = [nn.Conv2d(1, width, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    channels, hidden, last = 8 * width // 3, 20 * width, 14 * width
    second = [nn.Conv2d(width, channels, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    head = [nn.Linear(25 * channels, hidden), nn.ReLU(), nn.Linear(hidden, last), nn.ReLU(), nn.Linear(last, classes)]
    return nn.Sequential(*first, *second, *head)


def flat(width: int, classes: int) -> nn.Module:
    """Two normalised convolutions for [N, 1, 28, 28] and a large classifier in place of a mean over the image."""
    layers: list[nn.Module] = []
    for channels, out in ((1, width), (width, 2 * width)):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(98 * width, classes))


def _activated(channels: int, norm: bool) -> list[nn.Module]:
    """The activation behind a layer, and the normalisation between them."""
    return [nn.BatchNorm1d(channels), nn.ReLU()] if norm else [nn.ReLU()]


def perceptron(features: int, norm: bool) -> Callable[[int, int], nn.Module]:
    """Two hidden layers for [N, features], with or without batch normalisation."""

    def build(width: int, classes: int) -> nn.Module:
        layers: list[nn.Module] = []
        for inputs in (features, width):
            layers += [nn.Linear(inputs, width, bias=not norm), *_activated(width, norm)]
        return nn.Sequential(*layers, nn.Linear(width, classes))

    return build


def speech(norm: bool) -> Callable[[int, int], nn.Module]:
    """Three convolutions along the time for [N, 12, frames], with or without batch normalisation."""

    def build(width: int, classes: int) -> nn.Module:
        layers: list[nn.Module] = []
        for channels, out, stride in ((12, width, 1), (width, 2 * width, 2), (2 * width, 2 * width, 2)):
            conv = nn.Conv1d(channels, out, 5, stride, padding=2, bias=not norm)
            layers += [conv, *_activated(out, norm)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2 * width, classes))

    return build


NETWORKS: dict[str, Network] = {
    "digits8_norm": Network(digits_cnn, (1, 8, 8), 10, 16, 7),
    "digits28_norm": Network(flat, (1, 28, 28), 10, 16, 8),
    "digits28_plain": Network(lenet, (1, 28, 28), 10, 6, 4),
    "letters_norm": Network(perceptron(16, norm=True), (16,), 26, 192, 97),
    "letters_plain": Network(perceptron(16, norm=False), (16,), 26, 192, 97),
    "soil_norm": Network(perceptron(36, norm=True), (36,), 6, 128, 52),
    "soil_plain": Network(perceptron(36, norm=False), (36,), 6, 128, 52),
    "speakers_norm": Network(speech(norm=True), (12, 28), 9, 24, 13),
    "speakers_plain": Network(speech(norm=False), (12, 28), 9, 24, 13),
}
"""By the name of its data, and whether it is normalised."""


@click.command()
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True)
def main(output: Path) -> None:
    """Write OUTPUT/NAME.onnx and OUTPUT/NAME_narrow.onnx, freshly initialised."""
    output.mkdir(parents=True, exist_ok=True)
    for name, network in NETWORKS.items():
        for file, width in ((f"{name}.onnx", network.width), (f"{name}_narrow.onnx", network.narrow)):
            torch.manual_seed(0)
            export(network.build(width, network.classes), network.sample, output / file)
            click.echo(str(output / file))


if __name__ == "__main__":
    main()
