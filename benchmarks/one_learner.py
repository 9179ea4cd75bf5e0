"""What a learner costs in Python: ``python -m benchmarks.one_learner ARTIFACT SAMPLES EPOCHS BEGAN`` prints it as JSON.

A process of its own that imports what an app does. ``BEGAN`` is the time in seconds at which it was started.
"""

import itertools
import json
import statistics
import sys
import tempfile
import time

from safetensors.numpy import load_file

from benchmarks.alone import status


def main(artifact: str, samples: str, epochs: str, began: str) -> None:
    """Learn one task, and print milliseconds until the learner is open and of its steps, and the memory in MB."""
    from sparcl_compile import Learner

    with tempfile.TemporaryDirectory() as state, Learner.open(artifact, state, threads=1, batch=32) as learner:
        start = 1e3 * (time.time() - float(began))
        tensors = load_file(samples)
        times, busy = [time.time()], [0.0]

        def made(_: object) -> None:
            times.append(time.time())
            busy.append(time.process_time())

        learner.learn(tensors["x"], tensors["labels"], epochs=int(epochs), progress=made)
    first, *steps = [1e3 * (after - before) for before, after in itertools.pairwise(times)]
    told = {"start": start, "first": first, "step": statistics.median(steps), "memory": status("VmHWM") / 2**20}
    print(json.dumps({**told, "busy": 1e3 * (busy[-1] - busy[1]) / len(steps)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
