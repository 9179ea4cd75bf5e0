"""Files and folders that appear whole or not at all. A leaf module, shared by the compiler and the runtime."""

import contextlib
import errno
import functools
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sparcl_compile.interface import temporary as temporaries
from sparcl_compile.interface.errors import FieldError, SparclError, WriteError
from sparcl_compile.interface.exchange import exchange


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object], aside: Path | None = None) -> None:
    """Let ``write`` fill a temporary file beside ``path``, sync it and rename it to ``path``.

    Args:
        path: the file; its folder is made if needed.
        write: fills the file that it is given.
        aside: the name that the file which stands at ``path`` gets, when the new one is whole; without it that goes.

    Raises:
        WriteError: the file system refuses (disk full, no permission); ``path`` is as it was before.
    """
    with _whole(path, write) as temporary:
        _put(temporary, path, aside)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: none is put in its place before all are whole.

    Raises:
        WriteError: the file system refuses.
    """
    with contextlib.ExitStack() as stack:
        whole = {
            path: stack.enter_context(_whole(path, functools.partial(Path.write_bytes, data=content)))
            for path, content in contents.items()
        }
        for path, temporary in whole.items():
            _put(temporary, path)


@contextlib.contextmanager
def _whole(path: Path, write: Callable[[Path], object]) -> Iterator[Path]:
    """A temporary file beside ``path`` with its content, which is gone in the end."""
    with made_folder(path.parent, path), contextlib.ExitStack() as stack:
        temporaries.clear(path)
        with told(path):
            temporary = stack.enter_context(temporaries.new_file(path))
            write(temporary)
            temporary.chmod(0o644)
            sync(temporary)
        yield temporary


def _put(temporary: Path, path: Path, aside: Path | None = None) -> None:
    with told(path):
        _replace(temporary, path, aside)
        _flush(path.parent)


def _replace(temporary: Path, path: Path, aside: Path | None) -> None:
    keeps = aside is not None and os.path.lexists(path)
    if aside is not None and keeps:
        _keep(path, aside)
    try:
        temporary.replace(path)
    except OSError:
        if aside is not None and keeps:
            aside.unlink(missing_ok=True)
        raise


def _keep(path: Path, aside: Path) -> None:
    """Give a file a second name, so that it can be replaced under its first: a kill in between finds it under both."""
    with temporaries.new_file(aside) as second:
        second.unlink()
        try:
            os.link(path, second)
        except OSError:  # a file system without links
            shutil.copyfile(path, second)
            sync(second)
        second.replace(aside)


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """A block in which an OSError means that ``path`` cannot be written; it becomes a WriteError."""
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from error


@contextlib.contextmanager
def made_folder(folder: Path, path: Path) -> Iterator[None]:
    """A folder with its parents, for ``path``; those that were made go again where nothing has come into them.

    Raises:
        WriteError: the folder cannot be made.
    """
    made = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        with told(path):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for one in made:
            with contextlib.suppress(OSError):
                one.rmdir()


def check_name(path: Path, suffix: str, field: str) -> None:
    """Raise FieldError for a path that cannot be a file of this kind, before any work."""
    if os.path.islink(path) and not os.path.exists(path):
        raise FieldError(field, path, "is a link to nowhere", "remove it or name another file")
    if os.path.isdir(path):
        raise FieldError(field, path, "is a folder", f"name a file that ends in {suffix}")
    if path.suffix != suffix:
        raise FieldError(field, path, mend=f"name a file that ends in {suffix}")


def check_writable(path: Path) -> None:
    """Find out before long work whether ``path`` can be written after it; its folder is made if needed.

    Raises:
        WriteError: it cannot; ``path`` is as it was before.
    """
    if os.path.isdir(path):
        raise WriteError(f"{path}: is a folder; name a file")
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporaries.new_file(path):
            return


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; raises WriteError as ``write_atomically``."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@contextlib.contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its place when the block ends without an exception.

    Everything in it is synced first. A folder that stood at ``target`` changes places with the new one, and is removed
    then. Leftovers of killed processes go first; the folder that a link leads to is replaced, not the link.

    Raises:
        WriteError: the file system refuses; ``target`` is as it was before.
    """
    place = Path(os.path.realpath(target))
    with made_folder(place.parent, target), contextlib.ExitStack() as stack:
        temporaries.clear(place)
        with told(target):
            staging = stack.enter_context(temporaries.new_folder(place))
        try:
            yield staging
            staging.chmod(0o755)
            _swap(staging, place)
        except WriteError as error:  # the temporary folder's name says nothing to a user
            raise WriteError(str(error).replace(str(staging), str(target))) from error
        except OSError as error:
            raise write_error(target, error) from error


