"""The step of a contestant of benchmarks.step in a process of its own, which takes turns with others.

``python -m benchmarks.stepper NAME BATCH THREADS FOLDER`` prints a line when the step is made, and then for each line
that it reads the wall-clock and the processor seconds of a step, the second one of two: the first finds the caches full
of another's values. In one process the threads of one contestant would spin on another's time.
"""

import subprocess
import sys
import time
import warnings
from pathlib import Path


class Stepper:
    """A process with the step of a contestant; a compiled one's artifact is made in the folder where it is missing."""

    def __init__(self, name: str, batch: int, threads: int, folder: Path) -> None:
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "benchmarks.stepper",
            name,
            str(batch),
            str(threads),
            str(folder),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read()

    def _read(self) -> str:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended")
        return line

    def __call__(self) -> tuple[float, float]:
        """Wall-clock and processor seconds of a step."""
        self._process.stdin.write("\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        wall, processor = self._read().split()
        return float(wall), float(processor)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main(name: str, batch: str, threads: str, folder: str) -> None:
    """Make the step and take it whenever a line comes."""
    warnings.filterwarnings("ignore")
    from benchmarks.step import chosen

    (setting,) = chosen((name,))
    step = setting.make(setting, int(batch), int(threads), Path(folder))
    print("made", flush=True)
    for _ in sys.stdin:
        step()
        wall, processor = time.perf_counter(), time.process_time()
        step()
        print(time.perf_counter() - wall, time.process_time() - processor, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
