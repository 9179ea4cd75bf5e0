"""The choice of learning rates from the outcomes of trials."""

import pytest

from sparcl_compile.bench.grid import Cell
from sparcl_compile.bench.rates import Choice, choices
from sparcl_compile.bench.results import Config, Outcome, Result, Sparsity


def cell(row: str, model: str, data: str, *rates: float, of: str = "") -> Cell:
    return Cell(row, model, data, {}, {}, rates, of)


def ended(class_il: float) -> Outcome:
    return Outcome("", None, Result(class_il, 0.0, None, ((class_il,),), {}, 0.0, Sparsity(0.0, {}), Config(0.0)))


FAILED = Outcome("", "the loss is nan", None)


def test_every_data_set_and_model_has_its_own_choice() -> None:
    cells = [cell("dense", model, data, 0.1, 0.3) for model in ("wide", "narrow") for data in ("a", "b")]
    cells += [cell("sparse", model, data, of="dense") for model in ("narrow", "wide") for data in ("b", "a")]
    bests = [0.1, 0.3, 0.3, 0.1]
    trials = [{rate: [ended(50.0 + (rate == best))] for rate in (0.1, 0.3)} for best in bests] + [{}] * 4
    assert [choice.rate for choice in choices(cells, trials)] == [*bests, 0.1, 0.3, 0.3, 0.1]


def test_a_row_of_one_model_gives_its_rate_to_another() -> None:
    cells = [
        cell("narrow", "narrow", "b", of="dense"),
        cell("dense", "wide", "a", 0.1),
        cell("dense", "wide", "b", 0.2),
    ]
    assert [choice.rate for choice in choices(cells, [{}] * 3)] == [0.2, 0.1, 0.2]


@pytest.mark.parametrize(
    ("trials", "rate"),
    [
        ({0.1: [ended(50.0)], 0.3: [ended(60.0)]}, 0.3),
        ({0.1: [ended(60.0)], 0.3: [ended(60.0)]}, 0.1),
        ({0.1: [ended(10.0), ended(20.0)], 0.3: [ended(90.0), FAILED]}, 0.1),
        ({0.1: [ended(50.0), ended(50.0)], 0.3: [ended(90.0), ended(0.0)]}, 0.1),
    ],
)
def test_the_best_mean_of_equals_the_smallest_and_none_that_failed(
    trials: dict[float, list[Outcome]], rate: float
) -> None:
    assert choices([cell("dense", "wide", "a", 0.3, 0.1)], [trials]) == [Choice(rate)]


def test_where_every_rate_failed_there_is_none_for_this_data_set_alone() -> None:
    cells = [cell("dense", "wide", data, 0.1, 0.3) for data in ("a", "b")]
    cells += [cell("sparse", "wide", data, of="dense") for data in ("a", "b")]
    trials = [{0.1: [FAILED], 0.3: [FAILED]}, {0.1: [ended(1.0)], 0.3: [FAILED]}, {}, {}]
    none = Choice(None, "a trial failed under every learning rate of row dense (the loss is nan); add smaller ones")
    assert choices(cells, trials) == [none, Choice(0.1), none, Choice(0.1)]


def test_without_rates_it_is_the_artifact_s_own() -> None:
    assert choices([cell("dense", "wide", "a")], [{}]) == [Choice(None)]
