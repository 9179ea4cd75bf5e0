"""Steps of one process in turns, for forms of one contestant, which share all that they have beside the step."""

import functools
import time
from collections.abc import Mapping

import numpy as np

from benchmarks.contestants import Step
from benchmarks.processes import in_turns, second_of_two


def measure(steps: Mapping[str, Step], repeats: int, threads: int) -> dict[str, float]:
    """Median seconds a step of each contestant, taken in turns after one warm-up round.

    One thread is timed by the processor's clock, which stands still while a neighbour runs.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    seconds = in_turns([functools.partial(second_of_two, step, clock) for step in steps.values()], repeats)
    return {name: float(np.median(of)) for name, of in zip(steps, seconds, strict=True)}
