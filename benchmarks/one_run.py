"""The memory of one training run: ``python -m benchmarks.one_run ARTIFACT DATA`` prints it as JSON.

A process of its own that compiles nothing, one thread, batches of 32 as ``sparcl-run`` makes them.
"""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.alone import BATCH, status

RUN = {"tasks": 2, "epochs": 1, "batch_size": BATCH, "buffer_size": 200, "learning_rate": 0.01, "threads": 1}


def main(artifact: str, data: str) -> None:
    """Learn two tasks for an epoch; print what the process held after its imports and at most, and the runtime."""
    import onnxruntime

    from sparcl_compile.api.learning import learn
    from sparcl_compile.interface.artifact import load
    from sparcl_compile.runtime.config import RunConfig

    imports = status("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        learn(load(Path(artifact)), RunConfig(data, **RUN), Path(folder, "run"))  # type: ignore[arg-type]
    print(json.dumps({"imports": imports, "peak": status("VmHWM"), "onnxruntime": onnxruntime.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
