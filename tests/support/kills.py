"""Commands that kill themselves at a certain call, again and again without the imports of a new interpreter.

The module is a program, too: it imports what the commands need, and then runs each command in a process of its own.
"""

import contextlib
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
USED = ("api.compiling", "api.exporting", "api.learning", "compiling.kernel_library", "cli.report")
EXCHANGE = "sparcl_compile.interface.files:exchange"


@dataclass(frozen=True)
class Point:
    """A call at which a command is killed.

    Attributes:
        name: ``MODULE:FUNCTION`` or ``MODULE:CLASS.METHOD``.
        call: the number of the call, from 1.
        after: when it has returned, not before.
        number: the signal.
        since: calls are counted from the first call of this function on; without it all are.
        exchange: whether the system can exchange names.
    """

    name: str
    call: int = 1
    after: bool = False
    number: int = signal.SIGKILL
    since: str = ""
    exchange: bool = True

    def __str__(self) -> str:
        when = "behind" if self.after else "before"
        return (
            f"{signal.Signals(self.number).name} {when} {self.name} {self.call}{'' if self.exchange else ' in steps'}"
        )


@dataclass(frozen=True)
class Ended:
    """The end of a command: its code, below 0 for the signal that killed it, and its errors."""

    code: int
    err: str


class Nursery:
    """Runs commands that are killed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, point: Point | None, command: str, *args: object) -> Ended:
        """Run a command to its end, or to the point."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"point": point and asdict(point), "command": command, "args": [str(arg) for arg in args]}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def kill(self, point: Point, command: str, *args: object) -> None:
        """Run a command that has to be killed at the point."""
        ended = self.run(point, command, *args)
        assert ended.code == -signal.SIGKILL, (str(point), ended)

    def done(self, command: str, *args: object) -> None:
        """Run a command that has to succeed."""
        ended = self.run(None, command, *args)
        assert ended.code == 0, ended


@contextlib.contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery as long as the block runs."""
    command = [sys.executable, "-m", "tests.support.kills"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment, text=True
    ) as process:
        yield Nursery(process)
        process.kill()


def arm(point: Point) -> None:
    """Let this process kill itself at a point."""
    counting = [None] if not point.since else []
    if not point.exchange:
        _change(EXCHANGE, lambda _: lambda *_: False)
    if point.since:
        _change(point.since, lambda original: _before(original, lambda: counting.append(None)))
    _change(point.name, lambda original: _armed(original, point, counting))


def _change(name: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    module, _, path = name.partition(":")
    *owners, last = path.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    setattr(owner, last, change(getattr(owner, last)))


def _before(original: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    def called(*args: Any, **more: Any) -> Any:
        act()
        return original(*args, **more)

    return called


def _armed(original: Callable[..., Any], point: Point, counting: list[None]) -> Callable[..., Any]:
    calls: list[None] = []

    def counted(*args: Any, **more: Any) -> Any:
        calls.extend(counting[:1])
        due = bool(counting) and len(calls) == point.call
        if due and not point.after:
            os.kill(os.getpid(), point.number)
        result = original(*args, **more)
        if due and point.after:
            os.kill(os.getpid(), point.number)
        return result

    return counted


def _serve(jobs: Iterator[str]) -> None:
    from tests.support.cli import COMMANDS

    for name in USED:
        importlib.import_module(f"sparcl_compile.{name}")
    for line in jobs:
        job = json.loads(line)
        with tempfile.TemporaryFile() as err:
            child = os.fork()
            if not child:
                _end(COMMANDS[job["command"]], job["args"], job["point"], err.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            err.seek(0)
            print(json.dumps({"code": code, "err": err.read().decode()}), flush=True)


def _end(command: Any, args: Sequence[str], point: dict[str, Any] | None, err: int) -> None:
    """Run a command in this process, and end it."""
    for number in (1, 2):
        os.dup2(err if number == 2 else os.open(os.devnull, os.O_WRONLY), number)
    code = 1
    try:
        if point:
            arm(Point(**point))
        command.main(args)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(iter(sys.stdin.readline, ""))
