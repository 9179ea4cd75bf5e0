"""Small models, one artifact with its state, and a driver of a few lines, which the tests of two lowerings share."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from models.export import export
from models.resnet import resnet18
from models.small import cnn, depthwise_cnn, mlp
from models.transformer import VisionTransformer
from sparcl_compile.compiling.compiler import compile_model
from sparcl_compile.interface.artifact import load
from sparcl_compile.interface.manifest import Manifest
from sparcl_compile.interface.options import AUTO
from sparcl_compile.runtime.data.tables import Table, Tables
from sparcl_compile.runtime.driver.trainer import Trainer
from sparcl_compile.runtime.session.engine import Engine, Sizes
from sparcl_compile.settings.options import CompileOptions
from tests.support.batches import Batch, class_mask, current_batch, replay_batch, with_class_mask

CLASSES = 4
BATCH = 8
SIZES = {"samples": BATCH, "buffer": 1, "tasks": 1, "C": 1, "H": 1, "W": 1}
COLOUR = (3, 16, 16)
MODELS = {
    # Narrower, a unit whose inputs are all dead has no variance, and its BatchNorm makes 300 of a rounding error of 1.
    "resnet": (lambda: resnet18(width=12, classes=CLASSES, blocks=(1, 1, 1, 1)), COLOUR),
    "mlp": (lambda: mlp(width=24, classes=CLASSES), (1, 8, 8)),
    "pooled": (lambda: cnn(width=12, classes=CLASSES), COLOUR),
    "depthwise": (lambda: depthwise_cnn(width=12, classes=CLASSES), COLOUR),
    "transformer": (lambda: VisionTransformer(16, CLASSES, channels=3, size=16, patch=4, depth=2), COLOUR),
}


def exchange(remove_to: str, grow_to: str) -> dict[str, str]:
    """A mask update between two levels."""
    return {"remove_to": remove_to, "grow_to": grow_to}


UPDATES = {
    2: exchange("shrunk", "base"),
    4: exchange("size", "grown"),
    6: exchange("base", "base"),
    8: exchange("shrunk", "base"),
    10: exchange("shrunk", "grown"),
}
"""After so many steps: exchange, expand, shrink, exchange, exchange and expand."""
STEPS = 13


def write_small(name: str, path: Path, seed: int) -> tuple[int, ...]:
    """Export one of the models with seeded weights; the shape of a sample."""
    make, sample = MODELS[name]
    torch.manual_seed(seed)
    module = make()
    keep_off_kinks(module)
    export(module, sample, path)
    return sample


def keep_off_kinks(module: torch.nn.Module) -> None:
    """Let hardly any unit stand where Relu bends.

    Where one does, a rounding error decides whether it learns, and two correct forms part for good: one case in eight
    over these few steps. Three channels of four are almost always on, the fourth is almost always off.
    """
    for norm in (part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)):
        norm.bias.data = torch.where(torch.arange(len(norm.bias)) % 4 == 3, -3.0, 3.0)


NOTHING = Table(np.zeros((0, 1, 1, 1), np.float32), np.zeros(0, np.int64), ())


class Form:
    """A compiled model with its first state, whose steps a test feeds with batches of its own, separate ones."""

    def __init__(self, source: Path, target: Path, options: CompileOptions) -> None:
        if options.replay_batches == AUTO:
            options = dataclasses.replace(options, replay_batches="separate")
        compile_model(source, target, options)
        artifact = load(target)
        self.manifest = self.adapted(artifact.manifest)
        self.engine = Engine(dataclasses.replace(artifact, manifest=self.manifest), 1, Sizes(dimensions=SIZES))
        self.engine.reset_all()
        self.trainer = Trainer(self.engine, self.manifest.program, Tables(NOTHING), {"seed": 3})

    def adapted(self, manifest: Manifest) -> Manifest:
        """The manifest that the form is driven by."""
        return manifest

    def step(self, current: Batch, replay: Sequence[Batch], rate: float) -> np.ndarray:
        """Measure, choose the gradients, accumulate the micro-steps, move; the logits of the current batch."""
        self.choose(current, replay)
        return self.move(current, replay, rate)

    def choose(self, current: Batch, replay: Sequence[Batch]) -> None:
        """Choose the gradients to use, where gradients are sparse."""
        if self.engine.names("gradient_mask"):
            self._give(current, replay)
            self.trainer.call("choose_gradients")

    def move(self, current: Batch, replay: Sequence[Batch], rate: float) -> np.ndarray:
        """Accumulate the micro-steps and move the weights; the logits of the current batch."""
        self._give(current, replay)
        self.trainer.set({"learning_rate": rate, "epochs": 1, "done": 0, "total": 1})
        self.trainer.call("move")
        self.trainer.set({"count": self.trainer["count"] + 1})
        return np.array(self.trainer.result("trained0.logits"))

    def measure(self, current: Batch, replay: Sequence[Batch]) -> None:
        """Take the gradients that the next mask update uses."""
        self._give(current, replay)
        self.trainer.call("measure")

    def update_masks(self, update: Mapping[str, str]) -> None:
        """Run one mask update between two levels; without a measurement the gradients count as zero."""
        vectors = self.manifest.program.vectors
        self.trainer.set({f"event.{name}": vectors[f"level.{level}"] for name, level in update.items()})
        self.trainer.call("update_masks")

    def _give(self, current: Batch, replay: Sequence[Batch]) -> None:
        own = with_class_mask(current, class_mask(CLASSES, [0, 1])).class_mask
        values = {**current.values("current"), "current.own_mask": own, "task": int(bool(replay))}
        for number, batch in enumerate(replay):
            values |= batch.values(f"replay{number}")
        self.trainer.set(values)


def batches(seed: int, sample: tuple[int, ...]) -> tuple[Batch, list[Batch]]:
    """A current batch, and two replayed ones as DER++ draws them."""
    rng = np.random.default_rng(seed)

    def drawn() -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, CLASSES, BATCH)
        return rng.normal(size=(BATCH, *sample)).astype(np.float32) + labels.reshape(-1, *[1] * len(sample)) / 4, labels

    x, labels = drawn()
    current = current_batch(x.astype(np.float32), labels, np.zeros(CLASSES, np.float32), np.arange(BATCH))
    replay = []
    for ce, distill in ((0.0, 0.1), (0.5, 0.0)):
        x, labels = drawn()
        logits = rng.normal(size=(BATCH, CLASSES)).astype(np.float32)
        replay.append(replay_batch(x.astype(np.float32), labels, logits, ce, distill))
    return current, replay
