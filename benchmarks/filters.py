"""Fit the rates of passes/gradients/filter_costs.py: times of the forms of random convolutions' weight gradients.

    python -m benchmarks.filters [--seconds 900] [--data build/bench/filters.jsonl]

Measures layers until the time is over, adds them to the data, and prints the rates as they stand in the table: those
that fit all data best, times a factor for each form with which the choice loses the least; with the error of the fit,
and how much longer the forms take that the rates choose than the fastest ones. A line that stands in the data several
times counts as often. Everything runs on one thread; a time is the least of several, in seconds of the processor,
which a busy machine disturbs least.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx_ir as ir

from benchmarks.fitting import as_table, fitted, lines_of, measure_until
from sparcl_compile.interface.onnx_runtime import ort
from sparcl_compile.passes.gradients.filter_choice import graph_of
from sparcl_compile.passes.gradients.filter_costs import BATCH, COUNTS, Layer
from sparcl_compile.passes.gradients.window import Window
from sparcl_compile.runtime.session.engine import device_copy
from sparcl_compile.runtime.session.sessions import session_options

KERNELS = (1, 1, 3, 3, 3, 3, 5, 7)
PLANES = (1, 2, 4, 7, 8, 8, 14, 16, 16, 28, 32, 32, 56)
MOST_PRODUCTS, MOST_ELEMENTS = 5e8, 5e6
"""Limits for a batch: larger layers take seconds."""
LEAST = 2e-4
"""Seconds of the fastest form of a layer that counts: the time of a smaller one is that of starting operators."""
FACTORS = (1.0, *np.linspace(0.85, 1.2, 36))
"""What a form's rates are tried with; with an equal loss the first one stays."""
TURNS = 3
"""Timed runs of each form, in turns."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One line of the data: a layer and the seconds of its forms."""

    layer: Layer
    seconds: Mapping[str, float]


def random_layers() -> Iterator[Layer]:
    """Layers of all sizes, without end."""
    rng = np.random.default_rng()
    while True:
        layer = random_layer(rng)
        macs = layer.dy * layer.inner * layer.taps
        if min(layer.window.outputs) > 0 and macs < MOST_PRODUCTS and layer.x + layer.dy < MOST_ELEMENTS:
            yield layer


