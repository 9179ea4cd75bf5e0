"""Steps of one process in turns, for forms of one contestant, which share all that they have beside the step."""

import time
from collections.abc import Callable, Mapping

import numpy as np

Step = Callable[[], object]


def measure(steps: Mapping[str, Step], repeats: int, threads: int) -> dict[str, float]:
    """Median seconds a step of each contestant, taken in turns after one warm-up round.

    One thread is timed by the processor's clock, which stands still while a neighbour runs.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    return {name: float(np.median(values)) for name, values in in_turns(steps, repeats, clock).items()}


def in_turns(steps: Mapping[str, Step], repeats: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of a step of each contestant by round, after one warm-up round.

    A turn is two steps, of which the second counts: training repeats its step, and the first one of a turn finds the
    caches full of another contestant's values. Each round begins with another contestant: on a busy machine the place
    in the round would matter otherwise.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for round_ in range(repeats + 1):
        first = round_ % len(names)
        for name in (*names[first:], *names[:first]):
            steps[name]()
            started = clock()
            steps[name]()
            if round_ >= 1:
                times[name].append(clock() - started)
    return times
