"""Tapes: what a run does to its graphs, written down so that a small program in any language can do it again.

A tape is two files. ``tape.tsv`` has an instruction a line, its parts separated by tabs; ``tape.bin`` has the bytes of
the values. Values have names, and a name may be given again.

| instruction | parts | meaning |
|---|---|---|
| graph | name, file, whether it needs the kernel library (0 or 1), its numeric profile | a graph that may be run |
| value | name, dtype, dimensions with commas, offset, bytes | a value out of ``tape.bin`` |
| join | name, values | a vector of the values, which have one element each and one dtype |
| run | graph | begin a call |
| in | input, value | |
| out | output, value | the result gets this name when the call is over |
| end | | the call, with the inputs and outputs since ``run`` |
| write | value | write it to the results |
| mark | | a step is over |

Results are the same two files, named ``results``, of the instruction ``value`` alone, in the order of ``write``.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

TAPE, RESULTS = "tape", "results"
ALIGNED = 64
"""Bytes: vectorised sums may take another order from another alignment."""

Array = np.ndarray[Any, np.dtype[Any]]


class Writer:
    """Writes a tape, or results, into a folder; equal bytes are stored once."""

    def __init__(self, folder: Path, name: str = TAPE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lines: IO[str] = (folder / f"{name}.tsv").open("w", encoding="utf-8")
        self._bytes: IO[bytes] = (folder / f"{name}.bin").open("wb")
        self._stored: dict[bytes, int] = {}

    def line(self, *parts: object) -> None:
        """Write one instruction."""
        print(*parts, sep="\t", file=self._lines)

    def value(self, name: str, array: Array) -> None:
        """Write a value."""
        raw = np.ascontiguousarray(array).tobytes()
        dimensions = ",".join(map(str, array.shape))
        self.line("value", name, array.dtype, dimensions, self._offset(raw), len(raw))

    def _offset(self, raw: bytes) -> int:
        if raw not in self._stored:
            self._bytes.write(bytes(-self._bytes.tell() % ALIGNED))
            self._stored[raw] = self._bytes.tell()
            self._bytes.write(raw)
        return self._stored[raw]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lines.close()
        self._bytes.close()


def instructions(folder: Path, name: str = TAPE) -> Iterator[list[str]]:
    """The parts of each line."""
    with (folder / f"{name}.tsv").open(encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n").split("\t")


def results(folder: Path) -> list[tuple[str, Array]]:
    """The values of a results file with their names, in order."""
    raw = (folder / f"{RESULTS}.bin").read_bytes()
    return [(parts[1], array(parts[2:], raw)) for parts in instructions(folder, RESULTS)]


def array(parts: list[str], raw: bytes) -> Array:
    dtype, dimensions, offset, _ = parts
    shape = [int(length) for length in dimensions.split(",") if length]
    return np.frombuffer(raw, dtype, math.prod(shape), int(offset)).reshape(shape)


def write_results(folder: Path, values: Mapping[str, Array]) -> None:
    """Write a results file."""
    with Writer(folder, RESULTS) as writer:
        for name, array in values.items():
            writer.value(name, array)