def random_layer(rng: np.random.Generator) -> Layer:
    """A square convolution over square planes: two thirds of them in one group, the others mostly depthwise."""
    kernel, size, stride = (int(rng.choice(some)) for some in (KERNELS, PLANES, (1, 1, 1, 2)))
    pad, inner, outer, groups = kernel // 2, _width(rng), _width(rng), 1
    if rng.random() < 1 / 4:
        inner, outer, groups = 1, 1, inner
    elif rng.random() < 1 / 9:
        inner, outer, groups = max(1, inner // 8), max(1, outer // 8), 8
    out = (size + 2 * pad - kernel) // stride + 1
    window = Window(
        kernel=(kernel, kernel),
        strides=(stride, stride),
        dilations=(1, 1),
        before=(pad, pad),
        after=(pad, pad),
        groups=groups,
        inputs=(size, size),
        outputs=(out, out),
    )
    return Layer(window, inner, outer)


def _width(rng: np.random.Generator) -> int:
    width = round(float(np.exp(rng.uniform(np.log(3), np.log(512)))))
    return max(16, width // 16 * 16) if rng.random() < 0.5 else width


def measure(layer: Layer, turns: int = TURNS) -> dict[str, float]:
    """The seconds of every form that can be written."""
    rng = np.random.default_rng(0)
    forms = [form for form, count in COUNTS.items() if count(layer) is not None]
    sessions = {form: _session(graph_of(layer, form)) for form in forms}
    window = layer.window
    shapes = {"x": (window.groups * layer.inner, *window.inputs), "dy": (layer.filters, *window.outputs)}
    feeds = {name: device_copy(rng.normal(size=(BATCH, *shape)).astype(np.float32)) for name, shape in shapes.items()}
    weight = device_copy(np.zeros((layer.filters, layer.inner, *window.kernel), np.float32))
    times: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(turns + 1):
        for form, session in sessions.items():
            times[form].append(_run(session, {**feeds, "w": weight}))
    return {form: min(some[1:]) for form, some in times.items()}


def _session(model: ir.Model) -> ort.InferenceSession:
    text = ir.to_proto(model).SerializeToString()
    return ort.InferenceSession(text, session_options(1), providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, feeds: Mapping[str, ort.OrtValue]) -> float:
    binding = session.io_binding()
    for one in session.get_inputs():
        binding.bind_ortvalue_input(one.name, feeds[one.name])
    binding.bind_output(session.get_outputs()[0].name)
    started = time.thread_time()
    session.run_with_iobinding(binding)
    return time.thread_time() - started


def fit(rows: Sequence[Measured], form: str) -> tuple[dict[str, float], float]:
    """The rates in nanoseconds that make the sum of the squared relative errors the least, and their root mean."""
    large = [row for row in rows if form in row.seconds and min(row.seconds.values()) > LEAST]
    found = [(COUNTS[form](row.layer), row.seconds[form]) for row in large]
    counts = [counted for counted, _ in found if counted is not None]
    names = list(dict.fromkeys(name for counted in counts for name in counted))
    matrix = [[counted.get(name, 0.0) for name in names] for counted in counts]
    return fitted(names, matrix, [one for _, one in found])


def regret(rows: Sequence[Measured], rates: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """By how much the forms that the rates choose are slower than the fastest: of all time, and in the mean layer."""
    chosen, best = [], []
    for row in rows:
        counts = {form: COUNTS[form](row.layer) or {} for form in row.seconds}
        guess = {form: sum(rates[form].get(name, 0.0) * n for name, n in one.items()) for form, one in counts.items()}
        chosen.append(row.seconds[min(guess, key=lambda form: guess[form])])
        best.append(min(row.seconds.values()))
    return sum(chosen) / sum(best) - 1, float(np.mean(np.array(chosen) / np.array(best))) - 1


def balanced(
    rows: Sequence[Measured], rates: Mapping[str, Mapping[str, float]], rounds: int = 4
) -> dict[str, dict[str, float]]:
    """The rates times a factor for each form, found form by form, with which the choice loses the least."""
    forms = list(rates)
    seconds = np.array([[row.seconds.get(form, np.inf) for form in forms] for row in rows])
    guesses = np.array([[_guess(rates[form], row, form) for form in forms] for row in rows])

    def lost(factors: np.ndarray) -> float:
        chosen = seconds[np.arange(len(rows)), np.argmin(guesses * factors, axis=1)]
        best = seconds.min(axis=1)
        return float(np.mean(chosen / best) + chosen.sum() / best.sum())

    factors = np.ones(len(forms))
    for place in list(range(len(forms))) * rounds:
        tried = [factors * np.where(np.arange(len(forms)) == place, factor, 1.0) for factor in FACTORS]
        factors = min(tried, key=lost)
    return {
        form: {name: rate * factor for name, rate in rates[form].items()}
        for form, factor in zip(forms, factors, strict=True)
    }


def _guess(rates: Mapping[str, float], row: Measured, form: str) -> float:
    counts = COUNTS[form](row.layer) if form in row.seconds else None
    return np.inf if counts is None else sum(rates.get(name, 0.0) * n for name, n in counts.items())


def load(path: Path) -> list[Measured]:
    """All data so far."""
    return [_measured(line["layer"], line["seconds"]) for line in lines_of(path)]


def _measured(layer: Mapping[str, Any], seconds: Mapping[str, float]) -> Measured:
    return Measured(Layer(**{**layer, "window": Window(**layer["window"])}), seconds)


@click.command(help=__doc__)
@click.option("--seconds", default=900.0, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("build/bench/filters.jsonl"), show_default=True)
def main(seconds: float, data: Path) -> None:
    """Measure and fit."""
    layers = random_layers()
    measure_until(seconds, data, lambda: Measured(layer := next(layers), measure(layer)))
    rows, rates = load(data), {}
    for form in COUNTS:
        rates[form], error = fit(rows, form)
        click.echo(f"{form}: {sum(form in row.seconds for row in rows)} layers, relative error {error:.2f}")
    rates = balanced(rows, rates)
    for form, found in rates.items():
        click.echo(f'"{form}": {as_table(found)}')
    whole, mean = regret(rows, rates)
    click.echo(f"what the rates choose is slower than the fastest by {whole:.1%} of all time, {mean:.1%} in the mean")


if __name__ == "__main__":
    main()
