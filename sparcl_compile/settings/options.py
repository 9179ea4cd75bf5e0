"""The choices of each option of the compiler, and the checks of their ranges."""

import dataclasses
import re

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.options import AUTO, BATCH_SIZE, STEP_LIMIT, Options
from sparcl_compile.interface.ranges import (
    check_choice,
    check_classes,
    check_not_negative,
    check_seed,
    check_share,
    input_lengths,
)
from sparcl_compile.passes.schemes.names import check_scheme, check_sparsity
from sparcl_compile.settings.methods import check_method
from sparcl_compile.settings.policy_checks import check_policy

RECIPES = ("paper", "reference-code")
DISTRIBUTIONS = ("uniform", "erk")
SCALINGS = ("density", "none")
OPTIMIZERS = ("sgd", "adamw")
REPLAY_BATCHES = ("separate", "merged")
TARGETS = ("ort", "ort-training")
INITS = ("keep", "fresh")
UPDATES = ("all", "bias", "norm")
GRADIENT_SCHEMES = ("unstructured", "channel")
ACTIVATIONS = ("f32", "bf16", "bf16-backward")


@dataclasses.dataclass(frozen=True)
class Rates:
    """Learning rates of an optimizer: of a long run, and of one with few epochs a task."""

    many: float
    few: float


FEW_EPOCHS = 5
"""The most epochs a task that are few: so few steps are best large."""
LEARNING_RATES = {
    ("sgd", "normalised"): Rates(many=0.5, few=0.5),
    ("sgd", "gated"): Rates(many=0.4, few=0.4),
    ("sgd", "raised"): Rates(many=0.1, few=0.1),
    ("sgd", "other"): Rates(many=0.1, few=0.15),
    **{("adamw", kind): Rates(many=0.001, few=0.001) for kind in ("normalised", "gated", "raised", "other")},
}
"""By optimizer, and by what the model's hidden layers are, what a run begins with when its user names no rate
(docs/algorithm.md, Learning rates); without momentum.
"""


@dataclasses.dataclass(frozen=True)
class CompileOptions(Options):
    """Checked options of one compilation; see ``sparcl-compile --help`` for their meaning.

    Raises:
        FieldError: a value is out of its range.
    """

    def __post_init__(self) -> None:
        """Check the ranges; the passes check what only they can know."""
        check_scheme(self.scheme)
        for name in ("sparsity", "gradient_sparsity", "data_removal"):
            check_share(name, getattr(self, name))
        for name, known in _CHOICES.items():
            check_choice(name, getattr(self, name), known)
        check_sparsity(self.scheme, self.sparsity, self.distribution)
        check_policy(self)
        check_method(self)
        self._check_patterns()
        self._check_numbers()

    def _check_numbers(self) -> None:
        check_not_negative("weight_decay", self.weight_decay, example=0.0005)
        check_share("momentum", self.momentum, example=0.9)
        if self.step_limit is not None:
            check_not_negative("step_limit", self.step_limit, example=STEP_LIMIT)
        check_share("rate_decay", self.rate_decay, example=0.25)
        if self.momentum and self.optimizer != "sgd":
            raise FieldError("momentum", self.momentum, f"is for sgd, {self.optimizer} has its own", "leave it out")
        if self.step_limit and self.optimizer != "sgd":
            problem = f"is for sgd, the steps of {self.optimizer} do not grow with the gradient"
            raise FieldError("step_limit", self.step_limit, problem, "leave it out")
        check_classes(self.classes)
        if self.input_shape is not None:
            input_lengths(self.input_shape)
        if self.batch_size < 1:
            raise FieldError("batch_size", self.batch_size, mend=f"give a number from 1, for example {BATCH_SIZE}")
        check_seed(self.seed)

    def _check_patterns(self) -> None:
        if self.gradient_scheme == "channel" and not self.masks_gradients:
            problem = "chooses nothing with `gradient_sparsity` 0"
            raise FieldError("gradient_scheme", "channel", problem, "leave one out")
        if self.compress and "channel" in (self.scheme, self.gradient_scheme):
            other = "scheme" if self.scheme == "channel" else "gradient_scheme"
            problem = f"stores single weights, and `{other}` channel computes on whole channels"
            raise FieldError("compress", None, problem, "leave one of the two out")
        if self.measure_kernels and not (self.compress and self.select_kernels):
            raise FieldError("measure_kernels", None, "chooses the layers of `compress`", "add that or leave this out")
        if self.activations != "f32" and not self.compress:
            problem = "is for the sparse kernels, which `compress` computes with"
            raise FieldError("activations", self.activations, problem, "add that or leave this out")
        if self.ort_format and self.target == "ort-training":
            problem = "is for a minimal build of ONNX Runtime, which has no operators of `target` ort-training"
            raise FieldError("ort_format", None, problem, "add `target` ort or leave this out")
        if self.update not in UPDATES and not _LAST.fullmatch(self.update):
            mend = f"give one of {', '.join(UPDATES)} or last:K, for example last:1"
            raise FieldError("update", self.update, mend=mend)


def learning_rates(options: CompileOptions, layers: str) -> Rates:
    """Return what a run begins with when its user names no rate.

    Momentum m adds up a gradient that stays the same to 1 / (1 - m) times its step, which the rates take back.

    Args:
        options: of the compilation.
        layers: what the model's hidden layers are (passes/analysis/normalised.py): normalised, gated or other.
    """
    rates, share = LEARNING_RATES[options.optimizer, layers], 1.0 - options.momentum
    return Rates(many=round(rates.many * share, 9), few=round(rates.few * share, 9))


_LAST = re.compile(r"last:[1-9]\d*")
_CHOICES = {
    "gradient_scheme": GRADIENT_SCHEMES,
    "distribution": DISTRIBUTIONS,
    "scaling": SCALINGS,
    "replay_batches": (AUTO, *REPLAY_BATCHES),
    "optimizer": OPTIMIZERS,
    "recipe": RECIPES,
    "init": INITS,
    "target": TARGETS,
    "activations": ACTIVATIONS,
}
