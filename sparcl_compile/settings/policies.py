"""The mask policies: what a mask update drops and grows, and when in a task (docs/algorithm.md, Mask policies)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

from sparcl_compile.interface.options import AUTO, Options, SomeOptions

"""The policy that suits the model: SparCL's, or RigL's where the classifier is the only layer."""
TDM, STATIC, SET, RIGL, SNIP, GRADUAL, GRANET, MEST_EM, MEST_EM_S, AC_DC, SR_STE = (
    "tdm",
    "static",
    "set",
    "rigl",
    "snip",
    "gradual",
    "granet",
    "mest-em",
    "mest-em-s",
    "ac-dc",
    "sr-ste",
)
RANDOM, GRADIENT, MOMENTUM, NONE = "random", "gradient", "momentum", "none"
MAGNITUDE, ALL = "magnitude", "all"
GROWTHS = (RANDOM, GRADIENT, MOMENTUM)
FIRST_MASKS = (MAGNITUDE, RANDOM)
Tasks = Literal["first", "later", "all"]
"""The tasks that an event belongs to."""

TENTHS = tuple(i / 10 for i in range(1, 10))
"""Fractions of a task at which policies exchange weights, as TDM does."""
SET_SHARE = 0.3
"""The share of a layer's weights that SET exchanges: zeta of Mocanu et al., 2018."""
RIGL_SHARE, RIGL_END = 0.3, 0.75
"""The first share that RigL exchanges and the fraction of the training at which it ends (Evci et al., 2020)."""
GRADUAL_END = 0.8
"""The fraction of the first task at which gradual pruning has reached the sparsity."""
GRANET_SHARE, GRANET_LEAST = 0.5, 0.005
"""The first and the last share that GraNet exchanges (the authors' scripts, whose cosine ends with the training)."""
GRANET_END = 0.6875
"""The fraction at which GraNet has reached the sparsity: epoch 110 of 160 in the authors' scripts."""
MEST_ALPHA = 0.5
"""The factor of the gradient in MEST's importance: SparCL's alpha, whose authors are MEST's."""
MEST_STAGES = ((0.5625, 2.0), (0.75, 1.0), (1.0, 0.0))
"""Ends of the stages of MEST's decay, epochs 90 and 120 of 160, and multiples of the last share that they exchange."""
MEST_DROP, MEST_ADD = 0.1, 0.25
"""The last shares of the kept weights that MEST+EM drops and MEST+EM&S adds (the authors' scripts for 90 %)."""
SR_STE_DECAY = 2e-4
"""The decay of pruned weights under SR-STE: lambda_W of Zhou et al., 2021."""
AC_DC_PRUNED = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85)
"""The fractions at which AC/DC prunes: epochs 10, 20, ... 70 and 85 of the paper's 100 for ImageNet."""
AC_DC_WHOLE = (0.0, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75)
"""The fractions at which AC/DC lets all weights train: at first, and five epochs behind each pruning but the last."""


@dataclasses.dataclass(frozen=True)
class Level:
    """A number of kept weights: shares of a layer's weights that are usually kept, and of its others."""

    of_kept: float = 1.0
    of_others: float = 0.0

    def share(self, density: float) -> float:
        """The share of all weights of a layer of this density, at most 1."""
        return min(1.0, self.of_kept * density + self.of_others * (1.0 - density))

    def without(self, share: float) -> "Level":
        """The level that is left when this share of it is dropped."""
        return Level(self.of_kept * (1.0 - share), self.of_others * (1.0 - share))


BASE = Level()
"""The weights that are usually kept."""
WHOLE = Level(1.0, 1.0)
"""All weights."""


@dataclasses.dataclass(frozen=True)
class Exchange:
    """A mask update.

    Attributes:
        at: the fraction of a task's steps at which it is due.
        tasks: the tasks that have it.
        remove_to: the level that is left after the removal.
        grow_to: the level that is reached by the growth.
    """

    at: float
    tasks: Tasks
    remove_to: Level
    grow_to: Level


