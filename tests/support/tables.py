"""The numbers of pages and of the runs that lie beside them."""

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev, stdev
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?")
Runs = Sequence[Mapping[str, Any]]
"""The results of one line of a grid, by seed."""
Grid = Mapping[tuple[str, float | None], Runs]
"""Those of each line, by its row and its learning rate."""


def agrees(cell: str, values: Sequence[float]) -> bool:
    """Whether a cell has these numbers in this order, each rounded to as many places as it shows."""
    shown = [text.replace(",", "") for text in NUMBER.findall(cell)]
    errors = [0.5 * 10.0 ** -len(text.partition(".")[2]) + 1e-9 for text in shown]
    near = (abs(float(text) - value) <= error for text, value, error in zip(shown, values, errors, strict=False))
    return len(shown) == len(values) and all(near)


def table(page: str, behind: str) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the first table behind a text of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = re.findall(r"(?:^ *\|.*\n)+", text[text.index(behind) :], re.MULTILINE)[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines)
    return head, rows


@functools.cache
def grid(folder: str) -> Grid:
    """The runs of a folder, without the trials."""
    paths = (ROOT / "benchmarks" / "results" / folder).rglob("*.json")
    outcomes = [json.loads(path.read_bytes()) for path in paths]
    if folder == "split_digits_table":
        return {(name, None): runs for outcome in outcomes for name, runs in named_as_in_the_table(outcome)}
    found: dict[tuple[str, float | None], list[Mapping[str, Any]]] = {}
    for one in sorted(outcomes, key=lambda one: one["seed"]):
        if not one["trial"]:
            row = one["row"].removeprefix("defaults, method ")
            found.setdefault((row, one["learning_rate"]), []).append(one["result"])
    return found


def named_as_in_the_table(outcome: Mapping[str, Runs]) -> list[tuple[str, Runs]]:
    """The runs of ``benchmarks/split_digits.py``: replay, epochs and weights name a row."""
    names = [name.partition(", ")[2].replace("fewer channels", "narrow") for name in outcome]
    first = [runs[0] for runs in outcome.values()]
    keys = [f"{run['options']['replay_batches']} {run['config']['epochs']}" for run in first]
    full = [f"{key} {name.removesuffix(', fewer epochs')}" for key, name in zip(keys, names, strict=True)]
    return list(zip(full, outcome.values(), strict=True))


def of(field: str, runs: Runs) -> list[float]:
    return [run[field] for run in runs]


def spread(field: str, runs: Runs) -> list[float]:
    """Mean and deviation; one run has none."""
    return [fmean(of(field, runs)), pstdev(of(field, runs))][: len(runs)]


def with_seeds(runs: Runs) -> list[float]:
    return [fmean(of("class_il", runs)), *of("class_il", runs)]


def work(runs: Runs) -> float:
    """GFLOPs."""
    return fmean(run["training_flops"]["true_sparse"] for run in runs) / 1e9


def ahead(some: Sequence[Runs], others: Sequence[Runs]) -> list[float]:
    """By how much, mean and standard error over the pairs."""
    each = [with_seeds(one)[0] - with_seeds(other)[0] for one, other in zip(some, others, strict=True)]
    return [fmean(each), stdev(each) / len(each) ** 0.5]
