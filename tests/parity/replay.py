"""Replays a tape in this Python's ONNX Runtime: ``python -m tests.parity.replay FOLDER RESULTS STEPS [KERNELS.so]``.

It ends after so many steps, and with STEPS 0 only at the tape's end. It needs numpy and ONNX Runtime alone.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

from tests.parity import tape

FATAL_ONLY = 4


class Replay:
    """The instructions of a tape, by their names."""

    def __init__(self, folder: Path, writer: tape.Writer, kernels: str) -> None:
        self._raw = (folder / f"{tape.TAPE}.bin").read_bytes()
        self._writer, self._kernels = writer, kernels
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._values: dict[str, tape.Array] = {}
        self._inputs: dict[str, tape.Array] = {}
        self._outputs: dict[str, str] = {}
        self._graph = ""
        self.done = 0

    def graph(self, name: str, path: str, *_: str) -> None:
        self._sessions[name] = ort.InferenceSession(path, options(self._kernels), providers=["CPUExecutionProvider"])

    def value(self, name: str, *parts: str) -> None:
        self._values[name] = tape.array(list(parts), self._raw)

    def join(self, name: str, *parts: str) -> None:
        self._values[name] = np.array([self._values[one].item() for one in parts], self._values[parts[0]].dtype)

    def run(self, graph: str) -> None:
        self._graph, self._inputs, self._outputs = graph, {}, {}

    def give(self, name: str, value: str) -> None:
        self._inputs[name] = self._values[value]

    def take(self, name: str, value: str) -> None:
        self._outputs[name] = value

    def end(self) -> None:
        found = self._sessions[self._graph].run(list(self._outputs), self._inputs)
        self._values |= dict(zip(self._outputs.values(), map(np.asarray, found), strict=True))

    def write(self, name: str) -> None:
        self._writer.value(name, self._values[name])

    def mark(self) -> None:
        self.done += 1


WORDS = {"in": "give", "out": "take"}
"""Methods of another name than their instruction, which is a word of Python's or says nothing here."""


def main(folder: Path, results: Path, steps: int = 0, kernels: str = "") -> None:
    """Replay a tape."""
    with tape.Writer(results, tape.RESULTS) as writer:
        replay = Replay(folder, writer, kernels)
        for what, *parts in tape.instructions(folder):
            getattr(replay, WORDS.get(what, what))(*parts)
            if what == "mark" and replay.done == steps:
                break


def options(kernels: str) -> ort.SessionOptions:
    """One thread, with the kernel library if there is one."""
    made = ort.SessionOptions()
    made.intra_op_num_threads, made.log_severity_level = 1, FATAL_ONLY
    if kernels:
        made.register_custom_ops_library(kernels)
    return made


if __name__ == "__main__":
    folder, results, steps, *kernels = sys.argv[1:]
    main(Path(folder), Path(results), int(steps), *kernels)
