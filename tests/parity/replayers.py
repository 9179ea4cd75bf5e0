"""Programs that replay tapes in another runtime than Python's."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

from tests.parity import tape
from tests.runtime.kernels.arm64.machine import Unready


@dataclasses.dataclass(frozen=True)
class Replayer:
    """One runtime.

    Attributes:
        name: of the runtime.
        version: of ONNX Runtime.
        command: what runs it, up to the folder of the tape.
        kernels: the kernel library that it can load, if it can.
        reason: why there is none.
    """

    name: str
    version: str
    command: tuple[str, ...]
    kernels: Path | None
    reason: str

    @property
    def folder(self) -> str:
        """The name of a folder of its results."""
        return "".join(letter if letter.isalnum() or letter == "_" else "-" for letter in self.name)

    def replay(self, folder: Path, results: Path, steps: int = 0) -> None:
        """Replay a tape into a folder of results, up to the end of a step; 0 for all of it.

        Raises:
            Unready: a graph needs kernels, and there are none, or the program fails.
        """
        if self.kernels is None and needs_kernels(folder):
            raise Unready(self.reason)
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)
        kernels = [str(self.kernels)] if self.kernels else []
        command = [*self.command, str(folder), str(results), str(steps), *kernels]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            complaint = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise Unready(f"exit code {done.returncode}: {complaint[-1]}")


def needs_kernels(folder: Path) -> bool:
    """Whether a graph of a tape needs the kernel library."""
    return any(parts[0] == "graph" and parts[3] == "1" for parts in tape.instructions(folder))
