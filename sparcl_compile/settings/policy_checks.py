"""Mask policies, growths and first masks that do not fit the other options."""

from collections.abc import Sequence

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.options import AUTO, Options
from sparcl_compile.interface.ranges import check_choice
from sparcl_compile.passes.schemes.names import n_of_m
from sparcl_compile.settings.policies import (
    FIRST_MASKS,
    GRADIENT,
    GROWTHS,
    MEST_EM,
    MOMENTUM,
    NONE,
    POLICIES,
    RANDOM,
    RIGL,
    SET,
    STATIC,
    TDM,
    growth_of,
    policy_of,
)


def check_policy(options: Options) -> None:
    """Raise FieldError for a policy, a growth or a first mask that does not fit the other options."""
    check_choice("mask_policy", options.mask_policy, (AUTO, *POLICIES))
    check_choice("first_mask", options.first_mask, FIRST_MASKS)
    if options.growth is not None:
        check_choice("growth", options.growth, GROWTHS)
    for field, value, applies, problem, mend in _refused(options):
        if applies:
            raise FieldError(field, value, problem, mend)


def _refused(options: Options) -> Sequence[tuple[str, str, bool, str, str]]:
    """Combinations that mean nothing: field, value, whether it is here, the problem and the mend."""
    scheme, policy = options.scheme, policy_of(options)
    name = policy.name
    channel, dense, ratio = scheme == "channel", policy.starts_dense, n_of_m(scheme) is not None
    through = policy.straight_through
    gradient, random = growth_of(options) in (GRADIENT, MOMENTUM), options.first_mask == RANDOM
    momentum = growth_of(options) == MOMENTUM
    grows_more = any(one.grow_to.of_kept > 1.0 for one in policy.exchanges)
    growth = "growth" if options.growth else "mask_policy"
    grown_by = options.growth or name
    return (
        ("mask_policy", name, name != TDM and options.sparsity == 0.0, "needs masks", "give a `sparsity` above 0"),
        ("growth", str(options.growth), options.growth is not None and options.sparsity == 0.0, "needs masks",
         "give a `sparsity` above 0"),
        ("first_mask", RANDOM, random and options.sparsity == 0.0, "needs masks", "give a `sparsity` above 0"),
        ("growth", str(options.growth), options.growth is not None and policy.growth == NONE,
         f"`mask_policy` {name} grows nothing", "leave it out"),
        ("first_mask", RANDOM, random and dense, f"`mask_policy` {name} begins with all weights", "leave it out"),
        ("mask_policy", name, channel and name not in (TDM, STATIC), "is for weights, `scheme` channel moves channels",
         f"give {TDM} or {STATIC}, or another `scheme`"),
        ("growth", MOMENTUM, momentum and (name == TDM or policy.alpha > 0.0),
         f"is for policies that drop by magnitude, `mask_policy` {name} drops by gradients too",
         f"give {SET} or {RIGL}"),
        ("growth", MOMENTUM, momentum and options.masks_gradients,
         "smooths the gradients that gradient masks would choose by", "give `gradient_sparsity` 0"),
        ("growth", growth_of(options), channel and gradient, "is for weights, channels grow with random ones",
         "leave it out"),
        ("first_mask", RANDOM, channel and random, "is for weights, `scheme` channel keeps the largest channels",
         "leave it out"),
        ("mask_policy", name, dense and options.compress,
         "begins with all weights, and `compress` would keep room for them", "leave one of the two out"),
        ("mask_policy", name, through and not ratio, "is for schemes N:M", "give a `scheme` such as 2:4"),
        ("mask_policy", name, through and (options.optimizer != "sgd" or options.momentum > 0.0),
         "is for plain sgd, as its decay of pruned weights is", "leave `momentum` and `optimizer` out"),
        ("mask_policy", name, through and options.masks_gradients,
         "trains all weights", "give `gradient_sparsity` 0"),
        ("mask_policy", name, dense and not through and (ratio or scheme == "pattern"),
         f"prunes single weights or whole groups, not to `scheme` {scheme}",
         "give unstructured, block4x1 or kernel as the `scheme`"),
        ("mask_policy", name, grows_more and ratio, f"adds weights, and `scheme` {scheme} has no room for more",
         f"give {MEST_EM}"),
        (growth, grown_by, gradient and scheme == "pattern",
         "chooses single weights or whole groups, not one of eight patterns", f"give `growth` {RANDOM}"),
    )  # fmt: skip
