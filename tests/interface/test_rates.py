"""The learning rate of a run that names none."""

from typing import get_args

import pytest

from sparcl_compile.interface.specs import OptimizerSpec
from sparcl_compile.passes.analysis.normalised import HiddenLayers
from sparcl_compile.settings.options import FEW_EPOCHS, LEARNING_RATES, CompileOptions, Rates, learning_rates


@pytest.mark.parametrize(("epochs", "rate"), [(1, 0.5), (5, 0.5), (6, 0.3), (50, 0.3)])
def test_few_epochs_have_a_rate_of_their_own(epochs: int, rate: float) -> None:
    assert OptimizerSpec("sgd", 0.3, 0.5, 5).rate_for(epochs) == rate


def test_every_optimizer_has_rates_and_few_epochs_never_a_smaller_one() -> None:
    kinds = get_args(HiddenLayers)
    assert set(LEARNING_RATES) == {(name, kind) for name in ("sgd", "adamw") for kind in kinds}
    assert all(rates.few >= rates.many > 0 for rates in LEARNING_RATES.values())
    assert FEW_EPOCHS >= 3


@pytest.mark.parametrize(("momentum", "many", "few"), [(0.0, 0.1, 0.15), (0.5, 0.05, 0.075), (0.9, 0.01, 0.015)])
def test_momentum_takes_back_what_it_adds_up(momentum: float, many: float, few: float) -> None:
    assert learning_rates(CompileOptions(momentum=momentum), "other") == Rates(many, few)


def test_an_optimizer_with_moments_of_its_own_keeps_its_rate() -> None:
    assert learning_rates(CompileOptions(optimizer="adamw"), "gated") == LEARNING_RATES["adamw", "gated"]
