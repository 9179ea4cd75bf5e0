"""Runs cases in a process that may crash or hang: a lost one is replaced, and its case is a fault."""

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.judge import Verdict, judged
from tests.fuzz.targets import prepared, target_of

SECONDS = 60
"""A case that takes longer hangs."""

MEMORY = 12 * 2**30
"""Address space of a worker: a shape of 2**31 must not take the machine down."""

# Not fork: ONNX Runtime's threads do not survive it.
CONTEXT = multiprocessing.get_context("spawn")


class Worker:
    """A process that runs one case after another.

    Args:
        sound: the material.
        seed: of all cases.
        only: a part of the names of the targets.
        keep: the folder that cases with faults are kept in; None keeps none.
        seconds: the time limit of a case.
    """

    def __init__(
        self, sound: Path, seed: int, only: str = "", keep: Path | None = None, seconds: float = SECONDS
    ) -> None:
        self._settings = (sound, seed, only, keep)
        self._seconds = seconds
        self._only = only
        self._start()

    def _start(self) -> None:
        self._connection, other = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=_serve, args=(other, *self._settings), daemon=True)
        self._process.start()
        other.close()
        self._connection.recv()  # imports are no part of a case's time

    def run(self, number: int) -> Verdict:
        """Run a case; the process is replaced where it was lost."""
        self._connection.send(number)
        try:
            if self._connection.poll(self._seconds):
                found: Verdict = self._connection.recv()
                return found
            kind = f"takes more than {self._seconds} s"
        except (EOFError, ConnectionError):
            self._process.join()
            kind = _ended(self._process.exitcode)
        self.stop()
        self._start()
        return Verdict(target_of(number, self._only), -1, {kind: ""})

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _ended(code: int | None) -> str:
    return f"ends with {signal.Signals(-code).name}" if code and code < 0 else f"ends the process with code {code}"


def _serve(connection: Connection, sound: Path, seed: int, only: str, keep: Path | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore", ResourceWarning)
    root = Path(tempfile.mkdtemp(prefix="sparcl-fuzz-"))
    native = root / "stderr"
    os.dup2(os.open(native, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    connection.send(None)
    try:
        while True:
            number = connection.recv()
            connection.send(_case(sound, root, native, seed, number, only, keep))
    except EOFError:
        return
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _case(sound: Path, root: Path, native: Path, seed: int, number: int, only: str, keep: Path | None) -> Verdict:
    folder = (keep or root) / f"{seed}-{number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        case = prepared(sound, folder, seed, number, only)
    except Exception:  # noqa: BLE001 - a mutator's own fault must not look like a crash of the command
        return Verdict(target_of(number, only), -1, {"a mutator fails": traceback.format_exc()})
    (root / "command").write_text(f"sparcl-{case.command} {' '.join(case.args)}\n", encoding="utf-8")
    with (root / "stack").open("w") as stack:
        faulthandler.enable(stack)
        faulthandler.dump_traceback_later(SECONDS * 0.8, file=stack)
        found = judged(case, folder, native)
        faulthandler.cancel_dump_traceback_later()
        faulthandler.disable()
    if not found.faults or keep is None:
        shutil.rmtree(folder)
    return found
