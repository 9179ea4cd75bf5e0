"""Counts and times of the mask policies by the formulas of their papers, and combinations that mean nothing."""

import math
from typing import Any

import pytest
import torch

from sparcl_compile.interface.errors import FieldError
from sparcl_compile.plan.layers import kept_at, layers_for
from sparcl_compile.plan.plan import recipe_of
from sparcl_compile.plan.schedule import policy_levels, policy_updates
from sparcl_compile.settings.options import CompileOptions
from sparcl_compile.settings.policies import (
    POLICIES,
    growth_of,
    measures,
    policy_of,
    rigl_share,
    settled,
    updates_measure,
)

SIZE = 1000
Counts = list[tuple[float, str, int, int]]


def schedule(policy: str, shape: tuple[int, ...] = (SIZE,), axes: str = "", **options: Any) -> Counts:
    """At which fraction of which tasks one layer keeps how many weights, and then how many."""
    chosen = CompileOptions(**{"sparsity": 0.8, **options}, mask_policy=policy)
    layers = layers_for({"w": shape}, chosen, recipe_of(chosen), {"w": axes})
    counts = {name: kept_at(layers, level)[0] for level, name in policy_levels(POLICIES[policy]).items()}
    updates = policy_updates(POLICIES[policy])
    return [(one.at, one.tasks, counts[one.remove_to], counts[one.grow_to]) for one in updates]


def test_set_exchanges_three_tenths_at_every_tenth() -> None:
    assert schedule("set") == [(i / 10, "all", 140, 200) for i in range(1, 10)]


def test_rigl_exchanges_a_share_that_falls_with_a_cosine_until_three_quarters() -> None:
    found = schedule("rigl")
    wanted = [200 * (1 - 0.15 * (1 + math.cos(math.pi * i / 7.5))) for i in range(1, 8)]
    assert [one[0] for one in found] == [i / 10 for i in range(1, 8)]
    assert [one[2] for one in found] == [math.floor(x + 0.5) for x in wanted] == [143, 150, 161, 173, 185, 194, 199]
    assert {one[3] for one in found} == {200}
    assert (rigl_share(0.0), rigl_share(0.75)) == (0.3, 0.0)


def test_gradual_prunes_by_the_cubic_schedule_in_the_first_task() -> None:
    found = schedule("gradual", (999,))
    wanted = [999 * (1 - 0.8 + 0.8 * (1 - i / 8) ** 3) for i in range(1, 9)]
    assert [one[2] for one in found] == [math.floor(x + 0.5) for x in wanted]
    assert [one[2] for one in found] == [735, 537, 395, 300, 242, 212, 201, 200]
    assert all(one[1] == "first" and one[2] == one[3] for one in found)


def test_granet_prunes_with_an_exchange_and_goes_on_exchanging() -> None:
    """By the formulas of the authors' scripts: 110 of 160 epochs, and PyTorch's cosine from 0.5 to 0.005."""
    stepped = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(stepped, 1000, eta_min=0.005)
    shares = []
    for _ in range(1000):
        stepped.step()
        cosine.step()
        shares.append(stepped.param_groups[0]["lr"])
    found = schedule("granet", (999,))
    assert [(one[0], one[1]) for one in found[:4]] == [(0.1, "first"), (0.1, "later"), (0.2, "first"), (0.2, "later")]
    assert [(one[0], one[1]) for one in found[12:]] == [(0.7, "all"), (0.8, "all"), (0.9, "all")]
    for at, tasks, left, reached in found:
        kept = 999 * (0.2 + 0.8 * (1 - at * 160 / 110) ** 3 if tasks == "first" else 0.2)
        assert (left, reached) == (round(kept * (1 - shares[round(at * 1000) - 1])), round(kept))


def test_mest_em_drops_a_fifth_then_a_tenth() -> None:
    assert schedule("mest-em") == [(i / 10, "all", 160 if i < 6 else 180, 200) for i in range(1, 8)]


