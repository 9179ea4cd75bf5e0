"""The fit of rates to measured times, and the data that they are fitted to: a line of JSON for each layer."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls


def fitted(
    names: Sequence[str], counts: Sequence[Sequence[float]], seconds: Sequence[float]
) -> tuple[dict[str, float], float]:
    """The rates that make the sum of the squared relative errors the least, and the root mean of these.

    Args:
        names: of the counted quantities.
        counts: of each layer how much it has of each of them.
        seconds: of each layer.

    Returns:
        Nanoseconds for one of each quantity, none of them negative, and the error.
    """
    matrix = np.array(counts) / np.array(seconds)[:, None]
    scale = np.maximum(matrix.max(axis=0), 1e-30)
    rates, _ = nnls(matrix / scale, np.ones(len(seconds)))
    errors = matrix @ (rates / scale) - 1
    return dict(zip(names, rates / scale * 1e9, strict=True)), float(np.sqrt(np.mean(errors**2)))


def as_table(rates: dict[str, float]) -> str:
    """Rates as a table of the sources has them; those of 0 are left out."""
    return "{" + ", ".join(f'"{name}": {rate:.3g}' for name, rate in rates.items() if rate) + "}"


def measure_until(seconds: float, data: Path, measured: Callable[[], Any]) -> None:
    """Measure for so long, and add each result, a dataclass, to a file."""
    data.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    with data.open("a", encoding="utf-8") as file:
        while time.monotonic() < end:
            file.write(json.dumps(dataclasses.asdict(measured())) + "\n")
            file.flush()


def lines_of(data: Path) -> list[dict[str, Any]]:
    """All that was measured so far; lists are tuples again."""
    lines = data.read_text(encoding="utf-8").splitlines() if data.exists() else []
    return [json.loads(line, object_hook=_with_tuples) for line in lines]


def _with_tuples(found: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
