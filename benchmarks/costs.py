"""Fit the rates of passes/lowering/choice/costs.py to this machine: times of random layers, dense and sparse.

    python -m benchmarks.costs [--seconds 900] [--data build/bench/costs.jsonl]

Measures layers until the time is over, adds them to the data, and prints the rates that fit all data best, as they
stand in the table, with the error of the fit. Everything runs on one thread.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.fitting import as_table, fitted, lines_of, measure_until
from sparcl_compile.costs.kernel_times import measure
from sparcl_compile.passes.lowering.choice.costs import COUNTS, DENSE, SPARSE, Times, kind_of
from sparcl_compile.passes.lowering.choice.work import CONV, PRODUCT, Work

BATCHES = (16, 16, 32, 32, 32, 64, 128)
"""Batch sizes that fill vector registers."""
KERNELS = (1, 1, 3, 3, 3, 3, 5, 7)
PLANES = (1, 2, 4, 7, 8, 8, 14, 16, 16, 28, 32, 32, 56)
TOKENS = (1, 1, 1, 16, 64, 196)
DENSITIES = (0.01, 0.05, 0.1, 0.1, 0.2, 0.3, 0.5)
UPDATED = (1.0, 1.0, 0.2)
MOST_PRODUCTS, MOST_ELEMENTS = 2.5e9, 2e7
"""Limits for a batch: larger layers take seconds."""

FORMS = {
    form: list(dict.fromkeys(name for rates in table.values() for name in rates))
    for form, table in (("dense", DENSE), ("sparse", SPARSE))
}
"""The counted quantities, by form."""

EACH = 0.5
"""Seconds for one layer."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One line of the data."""

    work: Work
    batch: int
    times: Times


def random_layers() -> Iterator[tuple[Work, int]]:
    """Layers and batches of all sizes, without end."""
    rng = np.random.default_rng()
    while True:
        make = random_convolution if rng.random() < 0.7 else random_product
        work, batch = make(rng), int(rng.choice(BATCHES))
        products = batch * work.pixels * work.weights
        if min(work.out) > 0 and products < MOST_PRODUCTS and batch * (work.inputs + work.outputs) < MOST_ELEMENTS:
            yield work, batch


def random_convolution(rng: np.random.Generator) -> Work:
    """A square convolution over square planes."""
    kernel, size, stride = (int(rng.choice(some)) for some in (KERNELS, PLANES, (1, 1, 1, 2)))
    outputs, channels = _width(rng, 4, 512), _width(rng, 4, 512)
    out = (size + 2 * (kernel // 2) - kernel) // stride + 1
    made = Work(
        CONV,
        (outputs, channels, kernel, kernel),
        (size, size),
        (out, out),
        (stride, stride),
        (kernel // 2,) * 4,
        (1, 1),
        1,
        1,
        True,
    )
    return _masked(rng, made)


def random_product(rng: np.random.Generator) -> Work:
    """A product over vectors or tokens."""
    tokens = int(rng.choice(TOKENS))
    shape = (_width(rng, 16, 2048), _width(rng, 16, 2048), 1, 1)
    return _masked(rng, Work(PRODUCT, shape, (1, tokens), (1, tokens), (1, 1), (0,) * 4, (1, 1), 1, 1, True))


def _width(rng: np.random.Generator, least: int, most: int) -> int:
    width = round(math.exp(rng.uniform(math.log(least), math.log(most))))
    return max(16, width // 16 * 16) if rng.random() < 0.5 else width


def _masked(rng: np.random.Generator, work: Work) -> Work:
    places = max(1, round(work.weights * rng.choice(DENSITIES)))
    return dataclasses.replace(work, places=places, updated=max(1, round(places * rng.choice(UPDATED))))


def fit(rows: Sequence[Measured], form: str) -> tuple[dict[str, float], float]:
    """The rates in nanoseconds that make the sum of the squared relative errors the least, and their root mean."""
    names = FORMS[form]
    counts = [[COUNTS[name](row.work, row.batch) for name in names] for row in rows]
    return fitted(names, counts, [getattr(row.times, form) for row in rows])


def load(path: Path) -> list[Measured]:
    """All data so far."""
    return [Measured(Work(**one["work"]), one["batch"], Times(**one["times"])) for one in lines_of(path)]


@click.command(help=__doc__)
@click.option("--seconds", default=900.0, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("build/bench/costs.jsonl"), show_default=True)
def main(seconds: float, data: Path) -> None:
    """Measure and fit."""
    layers = random_layers()

    def measured() -> Measured:
        work, batch = next(layers)
        return Measured(work, batch, measure(work, batch, EACH))

    measure_until(seconds, data, measured)
    rows = load(data)
    for form in ("dense", "sparse"):
        for kind in DENSE:
            some = [row for row in rows if kind_of(row.work) == kind]
            rates, error = fit(some, form)
            click.echo(f"{form}, {kind}: {len(some)} layers, relative error {error:.2f}")
            click.echo(f"    {as_table(rates)}")


if __name__ == "__main__":
    main()
