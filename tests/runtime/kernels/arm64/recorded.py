"""Models with their feeds and their results on one machine, as a file for another. It needs numpy alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Recorded:
    """One run."""

    op: str
    """The op that the run tests; the report has a line for each."""
    model: bytes
    feeds: Mapping[str, Array]
    results: Sequence[Array]
    threads: Sequence[int]
    """Numbers of threads between which no bit may differ."""


def save(path: Path, runs: Sequence[Recorded]) -> None:
    """Write the runs to a NumPy file."""
    arrays: dict[str, Array] = {"ops": np.array([run.op for run in runs])}
    for number, run in enumerate(runs):
        arrays[f"{number}/model"] = np.frombuffer(run.model, dtype=np.uint8)
        arrays[f"{number}/threads"] = np.array(run.threads)
        arrays |= {f"{number}/feeds/{name}": value for name, value in run.feeds.items()}
        arrays |= {f"{number}/results/{place:03}": value for place, value in enumerate(run.results)}
    np.savez(path, **arrays)


def load(path: Path) -> Iterator[Recorded]:
    """Read the runs of `save`, one after the other."""
    with np.load(path) as file:
        for number, op in enumerate(file["ops"]):
            feeds, results = f"{number}/feeds/", f"{number}/results/"
            yield Recorded(
                op=str(op),
                model=file[f"{number}/model"].tobytes(),
                feeds={name.removeprefix(feeds): file[name] for name in file.files if name.startswith(feeds)},
                results=[file[name] for name in sorted(file.files) if name.startswith(results)],
                threads=file[f"{number}/threads"].tolist(),
            )
