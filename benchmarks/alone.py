"""The memory of one contestant: ``python -m benchmarks.alone NAME WIDTH THREADS FOLDER`` prints it as JSON.

A process of its own that builds nothing: the contestant's artifact lies in the folder already. A compiled artifact runs
as sparcl-run runs it.
"""

import dataclasses
import json
import sys
from pathlib import Path

BATCH = 32
STEPS = 5


def status(key: str) -> int:
    """A line of the process's status in bytes; not getrusage, whose maximum starts at the parent's."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split(f"{key}:")[1].split()[0]) * 1024


def main(name: str, width: str, threads: str, folder: str) -> None:
    """Make the contestant's step, run it, print what the process held after its imports and at most."""
    from benchmarks import contestants

    setting = next(s for s in contestants.CONTESTANTS if s.name == name)
    setting = dataclasses.replace(setting, width=int(width))
    # Counted as imports, not as memory of the step.
    if setting.make is contestants.ort_dense:
        import onnxruntime  # noqa: F401
    elif setting.make is contestants.compiled:
        import sparcl_compile.runtime.driver.trainer  # noqa: F401
    else:
        import torch  # noqa: F401
    imports = status("VmRSS")
    step = setting.make(setting, BATCH, int(threads), Path(folder))
    for _ in range(STEPS):
        step()
    print(json.dumps({"imports": imports, "peak": status("VmHWM")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