@dataclasses.dataclass(frozen=True)
class Policy:
    """A way to choose masks.

    Attributes:
        name: the name that ``--mask-policy`` gives it.
        exchanges: its mask updates by rising fraction; TDM's are those of the recipe.
        growth: how it chooses what grows, unless the user says otherwise; ``none`` where nothing grows.
        alpha: the factor of the gradient in the importance of a weight; TDM's is that of the recipe.
        starts_dense: whether all weights are kept at first.
        scores_first: whether the first masks are chosen by scores of the first batches.
        straight_through: whether pruned weights are trained as well, and every step chooses the masks anew.
    """

    name: str
    exchanges: tuple[Exchange, ...] = ()
    growth: str = NONE
    alpha: float = 0.0
    starts_dense: bool = False
    scores_first: bool = False
    straight_through: bool = False

    @property
    def moves(self) -> bool:
        """Whether masks change in a run."""
        return self.name == TDM or bool(self.exchanges) or self.scores_first or self.straight_through

    @property
    def changes_density(self) -> bool:
        """Whether more weights are kept in a part of a run than at its end."""
        return (self.starts_dense and not self.straight_through) or any(one.grow_to != BASE for one in self.exchanges)

    def swing(self, density: float) -> tuple[float, float]:
        """The largest shares of all weights that are missing after a removal, and that are kept beyond the density."""
        shares = [level.share(density) for one in self.exchanges for level in (one.remove_to, one.grow_to)]
        return max(0.0, density - min(shares, default=density)), max(0.0, max(shares, default=density) - density)


def set_exchanges() -> tuple[Exchange, ...]:
    """Drop a fixed share by magnitude, grow as many (SET, Mocanu et al., Nature Communications 2018)."""
    return tuple(Exchange(at, "all", Level(1.0 - SET_SHARE), BASE) for at in TENTHS)


def rigl_exchanges() -> tuple[Exchange, ...]:
    """Drop a share that falls with a cosine, grow as many (RigL, Evci et al., ICML 2020, section 3)."""
    return tuple(Exchange(at, "all", Level(1.0 - rigl_share(at)), BASE) for at in TENTHS if at < RIGL_END)


def rigl_share(at: float) -> float:
    """The share that RigL exchanges at a fraction of the training: ``alpha / 2 * (1 + cos(pi t / T_end))``."""
    return RIGL_SHARE / 2.0 * (1.0 + math.cos(math.pi * at / RIGL_END))


def gradual_exchanges() -> tuple[Exchange, ...]:
    """Prune a dense network by magnitude, fast at first (Zhu and Gupta, 2017, arXiv 1710.01878, equation 1)."""
    levels = [(at, pruned_by(at, GRADUAL_END)) for at in TENTHS if at <= GRADUAL_END]
    return tuple(Exchange(at, "first", level, level) for at, level in levels)


def pruned_by(at: float, end: float) -> Level:
    """The level of gradual pruning at a fraction of a task; from ``end`` on what is usually kept."""
    return Level(1.0, max(0.0, 1.0 - at / end) ** 3)


def granet_exchanges() -> tuple[Exchange, ...]:
    """Prune gradually, each time with an exchange by gradient that falls with a cosine and goes on in later tasks.

    GraNet (Liu et al., "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration", NeurIPS 2021,
    algorithm 1): of what a pruning leaves a share is dropped by magnitude, and as many weights of the largest
    gradient come.
    """
    each = [(at, tasks, level) for at in TENTHS for tasks, level in _by_task(pruned_by(at, GRANET_END))]
    return tuple(Exchange(at, tasks, level.without(granet_share(at)), level) for at, tasks, level in each)


def _by_task(level: Level) -> tuple[tuple[Tasks, Level], ...]:
    """The level of the first task and that of later ones, which have no more than is usually kept."""
    return (("all", BASE),) if level == BASE else (("first", level), ("later", BASE))


def granet_share(at: float) -> float:
    """The share that GraNet exchanges at a fraction of a task: a cosine from the first to the last."""
    return GRANET_LEAST + (GRANET_SHARE - GRANET_LEAST) / 2.0 * (1.0 + math.cos(math.pi * at))


def mest_em_exchanges() -> tuple[Exchange, ...]:
    """Drop a share that falls in stages, grow as many (MEST+EM, Yuan et al., NeurIPS 2021, section 3.2)."""
    shares = [(at, MEST_DROP * _stage(at)) for at in TENTHS]
    return tuple(Exchange(at, "all", Level(1.0 - share), BASE) for at, share in shares if share)