def test_mest_em_s_adds_half_then_a_quarter_and_ends_at_the_density() -> None:
    wanted = [(i / 10, "all", 200, 300 if i < 6 else 250) for i in range(1, 8)]
    assert schedule("mest-em-s") == [*wanted, (0.8, "all", 200, 200)]


@pytest.mark.parametrize("policy", ["static", "snip"])
def test_masks_that_stay_have_no_events(policy: str) -> None:
    assert schedule(policy) == []


def test_ac_dc_alternates_and_ends_with_the_largest() -> None:
    found = schedule("ac-dc")
    assert [one[0] for one in found] == [0.0, *(i / 20 for i in range(2, 16)), 0.85]
    assert [(one[1], one[2]) for one in found[:3]] == [("later", SIZE), ("all", 200), ("all", SIZE)]
    assert [one[2] for one in found] == [SIZE, *([200, SIZE] * 7), 200]
    assert all(one[2] == one[3] for one in found)


@pytest.mark.parametrize("policy", sorted(POLICIES.keys() - {"sr-ste"}))
def test_every_policy_ends_at_the_density(policy: str) -> None:
    found = schedule(policy)
    assert not found or found[-1][3] == 200


def test_a_nearly_dense_layer_cannot_grow_beyond_all() -> None:
    assert max(one[3] for one in schedule("mest-em-s", sparsity=0.1)) == SIZE


def test_layers_say_the_lowest_and_the_highest_level() -> None:
    options = CompileOptions(sparsity=0.8, mask_policy="mest-em-s")
    (layer,) = layers_for({"w": (SIZE,)}, options, recipe_of(options))
    assert (layer.base, layer.shrunk, layer.grown, layer.places) == (200, 200, 300, 300)
    options = CompileOptions(sparsity=0.8, mask_policy="rigl")
    (layer,) = layers_for({"w": (SIZE,)}, options, recipe_of(options))
    assert (layer.base, layer.shrunk, layer.grown) == (200, 143, 200)


def test_n_of_m_exchanges_shares_of_what_it_keeps() -> None:
    found = schedule("set", (8, 16), "oi", scheme="2:4", sparsity=0.5)
    assert {(one[2], one[3]) for one in found} == {(64 - math.floor(0.15 * 128 + 0.5), 64)}


def test_what_measures() -> None:
    others = POLICIES.keys() - {"sr-ste"}
    reading = {name for name in others if updates_measure(CompileOptions(mask_policy=name))}
    assert reading == {"tdm", "rigl", "snip", "granet", "mest-em", "mest-em-s"}
    assert updates_measure(CompileOptions(mask_policy="set", growth="gradient"))
    assert not updates_measure(CompileOptions(mask_policy="rigl", growth="random"))
    ste = CompileOptions(mask_policy="sr-ste", scheme="2:4", sparsity=0.5, gradient_sparsity=0.0)
    assert not measures(ste)
    momentum = CompileOptions(mask_policy="set", growth="momentum")
    assert measures(momentum)
    assert not updates_measure(momentum)
    assert measures(CompileOptions(mask_policy="static", gradient_sparsity=0.9))
    assert not measures(CompileOptions(mask_policy="static"))
    assert growth_of(CompileOptions(mask_policy="rigl")) == "gradient"


FITTING: list[dict[str, Any]] = [
    {"mask_policy": "static", "scheme": "channel", "sparsity": 0.5},
    {"mask_policy": "static", "compress": True, "first_mask": "random"},
    {"mask_policy": "set", "compress": True},
    {"mask_policy": "rigl", "compress": True},
    {"mask_policy": "set", "compress": True, "growth": "momentum", "gradient_sparsity": 0.0},
    {"growth": "gradient", "compress": True},
    {"mask_policy": "rigl", "scheme": "2:4", "sparsity": 0.5},
    {"mask_policy": "rigl", "scheme": "pattern", "growth": "random"},
    {"mask_policy": "snip", "scheme": "kernel"},
    {"mask_policy": "gradual", "scheme": "block4x1"},
    {"mask_policy": "granet", "scheme": "block4x1"},
    {"mask_policy": "granet", "growth": "random"},
    {"mask_policy": "mest-em", "scheme": "2:4", "sparsity": 0.5},
    {"mask_policy": "mest-em-s", "compress": True},
    {"growth": "gradient"},
]


