"""Temporary files and folders beside the place that they are for, and those that killed processes left. A leaf module.

A process holds the system's lock of each one that it made. The lock goes with the process, so that one which can be
locked belongs to nobody any more.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sparcl_compile.interface import flock

NEW, OLD = "new", "old"
"""Kinds: what is to take the place, or came out of it and is to go; and what stood there, between two renames."""
RANDOM = "[a-z0-9_]{8}"
"""The end of a name that ``tempfile`` makes."""
TRIES = 20
"""Another process may take a new one for a leftover, in the moment before it is locked."""


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """An empty file with a name of its own beside ``path``, which is gone in the end; raises OSError."""
    with _made(path, _make_file) as made:
        try:
            yield made
        finally:
            made.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder with a name of its own beside ``path``, which is gone in the end; raises OSError."""
    with _made(path, _make_folder) as made:
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _make_file(prefix: str, folder: Path) -> str:
    handle, name = tempfile.mkstemp(prefix=prefix, dir=folder)
    os.close(handle)
    return name


def _make_folder(prefix: str, folder: Path) -> str:
    return tempfile.mkdtemp(prefix=prefix, dir=folder)


@contextlib.contextmanager
def _made(path: Path, make: Callable[[str, Path], str]) -> Iterator[Path]:
    for _ in range(TRIES):
        made = Path(make(f".{path.name}.{NEW}.", path.parent))
        with held(made) as mine:
            if mine is not False:
                yield made
                return
    raise OSError(errno.EBUSY, "another process removes what is made there", str(path))


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool | None]:
    """Hold the lock of a file or folder, which stays its own under another name.

    Yields whether it is held; None where there are no locks.
    """
    if not flock.available():
        yield None
        return
    try:
        handle = _opened(path)
    except OSError:
        yield False
        return
    try:
        taken = flock.take(handle)
        yield taken if flock.is_at(path, handle) else False
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    """A handle that a lock can be taken of: on NFS a file has to be open for writing, and a folder cannot be."""
    how = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | how)
    except IsADirectoryError:
        return os.open(path, os.O_RDONLY | how)


def old_name(new: Path) -> Path:
    """The name for what stands at a place, while the new folder or file of this name takes it."""
    head, _, end = new.name.rpartition(f".{NEW}.")
    return new.with_name(f"{head}.{OLD}.{end}")


def mend(path: Path) -> None:
    """Put the old version back to ``path`` where a process was killed between two renames, so that none is there."""
    for left in [] if os.path.lexists(path) else _leftovers(path, OLD):
        _put_back(left, path)


def _put_back(left: Path, path: Path) -> None:
    with held(left) as abandoned, contextlib.suppress(OSError):
        if abandoned and not os.path.lexists(path):
            left.rename(path)


def clear(path: Path) -> None:
    """Remove what killed processes left beside ``path``, after ``mend``; what a living one holds stays."""
    mend(path)
    for left in (*_leftovers(path, OLD), *_leftovers(path, NEW)):
        _remove(left)


def _leftovers(path: Path, kind: str) -> list[Path]:
    form = re.compile(rf"\.{re.escape(path.name)}\.{kind}\.{RANDOM}")
    try:
        return [path.with_name(name) for name in os.listdir(path.parent) if form.fullmatch(name)]
    except OSError:
        return []


def _remove(left: Path) -> None:
    """Remove a leftover that nobody holds; another user's, which cannot be removed, hurts no one."""
    with held(left) as abandoned:
        if not abandoned:
            return
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            left.unlink()
