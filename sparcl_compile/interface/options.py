"""The options of a compilation with their defaults."""

import dataclasses
from typing import Literal, TypeVar

LossClasses = Literal["", "all", "task", "batch", "balanced"]
"""The classes that take part in a loss: all, the task's, the batch's, all by how much they are of it, or for nothing
those of ``--loss-classes``."""
ReplayClasses = Literal["all", "seen", "balanced"]
"""The classes that take part in the loss of a replay batch."""
BATCH_SIZE = 32
"""Samples a step: the default of ``sparcl-run`` and of the papers."""
TARGET = "ort"
"""The default target: any build of ONNX Runtime."""
STEP_LIMIT = 0.2
"""The largest step of SGD in a layer, as a share of the norm of its weight (docs/algorithm.md, Learning rates)."""
AUTO = "auto"
"""An option whose value the model settles; the manifest has what it came to."""
NOISE = 1e-9
"""Sparsities that differ by less are the same: 1 - 11/20 is not the number 0.45."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of one compilation, unchecked; see ``sparcl-compile --help`` for their meaning."""

    sparsity: float = 0.8
    gradient_sparsity: float = 0.8
    data_removal: float = 0.3
    scheme: str = "unstructured"
    gradient_scheme: str = "unstructured"
    distribution: str = "uniform"
    mask_policy: str = AUTO
    growth: str | None = None
    first_mask: str = "magnitude"
    scaling: str = "density"
    method: str = "der++"
    logit_weight: float | None = None
    label_weight: float | None = None
    replay_batches: str = AUTO
    loss_classes: str | None = None
    optimizer: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    step_limit: float | None = None
    rate_decay: float = 0.25
    recipe: str = "paper"
    classes: int | None = None
    logits: str | None = None
    input_shape: str | None = None
    init: str = "keep"
    dense: tuple[str, ...] = ()
    fold: bool = True
    compress: bool = False
    select_kernels: bool = True
    measure_kernels: bool = False
    activations: str = "f32"
    batch_size: int = BATCH_SIZE
    freeze: tuple[str, ...] = ()
    update: str = "all"
    recompute: bool = False
    seed: int = 0
    target: str = TARGET
    ort_format: bool = False

    @property
    def density(self) -> float:
        """The share of the maskable weights that is kept."""
        return 1.0 - self.sparsity

    @property
    def gradient_density(self) -> float:
        """The share of the gradients that is used; all where there are no gradient masks."""
        return 1.0 - self.effective_gradient_sparsity

    @property
    def masks_gradients(self) -> bool:
        """Whether there are gradient masks.

        A gradient mask has room for the share 1 - q of a layer's weights, and the layer usually keeps 1 - s of them, so
        only a q above s leaves any of them out. Of output channels every q does, but for roundings: their number is a
        share of all channels, and a channel stays even where most of its weights are pruned.
        """
        least = 0.0 if self.gradient_scheme == "channel" else self.sparsity
        return self.gradient_sparsity > least + NOISE

    @property
    def effective_gradient_sparsity(self) -> float:
        """The share of the gradients that the gradient masks leave out, pruned weights included; 0 without masks."""
        return self.gradient_sparsity if self.masks_gradients else 0.0

    @property
    def effective_step_limit(self) -> float:
        """The largest step of a layer as a share of the norm of its weight; 0 where there is no limit."""
        if self.step_limit is not None:
            return self.step_limit
        return STEP_LIMIT if self.optimizer == "sgd" else 0.0

    @property
    def is_sparse(self) -> bool:
        """Whether weights or gradients are sparse."""
        return self.sparsity > 0.0 or self.masks_gradients


SomeOptions = TypeVar("SomeOptions", bound=Options)