def _swap(staging: Path, target: Path) -> None:
    """Flush a folder and put it in its place; the one that stood there has the name ``staging`` then."""
    for path in (*staging.rglob("*"), staging):
        sync(path)
    if not os.path.lexists(target):
        staging.replace(target)
    elif not exchange(staging, target):
        _swap_in_steps(staging, target)
    _flush(target.parent)


def _swap_in_steps(staging: Path, target: Path) -> None:
    """Without an exchange there is a moment without a folder at ``target``; ``temporary.mend`` ends it after a kill."""
    old = temporaries.old_name(staging)
    with temporaries.held(target):
        target.replace(old)
        try:
            staging.replace(target)
        except OSError:
            old.replace(target)
            raise
        old.replace(staging)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk: a rename may otherwise survive a power cut that its content does not."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush(folder: Path) -> None:
    """Flush a folder in which something has come into its place, which is no failure where that cannot be done."""
    with contextlib.suppress(OSError):
        sync(folder)


REASONS: Mapping[int, str] = {code: "a file stands where a folder is needed" for code in (errno.EEXIST, errno.ENOTDIR)}
"""Meanings of error codes, where the system's own words do not say them."""
MENDS: Mapping[int, str] = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change the permissions of its folder, or choose another place"),
    errno.EROFS: "choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def write_error(path: Path, error: OSError) -> WriteError:
    """The error of a file that cannot be written, in one line with a fix."""
    code = error.errno or 0
    reason = REASONS.get(code) or reason_of(error)
    mend = MENDS.get(code, "free space or choose another place")
    return WriteError(f"{path}: cannot be written ({reason}); {mend}, nothing was changed there")


READ_MENDS: Mapping[int, str] = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "change its permissions or those of its folders"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), "give one that exists"),
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ELOOP: "give a file instead of a link to itself",
    **dict.fromkeys((errno.EINVAL, errno.EISDIR), "give a file"),
}


def unreadable(path: object, error: OSError) -> str:
    """The message of a file that cannot be read: one line with a fix."""
    mend = READ_MENDS.get(error.errno or 0, "check the file and its disk")
    return f"{error.filename or path}: cannot be read ({reason_of(error)}); {mend}"


def reason_of(error: OSError) -> str:
    """The system's words for an error, without the file's name."""
    return error.strerror or str(error) or type(error).__name__


NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Error codes of a path that leads to nothing."""


@contextlib.contextmanager
def readable(path: Path, kind: type[SparclError], plain: bool = False) -> Iterator[None]:
    """A block in which an OSError means that ``path`` cannot be read; it becomes an error of this kind.

    Args:
        path: a file or a folder.
        kind: the error.
        plain: look first whether it can be opened and is a file: a pipe or a device may never end.
    """
    try:
        if plain:
            check_plain(path)
        yield
    except OSError as error:
        raise kind(unreadable(path, error)) from error


def status_of(path: Path) -> os.stat_result | None:
    """Return the status of a path, None where there is nothing.

    Raises:
        OSError: it says neither; ``Path.exists`` and the like hide that from Python 3.14 on.
    """
    try:
        return path.stat()
    except ValueError:  # a name with a null character
        return None
    except OSError as error:
        if error.errno in NOWHERE:
            return None
        raise


def check_plain(path: Path) -> None:
    """Raise OSError for anything but a file that can be read; a pipe or a device is not opened."""
    if not stat.S_ISREG(path.stat().st_mode):
        code, reason = (
            (errno.EISDIR, "a folder") if path.is_dir() else (errno.EINVAL, "not a file but a device or pipe")
        )
        raise OSError(code, reason, str(path))
    with path.open("rb"):
        return
