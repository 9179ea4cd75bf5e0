"""Locks of folders: two processes that would destroy each other's work are told so. A leaf module.

The lock is the system's (``flock``): it goes with its process, however that ends. The file's text only names the
processes that hold it, for the message to another one. Learners in Java and in Node know no such lock: there the text
is the lock, as long as its process lives (docs/learner.md).
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sparcl_compile.interface import flock
from sparcl_compile.interface.errors import ArtifactError, SparclError
from sparcl_compile.interface.files import made_folder, told

FILE = ".lock"
"""The lock of a folder that a program writes into, in that folder."""
TRIES, PAUSE = 20, 0.01
"""A process that ends holds its lock for a moment more, while it removes the file."""

WITHOUT_LOCKS = ("java", "node")
"""Beginnings of the names of programs whose line in a lock's file is the lock."""

Refusal = Callable[[str], SparclError]
"""The error for the processes that hold a lock."""


def beside(folder: Path) -> Path:
    """The lock of a folder that is replaced as a whole, or only read: a file beside it."""
    whole = Path(os.path.realpath(folder))
    return whole.with_name(f".{whole.name}.lock")


@contextlib.contextmanager
def writing(path: Path, folder: Path, refusal: Refusal) -> Iterator[None]:
    """Hold the lock of a folder alone, at ``path``, whose own folder is made if needed.

    Raises:
        SparclError: another process holds it; ``refusal`` makes the error of its name.
        WriteError: the file cannot be made.
    """
    with made_folder(path.parent, folder):
        with told(folder):
            handle = _locked(path, refusal, shared=False)
        yield from _held(path, handle, shared=False)


@contextlib.contextmanager
def reading(artifact: Path) -> Iterator[None]:
    """Keep an artifact from being replaced, together with other processes that read it.

    Where no lock can be made, because the place is read-only for this user, there is none.

    Raises:
        ArtifactError: the artifact is being replaced.
    """
    path = beside(artifact)
    handle = _locked(path, lambda holders: _replaced(artifact, holders), shared=True)
    yield from _held(path, handle, shared=True)


def _replaced(artifact: Path, holders: str) -> ArtifactError:
    return ArtifactError(f"{artifact}: is being replaced by {holders}; wait for its end")


def _held(path: Path, handle: int | None, shared: bool) -> Iterator[None]:
    """The part of a block in which a lock is held."""
    try:
        _sign(handle, shared)
        yield
    finally:
        _release(path, handle)


def _locked(path: Path, refusal: Refusal, shared: bool) -> int | None:
    if not flock.available():
        return None
    for attempt in range(TRIES):
        time.sleep(PAUSE if attempt else 0)
        handle = _opened(path, shared)
        if handle is None or (_taken(handle, shared) and flock.is_at(path, handle) and not _named(handle)):
            return handle
        holders = _holders(handle)
        os.close(handle)
    raise refusal(holders)


def _opened(path: Path, shared: bool) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError:
        if not shared:
            raise
    # Another user's file serves as well, unsigned.
    with contextlib.suppress(OSError):
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    return None


def _taken(handle: int, shared: bool) -> bool:
    """Whether nobody else holds the lock, as far as the file system knows: where it has no locks there is none."""
    return flock.take(handle, shared) is not False


def _sign(handle: int | None, shared: bool) -> None:
    """Write this process's name; the lock holds without it."""
    if handle is None:
        return
    line = f"{os.getpid()} {socket.gethostname()} {time.strftime('%Y-%m-%dT%H:%M:%S')} {Path(sys.argv[0]).name}\n"
    with contextlib.suppress(OSError):
        if not shared:
            os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_END)
        os.write(handle, line.encode())


def _holders(handle: int) -> str:
    """The processes that are named in a lock's file and that have not ended, as far as can be told from here."""
    told = [f"{program} (process {pid} on {host}, since {since})" for pid, host, since, program in _living(handle)]
    return " and ".join(told) or "another process"


def _named(handle: int) -> bool:
    """Whether a living process is named that has no other lock than its name."""
    return any(program.startswith(WITHOUT_LOCKS) for _, _, _, program in _living(handle))


def _living(handle: int) -> list[list[str]]:
    """The number, the host, the time and the program of each process that is named and has not ended."""
    lines = os.pread(handle, 4096, 0).decode(errors="replace").splitlines()
    return [parts for line in lines if len(parts := line.split(maxsplit=3)) == 4 and _lives(*parts[:2])]


def _lives(pid: str, host: str) -> bool:
    if host != socket.gethostname() or not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _release(path: Path, handle: int | None) -> None:
    """Remove the file where no other process holds it, and give up the lock."""
    if handle is None:
        return
    with contextlib.suppress(OSError):
        if _taken(handle, shared=False) and flock.is_at(path, handle):
            path.unlink()
    os.close(handle)
