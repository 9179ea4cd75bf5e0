"""DER++ on Split CIFAR-10 in plain PyTorch: a second opinion on the dense row of benchmarks.split_cifar10.

``python -m benchmarks.der_pytorch PATH`` (as in ``--data cifar10:PATH``) shares nothing with the tool or its tests but
the reader of the images and the module of the network: batches, crops, buffer and draws come from PyTorch's and
NumPy's generators. The protocol is the small one: two classes a task in order, 5 epochs a task, batch 32, SGD 0.03
without momentum, buffer of 200, replay from the second task on, 0.1 of the logits' error and 0.5 of the cross-entropy,
three forward passes a step (Buzzega et al., NeurIPS 2020). A run takes an hour and a half on one core.
"""

from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import torch
from torch.nn import functional

from models.resnet import resnet18
from sparcl_compile.interface.errors import DataError
from sparcl_compile.runtime.data import sources

CLASSES, CLASSES_PER_TASK = 10, 2
BATCH, PAD, SIZE = 32, 4, 32
LEARNING_RATE, LOGITS, LABELS = 0.03, 0.1, 0.5
MEAN = torch.tensor((0.4914, 0.4822, 0.4465)).view(1, 3, 1, 1)
STD = torch.tensor((0.2470, 0.2435, 0.2615)).view(1, 3, 1, 1)

Data = tuple[torch.Tensor, torch.Tensor]
"""Images uint8 [S, 3, 32, 32] and labels int64 [S]."""


def load(path: Path) -> tuple[Data, Data]:
    """Load the training set and the test set."""
    try:
        read = sources.load(f"cifar10:{path}")
    except DataError as error:
        raise click.ClickException(str(error)) from error
    train, test = (read.x_train, read.y_train), (read.x_test, read.y_test)
    return tuple(map(torch.from_numpy, train)), tuple(map(torch.from_numpy, test))


def normalised(x: torch.Tensor) -> torch.Tensor:
    """Normalise images for the network."""
    return ((x.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def augmented(x: torch.Tensor) -> torch.Tensor:
    """Crop at random with a margin of zeros, mirror half, normalise."""
    padded, out = functional.pad(x, (PAD,) * 4), torch.empty_like(x)
    corners, mirrored = np.random.randint(0, 2 * PAD + 1, (len(x), 2)), np.random.rand(len(x)) < 0.5
    for i, (top, left) in enumerate(corners):
        crop = padded[i, :, top : top + SIZE, left : left + SIZE]
        out[i] = crop.flip(-1) if mirrored[i] else crop
    return normalised(out)


class Buffer:
    """Reservoir sampling over presentations."""

    def __init__(self, size: int) -> None:
        """An empty buffer."""
        self.x = torch.zeros(size, 3, SIZE, SIZE, dtype=torch.uint8)
        self.labels = torch.zeros(size, dtype=torch.long)
        self.logits = torch.zeros(size, CLASSES)
        self.seen = 0

    def add(self, x: torch.Tensor, labels: torch.Tensor, logits: torch.Tensor) -> None:
        """Present samples one by one."""
        size = len(self.labels)
        for i in range(len(labels)):
            slot = self.seen if self.seen < size else np.random.randint(0, self.seen + 1)
            self.seen += 1
            if slot < size:
                self.x[slot], self.labels[slot], self.logits[slot] = x[i], labels[i], logits[i]

    def draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A batch, augmented anew, with its labels and logits."""
        filled = min(self.seen, len(self.labels))
        rows = np.random.choice(filled, min(BATCH, filled), replace=False)
        return augmented(self.x[rows]), self.labels[rows], self.logits[rows]


def batches(samples: torch.Tensor, epochs: int) -> Iterator[torch.Tensor]:
    """Whole batches of the samples, in a new order every epoch."""
    for _ in range(epochs):
        order = samples[torch.randperm(len(samples))]
        yield from order[: len(order) // BATCH * BATCH].split(BATCH)


def step(
    net: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, buffer: Buffer | None
) -> torch.Tensor:
    """One step on raw images, with replay where a buffer is given; returns the logits from before it."""
    optimizer.zero_grad()
    logits: torch.Tensor = net(augmented(x))
    functional.cross_entropy(logits, y).backward()
    if buffer is not None:
        old, _, target = buffer.draw()
        (LOGITS * functional.mse_loss(net(old), target)).backward()
        old, labels, _ = buffer.draw()
        (LABELS * functional.cross_entropy(net(old), labels)).backward()
    optimizer.step()
    return logits.detach()


def accuracies(net: torch.nn.Module, data: Data, tasks: int) -> tuple[list[float], list[float]]:
    """Percent of each task's test images: among all classes, and among the task's own."""
    found: tuple[list[float], list[float]] = ([], [])
    net.eval()
    for task in range(tasks):
        chosen = data[1] // CLASSES_PER_TASK == task
        x, y = normalised(data[0][chosen]), data[1][chosen]
        with torch.no_grad():
            logits = torch.cat([net(part) for part in x.split(500)])
        other = torch.arange(CLASSES) // CLASSES_PER_TASK != task
        for values, guess in zip(found, (logits, logits.masked_fill(other, -1e9)), strict=True):
            values.append(100 * float((guess.argmax(1) == y).float().mean()))
    net.train()
    return found


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--seed", default=0, show_default=True)
@click.option("--width", default=20, show_default=True, help="Channels of the first stage.")
@click.option("--epochs", default=5, show_default=True, help="Epochs a task.")
@click.option("--buffer", "size", default=200, show_default=True, help="Samples in the buffer.")
def main(path: Path, seed: int, width: int, epochs: int, size: int) -> None:
    """Train on the tasks in turn and print class-IL and task-IL after each."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    train, test = load(path)
    net = resnet18(width).to(memory_format=torch.channels_last)
    optimizer, buffer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE), Buffer(size)
    for task in range(CLASSES // CLASSES_PER_TASK):
        own = torch.nonzero(train[1] // CLASSES_PER_TASK == task).flatten()
        for ids in batches(own, epochs):
            x, y = train[0][ids], train[1][ids]
            buffer.add(x, y, step(net, optimizer, x, y, buffer if task > 0 else None))
        class_il, task_il = accuracies(net, test, task + 1)
        rounded = ", ".join(f"{value:.1f}" for value in class_il)
        click.echo(
            f"after task {task + 1}: class-IL {np.mean(class_il):.1f} ({rounded}), task-IL {np.mean(task_il):.1f}"
        )


if __name__ == "__main__":
    main()
