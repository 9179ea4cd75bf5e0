"""Steps in processes of their own, which take turns: in one process the threads of one would spin on another's time."""

import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np


class Turns:
    """A process with a step, which it takes whenever it is asked to.

    Args:
        python: the interpreter, whose ONNX Runtime it is.
        module: the module whose ``main`` makes the step and calls :func:`serve`.
        arguments: the arguments of that ``main``.

    Attributes:
        made: the line that the process prints when the step is made.
    """

    def __init__(self, python: str, module: str, *arguments: object) -> None:
        command = [python, "-W", "ignore", "-m", module, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.made = self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> str:
        line = self._process.stdout.readline().strip()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended")
        return line

    def start(self) -> None:
        """Let the process take its step."""
        self._process.stdin.write("\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]

    def wait(self) -> list[float]:
        """The seconds of the step by each clock of the process, when it is done."""
        return [float(seconds) for seconds in self._read().split()]

    def __call__(self) -> list[float]:
        """The seconds of a step by each clock of the process."""
        self.start()
        return self.wait()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class AtOnce:
    """Processes that take the same step at the same time, as on a machine whose memory they share."""

    def __init__(self, copies: Sequence[Turns]) -> None:
        self._copies = copies

    def __call__(self) -> list[float]:
        """The mean seconds of the copies' steps by each clock."""
        for copy in self._copies:
            copy.start()
        return list(np.mean([copy.wait() for copy in self._copies], axis=0))


def in_turns(steps: Sequence[Callable[[], list[float]]], rounds: int) -> np.ndarray:
    """Seconds [step, round, clock] after one round that does not count.

    Each round begins with another step: on a busy machine the place in the round would matter otherwise.
    """
    found: list[list[list[float]]] = [[] for _ in steps]
    for round_ in range(rounds + 1):
        for place in range(len(steps)):
            turn = (place + round_) % len(steps)
            found[turn].append(steps[turn]())
    return np.array(found)[:, 1:]


def second_of_two(step: Callable[[], object], *clocks: Callable[[], float]) -> list[float]:
    """The seconds of the second of two steps by each clock.

    Training repeats its step, and the first one of a turn finds the caches full of another's values.
    """
    step()
    started = [clock() for clock in clocks]
    step()
    return [clock() - start for clock, start in zip(clocks, started, strict=True)]


def serve(made: str, step: Callable[[], object], *clocks: Callable[[], float]) -> None:
    """Print a line, and then for each line that comes the seconds of a step by each clock."""
    print(made, flush=True)
    for _ in sys.stdin:
        print(*second_of_two(step, *clocks), flush=True)
