"""What a user can ask of the compiler: the choices of each option, and the one place that checks their ranges."""

import dataclasses
import re

from sparcl_compile.interface.errors import OptionError
from sparcl_compile.interface.options import BATCH_SIZE, Options
from sparcl_compile.passes.schemes.names import check_scheme, check_sparsity

RECIPES = ("paper", "reference-code")
DISTRIBUTIONS = ("uniform", "erk")
REPLAYS = ("none", "er", "der++")
OPTIMIZERS = ("sgd", "adamw")
REPLAY_BATCHES = ("separate", "merged")
LOSS_CLASSES = ("all", "task")
INITS = ("keep", "fresh")
UPDATES = ("all", "bias", "norm")
GRADIENT_SCHEMES = ("unstructured", "channel")
LEARNING_RATE = {"sgd": 0.03, "adamw": 0.001}


@dataclasses.dataclass(frozen=True)
class CompileOptions(Options):
    """Checked options of one compilation; see ``sparcl-compile --help`` for their meaning.

    Raises:
        OptionError: a value is out of its range; the message names the option.
    """

    def __post_init__(self) -> None:
        """Check the ranges; the passes check what only they can know."""
        check_scheme(self.scheme)
        for name in ("sparsity", "gradient_sparsity", "data_removal"):
            share = getattr(self, name)
            if not 0.0 <= share < 1.0:
                flag = name.replace("_", "-")
                raise OptionError(f"--{flag} {share}: give a number from 0 (off) to below 1, for example 0.8")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                flag = name.replace("_", "-")
                raise OptionError(f"--{flag} {getattr(self, name)}: give one of {', '.join(known)}")
        check_sparsity(self.scheme, self.sparsity, self.distribution)
        self._check_patterns()
        self._check_numbers()

    def _check_numbers(self) -> None:
        if not 0.0 <= self.weight_decay < float("inf"):
            raise OptionError(f"--weight-decay {self.weight_decay}: give a number from 0, for example 0.0005")
        if not 0.0 <= self.momentum < 1.0:
            raise OptionError(f"--momentum {self.momentum}: give a number from 0 (off) to below 1, for example 0.9")
        if self.momentum and self.optimizer != "sgd":
            raise OptionError(f"--momentum {self.momentum}: is for sgd, {self.optimizer} has its own; leave it out")
        if self.classes is not None and self.classes < 2:
            raise OptionError(f"--classes {self.classes}: a classifier needs at least 2 classes")
        if self.batch_size < 1:
            raise OptionError(f"--batch-size {self.batch_size}: give a number from 1, for example {BATCH_SIZE}")
        if not 0 <= self.seed < 2**32:
            raise OptionError(f"--seed {self.seed}: give a whole number from 0 to 4294967295")

    def _check_patterns(self) -> None:
        if self.gradient_scheme == "channel" and self.gradient_sparsity == 0.0:
            raise OptionError("--gradient-scheme channel: chooses nothing with --gradient-sparsity 0; leave one out")
        if self.compress and "channel" in (self.scheme, self.gradient_scheme):
            option = "--scheme" if self.scheme == "channel" else "--gradient-scheme"
            raise OptionError(
                f"--compress: stores single weights, and {option} channel computes on whole channels; "
                "leave one of the two out"
            )
        if self.measure_kernels and not (self.compress and self.select_kernels):
            raise OptionError("--measure-kernels: chooses the layers of --compress; add that or leave this out")
        if self.update not in UPDATES and not _LAST.fullmatch(self.update):
            raise OptionError(f"--update {self.update}: give one of {', '.join(UPDATES)} or last:K, for example last:1")


_LAST = re.compile(r"last:[1-9]\d*")
_CHOICES = {
    "gradient_scheme": GRADIENT_SCHEMES,
    "distribution": DISTRIBUTIONS,
    "replay": REPLAYS,
    "replay_batches": REPLAY_BATCHES,
    "loss_classes": LOSS_CLASSES,
    "optimizer": OPTIMIZERS,
    "recipe": RECIPES,
    "init": INITS,
}
