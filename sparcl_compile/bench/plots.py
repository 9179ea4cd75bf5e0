"""The plots of a grid; matplotlib is an extra."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparcl_compile.bench.bench import Line
from sparcl_compile.bench.results import Outcome, Result
from sparcl_compile.bench.summary import FLOPS, results
from sparcl_compile.interface.errors import FieldError
from sparcl_compile.interface.files import write_atomically

Draw = Callable[[Any, Sequence[Line]], None]
MARKERS = "os^Dv"


def check_installed() -> None:
    """Raise FieldError where matplotlib is missing, before any work."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        mend = "pip install 'sparcl-compile[plots]', or leave `plots` out"
        raise FieldError("plots", None, "matplotlib is not installed", mend) from error


def draw(lines: Sequence[Line], folder: Path) -> list[Path]:
    """Write the plots of the lines that have a result, and return their files.

    Raises:
        WriteError: a file cannot be written.
    """
    from matplotlib.figure import Figure

    shown, files = [line for line in lines if results(line)], []
    for name, draw_one in PLOTS.items():
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.add_subplot()
        axes.set_prop_cycle(**styles())
        draw_one(axes, shown)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        files.append(folder / f"{name}.png")
        write_atomically(files[-1], functools.partial(figure.savefig, dpi=120, format="png"))
    return files


def styles() -> Mapping[str, Sequence[Any]]:
    """Colours and markers of the lines, of which no two among fifty are alike."""
    from matplotlib import colormaps

    colours = colormaps["tab10"]
    pairs = [(colours(number), marker) for marker in MARKERS for number in range(colours.N)]
    return {"color": [colour for colour, _ in pairs], "marker": [marker for _, marker in pairs]}


def label(line: Line, lines: Sequence[Line]) -> str:
    """The name of a line in a legend: its row, with what tells it from other lines of the row."""
    cells = [one.cell for one in lines]
    if len({cell.row for cell in cells}) == len(cells):
        return line.cell.row
    several_models, several_data = len({cell.model for cell in cells}) > 1, len({cell.data for cell in cells}) > 1
    told = [line.cell.model] * several_models + [line.cell.data] * several_data
    return f"{line.cell.row} ({', '.join(told)})"


def _against(axes: Any, lines: Sequence[Line], name: str, cost: Callable[[Result], float]) -> None:
    for line in lines:
        found = results(line)
        values = [one.class_il for one in found]
        at = np.mean([cost(one) for one in found])
        axes.errorbar(at, np.mean(values), np.std(values), capsize=3, linestyle="none", label=label(line, lines))
    axes.set(xlabel=name, ylabel="class-incremental accuracy, %", xlim=(0, None))


def _flops(axes: Any, lines: Sequence[Line]) -> None:
    """Accuracy against the true training FLOPs."""
    from matplotlib.ticker import EngFormatter

    _against(axes, lines, "training FLOPs (true count)", lambda one: one.training_flops[FLOPS])
    axes.xaxis.set_major_formatter(EngFormatter())


def _seconds(axes: Any, lines: Sequence[Line]) -> None:
    """Accuracy against the seconds of training."""
    _against(axes, lines, "seconds of training", lambda one: one.training_seconds)


def _tasks(axes: Any, lines: Sequence[Line]) -> None:
    """The mean accuracy on the tasks so far, after each task; the mean over seeds."""
    for line in lines:
        curves = [seen_means(one) for one in results(line)]
        axes.plot(range(1, len(curves[0]) + 1), np.mean(curves, axis=0), label=label(line, lines))
    axes.set(xlabel="after task", ylabel="class-incremental accuracy on the tasks so far, %")
    axes.xaxis.get_major_locator().set_params(integer=True)


def seen_means(one: Result) -> list[float]:
    """After each task the mean accuracy on it and those before it."""
    rows = enumerate(one.accuracy_matrix, start=1)
    return [float(np.mean([value for value in row[:seen] if value is not None])) for seen, row in rows]


def _sparsity(axes: Any, lines: Sequence[Line]) -> None:
    """The share of zeros of each masked layer at the end."""
    _by_layer(axes, lines, "sparsity", lambda run: run.result.sparsity.per_layer if run.result else {})


def _churn(axes: Any, lines: Sequence[Line]) -> None:
    """The share of each masked layer's weights kept at the end that were not kept at first."""
    _by_layer(axes, lines, "share of kept weights that were not kept at first", lambda run: run.churn)


def _by_layer(axes: Any, lines: Sequence[Line], name: str, of: Callable[[Outcome], Mapping[str, float]]) -> None:
    """Numbers of the masked layers from the first to the last; the mean over seeds."""
    for line in lines:
        each = [list(of(run).values()) for run in line.runs if run.result is not None]
        if each[0]:
            axes.plot(range(1, len(each[0]) + 1), np.mean(each, axis=0), label=label(line, lines))
    axes.set(xlabel="masked layer", ylabel=name, ylim=(0, 1))
    axes.xaxis.get_major_locator().set_params(integer=True)


PLOTS: dict[str, Draw] = {"flops": _flops, "seconds": _seconds, "tasks": _tasks, "sparsity": _sparsity, "churn": _churn}
"""The function that draws each file."""
