"""The step of one contestant in a process of its own, which takes turns with others.

``python -m benchmarks.turns NET WIDTH FORM TARGET THREADS FOLDER`` prints the version of its ONNX Runtime when the step
is made, and then serves its seconds. The artifact is in the folder already.
"""

import sys
import time
import warnings
from pathlib import Path

from benchmarks.alone import BATCH
from benchmarks.contestants import Setting, compiled
from benchmarks.processes import serve

FORMS = {
    "dense": {"sparsity": 0.0},
    "masked": {"scheme": "unstructured", "sparsity": 0.75},
    "stored": {"sparsity": 0.0, "method": "der++"},
    "compressed": {"scheme": "unstructured", "sparsity": 0.9, "compress": True},
}
"""What is compared of each model; ``stored`` keeps gradients between the batches of a step."""


def setting_of(net: str, width: int, form: str, target: str) -> Setting:
    """The contestant, whose artifact has its name."""
    name = f"{net}-w{width}-{form}-{target}"
    return Setting(name, compiled, net=net, width=width, target=target, **FORMS[form])  # type: ignore[arg-type]


def main(net: str, width: str, form: str, target: str, threads: str, folder: str) -> None:
    """Make the step and take it whenever a line comes."""
    warnings.filterwarnings("ignore")
    from sparcl_compile.interface.onnx_runtime import ort

    setting = setting_of(net, int(width), form, target)
    step = setting.make(setting, BATCH, int(threads), Path(folder))
    clock = time.thread_time if int(threads) == 1 else time.perf_counter
    serve(ort.__version__, step, clock)


if __name__ == "__main__":
    main(*sys.argv[1:])
