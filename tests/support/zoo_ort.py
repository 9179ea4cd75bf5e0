"""Classifiers that the target ``ort`` alone can train, exported from PyTorch: recurrent and with ConvTranspose."""

import functools
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from tests.support.zoo_torch import Lambda

CLASSES = 4
STEPS, FEATURES = 6, 5
SOUND, IMAGE = (STEPS, FEATURES), (2, 6, 6)


def last_step(x: Tensor, layer: nn.Module, head: nn.Module) -> Tensor:
    """The class scores of the last step."""
    return head(layer(x)[0][:, -1])


def last_state(x: Tensor, layer: nn.Module, head: nn.Module) -> Tensor:
    """The class scores of the last state of the last layer and direction."""
    state = layer(x)[1]
    return head((state[0] if isinstance(state, tuple) else state)[-1])


def mean_step(x: Tensor, layer: nn.Module, head: nn.Module) -> Tensor:
    """The class scores of the mean over the steps."""
    return head(layer(x)[0].mean(1))


def keywords(x: Tensor, norm: nn.Module, conv: nn.Module, layer: nn.Module, head: nn.Module) -> Tensor:
    """A keyword spotter: a convolution over time, a recurrent layer, the mean over the steps."""
    seen = torch.relu(norm(conv(x.transpose(1, 2)))).transpose(1, 2)
    return head(layer(seen)[0].mean(1))


ONLY_ORT: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "lstm": (SOUND, lambda: Lambda(last_step, nn.LSTM(FEATURES, 8, batch_first=True), nn.Linear(8, CLASSES))),
    "lstm_both_ways": (
        SOUND,
        lambda: Lambda(
            mean_step, nn.LSTM(FEATURES, 6, 2, batch_first=True, bidirectional=True), nn.Linear(12, CLASSES)
        ),
    ),
    "gru": (SOUND, lambda: Lambda(last_state, nn.GRU(FEATURES, 8, batch_first=True), nn.Linear(8, CLASSES))),
    "rnn": (SOUND, lambda: Lambda(last_step, nn.RNN(FEATURES, 8, batch_first=True), nn.Linear(8, CLASSES))),
    "keywords": (
        SOUND,
        lambda: Lambda(
            keywords, nn.BatchNorm1d(8), nn.Conv1d(FEATURES, 8, 3, padding=1), nn.LSTM(8, 8, batch_first=True),
            nn.Linear(8, CLASSES)
        ),
    ),
    "transposed": (
        IMAGE,
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(6, 4, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1), nn.ELU(), nn.Flatten(), nn.Linear(4 * 144, CLASSES)
        ),
    ),
}  # fmt: skip


@functools.cache
def only_ort(name: str, batch: int | None = None) -> onnx.ModelProto:
    """One of ONLY_ORT as ONNX, with a symbolic batch or one of a fixed size."""
    shape, make = ONLY_ORT[name]
    file, options = io.BytesIO(), dict[str, Any](dynamo=False, verbose=False, opset_version=17)
    if batch is None:
        options["dynamic_axes"] = {"input": {0: "batch"}}
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        torch.onnx.export(make().eval(), (torch.zeros(batch or 1, *shape),), file, input_names=["input"], **options)
    logging.disable(previous)
    return onnx.load_model_from_string(file.getvalue())
