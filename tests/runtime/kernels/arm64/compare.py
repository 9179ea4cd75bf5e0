"""Repeats the runs that another machine has recorded, and compares the results. It needs numpy and ONNX Runtime alone.

    python -m tests.runtime.kernels.arm64.compare RUNS.npz KERNELS.so

Exit code 1 when a result differs by more than LIMIT, or between numbers of threads.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from tests.runtime.kernels.arm64.recorded import Array, Recorded, load

LIMIT = 1e-4
"""Largest difference, as a share of a result's largest number or of 1.

NEON and AVX-512 add in other orders and fuse other products.
"""


def difference(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """The largest one, relative to the largest expected number of its array or to 1; NaN where one has a NaN.

    Infinite where the shapes or the numbers of results differ.
    """
    if [array.shape for array in found] != [array.shape for array in expected]:
        return np.inf
    pairs = zip(found, expected, strict=True)
    largest = [np.abs(a.astype(np.float64) - b).max(initial=0) / max(1.0, np.abs(b).max(initial=0)) for a, b in pairs]
    return float(np.max(largest))


def run(recorded: Recorded, kernels: Path, threads: int) -> list[Array]:
    """Run one model here."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.register_custom_ops_library(str(kernels))
    session = onnxruntime.InferenceSession(recorded.model, options, providers=["CPUExecutionProvider"])
    results: list[Array] = session.run(None, dict(recorded.feeds))
    return results


def faults(recorded: Recorded, all_found: Sequence[Sequence[Array]]) -> Iterator[str]:
    """One line for everything that is wrong with the results, which come by number of threads."""
    largest = difference(all_found[0], recorded.results)
    if not largest <= LIMIT:
        yield f"differs by {largest:.1e}, limit {LIMIT:.0e}"
    for threads, found in zip(recorded.threads[1:], all_found[1:], strict=True):
        if [array.tobytes() for array in found] != [array.tobytes() for array in all_found[0]]:
            yield f"{threads} threads give other bits than {recorded.threads[0]}"


def main(runs: Path, kernels: Path) -> int:
    """Compare and print a line for each op."""
    largest: dict[str, list[float]] = {}
    broken = []
    for number, recorded in enumerate(load(runs)):
        all_found = [run(recorded, kernels, threads) for threads in recorded.threads]
        largest.setdefault(recorded.op, []).append(difference(all_found[0], recorded.results))
        broken += [f"{recorded.op}, run {number}: {fault}" for fault in faults(recorded, all_found)]
    print(f"{'op':<30} {'runs':>5} {'largest difference':>20}")
    for op, differences in largest.items():
        print(f"{op:<30} {len(differences):>5} {np.max(differences):>20.1e}")
    print("\n".join(broken))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
