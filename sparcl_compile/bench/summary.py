"""The table of a grid, as Markdown."""

import statistics
from collections.abc import Callable, Sequence

from sparcl_compile.bench.bench import Line
from sparcl_compile.bench.rates import mean
from sparcl_compile.bench.results import Outcome, Result

FLOPS = "true_sparse"
"""Of the two conventions the one that counts all that is computed (docs/flops.md)."""

ABOUT = "After the last task, on the test set: mean ± standard deviation over the seeds, and every seed."
ABOUT_RATES = "Class-IL % on held-out training samples, by which the rates were chosen: mean, and every seed."


def summary(lines: Sequence[Line]) -> str:
    """The table, and below it the one of the trials where there were any."""
    parts = [
        f"# Accuracies\n\n{ABOUT}{_to_come(lines)}\n",
        _table(("row", "model", "data", *COLUMNS), [_cells(line) for line in lines]),
    ]
    tried = [line for line in lines if line.trials]
    if tried:
        parts += [
            f"# Learning rates\n\n{ABOUT_RATES}\n",
            _table(("row", "model", "data", "taken", "by rate: mean (seeds)"), [_tried(line) for line in tried]),
        ]
    return "\n".join(parts)


def _to_come(lines: Sequence[Line]) -> str:
    """The sentence that counts the runs that have not ended; empty where all have."""
    runs = [run for line in lines for run in line.runs]
    waiting = sum(not run.ended for run in runs)
    return f" {waiting} of {len(runs)} runs are to come, each a dash." if waiting else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def _cells(line: Line) -> list[str]:
    return [line.cell.row, line.cell.model, line.cell.data, *(column(line) for column in COLUMNS.values())]


def results(line: Line) -> list[Result]:
    """The results of the runs that have not failed."""
    return [run.result for run in line.runs if run.result is not None]


def spread(values: Sequence[float | None], form: str = ".1f") -> str:
    """Mean and standard deviation of several values, of one the value; a dash where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    deviation = f" ± {statistics.pstdev(known):{form}}" if len(known) > 1 else ""
    return f"{statistics.mean(known):{form}}{deviation}"


def _rate(line: Line) -> str:
    """The rate that was given or chosen, else the artifact's own."""
    own = {one.config.learning_rate for one in results(line)} if line.rate is None else {line.rate}
    return ", ".join(f"{rate:g}" for rate in sorted(own)) or "-"


def _seeds(line: Line) -> str:
    return ", ".join(_accuracy(run) for run in line.runs)


def _accuracy(run: Outcome) -> str:
    if run.result is not None:
        return f"{run.result.class_il:.1f}"
    return "failed" if run.failure else "-"


COLUMNS: dict[str, Callable[[Line], str]] = {
    "learning rate": _rate,
    "class-IL %": lambda line: spread([one.class_il for one in results(line)]),
    "by seed": _seeds,
    "task-IL %": lambda line: spread([one.task_il for one in results(line)]),
    "forgetting": lambda line: spread([one.forgetting for one in results(line)]),
    "training GFLOPs (true)": lambda line: spread([one.training_flops[FLOPS] / 1e9 for one in results(line)], ".4g"),
}


def _tried(line: Line) -> list[str]:
    by_rate = "; ".join(f"{rate:g}: {_trials(several)}" for rate, several in line.trials.items())
    return [line.cell.row, line.cell.model, line.cell.data, _rate(line), by_rate]


def _trials(several: Sequence[Outcome]) -> str:
    found = mean(several)
    each = ", ".join(_accuracy(one) for one in several)
    return f"{'-' if found is None else f'{found:.1f}'} ({each})"