@pytest.mark.parametrize("options", FITTING, ids=str)
def test_what_fits_is_taken(options: dict[str, Any]) -> None:
    CompileOptions(**options)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"mask_policy": "lottery"}, "`mask_policy` lottery"),
    ({"growth": "momentum"}, "`growth` momentum"),
    ({"first_mask": "erk"}, "`first_mask` erk"),
    ({"mask_policy": "set", "sparsity": 0.0}, "`mask_policy` set.*`sparsity` above 0"),
    ({"growth": "gradient", "sparsity": 0.0}, "`growth` gradient.*`sparsity` above 0"),
    ({"first_mask": "random", "sparsity": 0.0}, "`first_mask` random.*`sparsity` above 0"),
    ({"mask_policy": "static", "growth": "random"}, "`growth` random.*static grows nothing"),
    ({"mask_policy": "snip", "growth": "gradient"}, "`growth` gradient.*snip grows nothing"),
    ({"mask_policy": "gradual", "first_mask": "random"}, "`first_mask` random.*begins with all weights"),
    ({"mask_policy": "rigl", "scheme": "channel", "sparsity": 0.5}, "`mask_policy` rigl.*channel"),
    ({"scheme": "channel", "sparsity": 0.5, "growth": "gradient"}, "`growth` gradient.*channel"),
    ({"scheme": "channel", "sparsity": 0.5, "first_mask": "random"}, "`first_mask` random.*channel"),
    ({"mask_policy": "gradual", "compress": True}, "`mask_policy` gradual.*`compress` would keep room"),
    ({"mask_policy": "granet", "compress": True}, "`mask_policy` granet.*`compress` would keep room"),
    ({"mask_policy": "granet", "first_mask": "random"}, "`first_mask` random.*begins with all weights"),
    ({"mask_policy": "granet", "scheme": "2:4", "sparsity": 0.5}, "`mask_policy` granet.*2:4.*kernel"),
    ({"mask_policy": "snip", "compress": True}, "`mask_policy` snip.*`compress` would keep room"),
    ({"mask_policy": "snip", "scheme": "2:4", "sparsity": 0.5}, "`mask_policy` snip.*2:4.*kernel"),
    ({"mask_policy": "gradual", "scheme": "pattern"}, "`mask_policy` gradual.*pattern"),
    ({"mask_policy": "mest-em-s", "scheme": "2:4", "sparsity": 0.5}, "`mask_policy` mest-em-s.*no room.*mest-em"),
    ({"mask_policy": "rigl", "scheme": "pattern"}, "`mask_policy` rigl.*eight patterns.*`growth` random"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_what_means_nothing_is_refused_in_one_line_with_a_mend(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FieldError, match=message) as error:
        CompileOptions(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "alone", "policy"),
    [
        ({}, True, "rigl"),
        ({}, False, "tdm"),
        ({"scheme": "2:4", "sparsity": 0.5}, True, "rigl"),
        ({"scheme": "pattern"}, True, "tdm"),
        ({"scheme": "channel"}, True, "tdm"),
        ({"growth": "random"}, True, "tdm"),
        ({"sparsity": 0.0}, True, "tdm"),
        ({"mask_policy": "tdm"}, True, "tdm"),
        ({"mask_policy": "static"}, True, "static"),
        ({"mask_policy": "set"}, False, "set"),
    ],
)
def test_the_model_settles_a_policy_that_the_user_left_open(options: dict[str, Any], alone: bool, policy: str) -> None:
    found = settled(CompileOptions(**options), classifier_alone=alone)
    assert (found.mask_policy, policy_of(found).name) == (policy, policy)
    assert settled(found, classifier_alone=not alone) == found


def test_no_model_yet_means_masks_of_sparcl() -> None:
    assert policy_of(CompileOptions()).name == "tdm"
