"""Replays a tape in the ONNX Runtime of this Python: ``python -m tests.parity.replay FOLDER RESULTS [KERNELS.so]``.

It needs numpy and ONNX Runtime alone.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tests.parity import tape

FATAL_ONLY = 4


def main(folder: Path, results: Path, kernels: str = "") -> None:
    """Replay it from the beginning to the end."""
    raw = (folder / f"{tape.TAPE}.bin").read_bytes()
    sessions: dict[str, ort.InferenceSession] = {}
    values: dict[str, tape.Array] = {}
    inputs: dict[str, tape.Array] = {}
    outputs: dict[str, str] = {}
    graph = ""
    with tape.Writer(results, tape.RESULTS) as writer:
        for what, *parts in tape.instructions(folder):
            match what:
                case "graph":
                    sessions[parts[0]] = ort.InferenceSession(
                        parts[1], options(kernels), providers=["CPUExecutionProvider"]
                    )
                case "value":
                    values[parts[0]] = tape.array(parts[1:], raw)
                case "join":
                    values[parts[0]] = np.array([values[name].item() for name in parts[1:]], values[parts[1]].dtype)
                case "run":
                    graph, inputs, outputs = parts[0], {}, {}
                case "in":
                    inputs[parts[0]] = values[parts[1]]
                case "out":
                    outputs[parts[0]] = parts[1]
                case "end":
                    found = sessions[graph].run(list(outputs), inputs)
                    values |= dict(zip(outputs.values(), found, strict=True))
                case "write":
                    writer.value(parts[0], np.asarray(values[parts[0]]))


def options(kernels: str) -> ort.SessionOptions:
    """One thread, with the kernel library if there is one."""
    made = ort.SessionOptions()
    made.intra_op_num_threads, made.log_severity_level = 1, FATAL_ONLY
    if kernels:
        made.register_custom_ops_library(kernels)
    return made


if __name__ == "__main__":
    folder, results, *kernels = sys.argv[1:]
    main(Path(folder), Path(results), *kernels)
