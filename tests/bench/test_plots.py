"""What the plots of a grid look like: names, colours and scales that can be told apart."""

import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from sparcl_compile.bench import plots
from sparcl_compile.bench.bench import Line
from sparcl_compile.bench.grid import Cell
from sparcl_compile.bench.results import Config, Outcome, Result, Sparsity


def line(row: str, model: str = "cnn", data: str = "digits", flops: float = 1e9) -> Line:
    costs = {"true_sparse": flops}
    result = Result(50.0, 90.0, 1.0, ((50.0, None), (50.0, 50.0)), costs, 2.0, Sparsity(0.5, {"w": 0.5}), Config(0.1))
    return Line(Cell(row, model, data, {}, {}, ()), {}, 0.1, (Outcome("", None, result, {"w": 0.1}),))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([line("dense"), line("sparse")], ["dense", "sparse"]),
        ([line("dense", "wide"), line("narrow", "small")], ["dense", "narrow"]),
        ([line("a", data="x"), line("a", data="y")], ["a (x)", "a (y)"]),
        ([line("a", "m"), line("a", "n"), line("b", "n")], ["a (m)", "a (n)", "b (n)"]),
        ([line("a", "m", "x"), line("a", "n", "y")], ["a (m, x)", "a (n, y)"]),
    ],
)
def test_a_legend_tells_what_differs(lines: list[Line], told: list[str]) -> None:
    assert [plots.label(one, lines) for one in lines] == told


@pytest.mark.parametrize("plot", ["flops", "tasks", "churn"])
def test_no_two_of_fifty_rows_look_alike(plot: str) -> None:
    axes = Figure().add_subplot()
    axes.set_prop_cycle(**plots.styles())
    plots.PLOTS[plot](axes, [line(f"row {number}") for number in range(50)])
    drawn = [one.lines[0] for one in axes.containers if isinstance(one, ErrorbarContainer)] or axes.lines
    assert len({(one.get_color(), one.get_marker()) for one in drawn}) == 50


def test_the_numbers_of_large_costs_are_short() -> None:
    figure = Figure()
    axes = figure.add_subplot()
    plots.PLOTS["flops"](axes, [line("sparse", flops=5.7e13), line("dense", flops=2.1e14)])
    figure.draw_without_rendering()
    told = [tick.get_text() for tick in axes.get_xticklabels()]
    assert told[0] == "0"
    assert all(text.endswith(" T") and len(text) <= 5 for text in told[1:])
