"""The settings of a reference run."""

import dataclasses
from typing import Literal

Recipe = Literal["paper", "reference-code"]


@dataclasses.dataclass(frozen=True)
class LayerCounts:
    """The kept weights of a layer: usually, after a removal and after the growth; and the updated ones."""

    size: int
    base: int
    shrunk: int
    grown: int
    update: int


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything but the model and the data.

    ``masked`` are state_dict names; a layer's position in it is its index in the grow stream.
    ``counts`` replaces the uniform counts (ERK, or numbers read from a manifest), one a masked layer.
    ``mean`` and ``std`` are per channel, in units of 1 (raw pixels are divided by 255 first).
    ``scheme`` says which weights are removed and grown together; the counts are then counts of groups.
    ``gradient_scheme`` "channel" updates whole output channels, axis 0 of the weights.
    ``logit_weight`` and ``label_weight`` stand for those of the method, where they are given.
    ``loss_classes`` "task" masks the other tasks' classes out of the current batch's loss, "all" masks nothing,
    "balanced" adds the logarithm of what each class is of the step's loss; None is
    "balanced" for er and der++, else "all".
    ``scaling`` gives masked layers their norm back, and a learning rate of 1/density.
    ``step_limit`` is the largest step of a parameter, as a share of the norm that it begins with; 0 for none.
    ``full_limit_steps`` steps of a task that are too long have it whole, before it falls with the root of their number.
    ``rate_decay`` is the share of a task, from its end, over which the learning rate falls to 0.
    ``tasks`` is their number, which PackNet alone has to know.
    ``max_steps`` ends the run after so many optimizer steps (their events included).
    ``record`` keeps a copy of the masks at every update and the sample ids of every step.
    """

    masked: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    recipe: Recipe = "paper"
    scheme: str = "unstructured"
    sparsity: float = 0.8
    gradient_sparsity: float = 0.8
    gradient_scheme: str = "unstructured"
    data_removal: float = 0.3
    replay: str = "der++"
    logit_weight: float | None = None
    label_weight: float | None = None
    replay_batches: Literal["separate", "merged"] = "separate"
    loss_classes: Literal["all", "task", "balanced"] | None = None
    augment: bool = False
    batch_size: int = 32
    buffer_size: int = 200
    epochs: int = 5
    tasks: int = 0
    lr: float = 0.03
    scaling: bool = False
    step_limit: float = 0.0
    full_limit_steps: int = 0
    rate_decay: float = 0.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    seed: int = 0
    counts: tuple[LayerCounts, ...] | None = None
    max_steps: int | None = None
    record: bool = True

    @property
    def masks_gradients(self) -> bool:
        """Whether fewer weights are updated than are usually kept; of channels always, unless all are updated."""
        return self.gradient_sparsity > (0 if self.gradient_scheme == "channel" else self.sparsity)