def mest_em_s_exchanges() -> tuple[Exchange, ...]:
    """Drop what was added before, add a share that falls in stages (MEST+EM&S, Yuan et al., NeurIPS 2021).

    The soft memory bound: new weights are trained beside all others before any of them is dropped.
    """
    shares = [(at, MEST_ADD * _stage(at)) for at in TENTHS]
    last = sum(1 for _, share in shares if share)
    return tuple(Exchange(at, "all", BASE, Level(1.0 + share)) for at, share in shares[: last + 1])


def ac_dc_exchanges() -> tuple[Exchange, ...]:
    """Alternate between all weights and the largest, and end with those (AC/DC, Peste et al., NeurIPS 2021)."""
    whole = [Exchange(at, "all" if at else "later", WHOLE, WHOLE) for at in AC_DC_WHOLE]
    return tuple(sorted([*whole, *(Exchange(at, "all", BASE, BASE) for at in AC_DC_PRUNED)], key=lambda one: one.at))


def _stage(at: float) -> float:
    return next(share for end, share in MEST_STAGES if at < end)


_ALL = (
    Policy(TDM, growth=RANDOM),
    Policy(STATIC),
    Policy(SET, set_exchanges(), RANDOM),
    Policy(RIGL, rigl_exchanges(), GRADIENT),
    Policy(SNIP, starts_dense=True, scores_first=True),
    Policy(GRADUAL, gradual_exchanges(), starts_dense=True),
    Policy(GRANET, granet_exchanges(), GRADIENT, starts_dense=True),
    Policy(MEST_EM, mest_em_exchanges(), RANDOM, MEST_ALPHA),
    Policy(MEST_EM_S, mest_em_s_exchanges(), RANDOM, MEST_ALPHA),
    Policy(AC_DC, ac_dc_exchanges(), starts_dense=True),
    Policy(SR_STE, starts_dense=True, straight_through=True),
)
POLICIES: Mapping[str, Policy] = {policy.name: policy for policy in _ALL}
"""The mask policies by name."""


def policy_of(options: Options) -> Policy:
    """Return the mask policy; SparCL's where no model has settled it."""
    return POLICIES[TDM if options.mask_policy == AUTO else options.mask_policy]


def settled(options: SomeOptions, classifier_alone: bool) -> SomeOptions:
    """Return the options with a mask policy: the user's, or else the one that suits the model.

    RigL's suits a classifier without any layer before it. Its first mask says nothing of the inputs that a class to
    come will need, no other layer makes up for it, and SparCL's masks exchange too few weights, at random, to find
    them (docs/defaults.md, A classifier alone). A growth that the user names is SparCL's masks' own.

    Args:
        options: as the user gave them.
        classifier_alone: whether the classifier is the model's only layer, and has a mask.
    """
    if options.mask_policy != AUTO:
        return options
    grows = options.sparsity > 0.0 and options.growth is None and options.scheme not in ("channel", "pattern")
    name = RIGL if classifier_alone and grows else TDM
    return dataclasses.replace(options, mask_policy=name)


def growth_of(options: Options) -> str:
    """Return the way in which growing weights are chosen: the user's, or else the policy's."""
    return options.growth or policy_of(options).growth


def first_of(options: Options) -> str:
    """The weights that the first masks keep: all, or some by magnitude or at random."""
    return ALL if policy_of(options).starts_dense else options.first_mask


def passes_through(options: Options) -> bool:
    """Whether pruned weights are trained by the gradients that they would have if they were kept."""
    return options.sparsity > 0.0 and policy_of(options).straight_through


def grows_by_gradient(options: Options) -> bool:
    """Whether gradients of pruned weights say which of them grow, those of one step or of many."""
    return options.sparsity > 0.0 and growth_of(options) in (GRADIENT, MOMENTUM)


def smooths(options: Options) -> bool:
    """Whether every step measures gradients, which are smoothed over the steps."""
    return options.sparsity > 0.0 and growth_of(options) == MOMENTUM


def updates_measure(options: Options) -> bool:
    """Whether mask updates measure gradients that they read."""
    policy = policy_of(options)
    by_gradient = growth_of(options) == GRADIENT or policy.name == TDM or policy.alpha > 0.0 or policy.scores_first
    return options.sparsity > 0.0 and by_gradient


def work_moves(options: Options) -> bool:
    """Whether the FLOPs of a sample change in a run, or gradients of pruned weights are measured."""
    return grows_by_gradient(options) or policy_of(options).changes_density


def measures(options: Options) -> bool:
    """Whether a run measures gradients, for mask updates or for gradient masks."""
    return updates_measure(options) or smooths(options) or options.masks_gradients
