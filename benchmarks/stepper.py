"""The step of a contestant of benchmarks.step in a process of its own, which takes turns with others.

``python -m benchmarks.stepper NAME BATCH THREADS FOLDER [CORE [WIDTH]]`` serves the wall-clock and the processor
seconds of a step; the artifact of a compiled contestant is made in the folder where it is missing. With a core it runs
there alone, with a width it has that one and not its own.
"""

import dataclasses
import os
import sys
import time
import warnings
from pathlib import Path

from benchmarks.processes import serve


def main(name: str, batch: str, threads: str, folder: str, core: str = "", width: str = "") -> None:
    """Make the step and take it whenever a line comes."""
    if core:
        os.sched_setaffinity(0, {int(core)})
    warnings.filterwarnings("ignore")
    from benchmarks.step import chosen

    (setting,) = chosen((name,))
    setting = dataclasses.replace(setting, width=int(width)) if width else setting
    step = setting.make(setting, int(batch), int(threads), Path(folder))
    serve("made", step, time.perf_counter, time.process_time)


if __name__ == "__main__":
    main(*sys.argv[1:])
