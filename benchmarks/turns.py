"""The step of one contestant in a process of its own, which takes turns with others.

``python -m benchmarks.turns NET WIDTH FORM TARGET THREADS FOLDER`` prints the version of its ONNX Runtime when the step
is made, and then for each line that it reads the seconds of a step, the second one of two: the first finds the caches
full of another's values.
"""

import subprocess
import sys
import time
import warnings
from pathlib import Path

from benchmarks.alone import BATCH
from benchmarks.contestants import Setting, compiled

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


class Turns:
    """A process with the step of an artifact that is in a folder already.

    Args:
        python: the interpreter, whose ONNX Runtime it is.
        arguments: net, width, form, target, threads and folder.
    """

    def __init__(self, python: str, *arguments: object) -> None:
        command = [python, "-W", "ignore", "-m", "benchmarks.turns", *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._read()

    def _read(self) -> str:
        line = self._process.stdout.readline().strip()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended")
        return line

    def __call__(self) -> float:
        """The seconds of a step."""
        self._process.stdin.write("\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main(net: str, width: str, form: str, target: str, threads: str, folder: str) -> None:
    """Make the step and take it whenever a line comes."""
    warnings.filterwarnings("ignore")
    from sparcl_compile.interface.onnx_runtime import ort

    setting = setting_of(net, int(width), form, target)
    step = setting.make(setting, BATCH, int(threads), Path(folder))
    clock = time.thread_time if int(threads) == 1 else time.perf_counter
    print(ort.__version__, flush=True)
    for _ in sys.stdin:
        step()
        started = clock()
        step()
        print(clock() - started, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
