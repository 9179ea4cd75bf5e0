"""Files and folders that appear whole or not at all. A leaf module, shared by the compiler and the runtime."""

import contextlib
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from sparcl_compile.interface.errors import FieldError, WriteError


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, sync it and rename it to ``path``.

    Raises:
        WriteError: the file system refuses (disk full, no permission); ``path`` is as it was before.
    """
    temporary = _temporary_beside(path)
    try:
        write(temporary)
        temporary.chmod(0o644)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _temporary_beside(path: Path) -> Path:
    """An empty file with a name of its own in the folder of ``path``, which is made if needed; raises WriteError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _write_error(path, error) from error
    return Path(name)


def check_name(path: Path, suffix: str, field: str) -> None:
    """Raise FieldError for a path that cannot be a file of this kind, before any work."""
    if path.is_symlink() and not path.exists():
        raise FieldError(field, path, "is a link to nowhere", "remove it or name another file")
    if path.is_dir():
        raise FieldError(field, path, "is a folder", f"name a file that ends in {suffix}")
    if path.suffix != suffix:
        raise FieldError(field, path, mend=f"name a file that ends in {suffix}")


def check_writable(path: Path) -> None:
    """Find out before long work whether ``path`` can be written after it; its folder is made if needed.

    Raises:
        WriteError: it cannot; ``path`` is as it was before.
    """
    if path.is_dir():
        raise WriteError(f"{path}: is a folder; name a file")
    _temporary_beside(path).unlink()


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed calls of ``write_atomically`` left beside ``path``."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; raises WriteError as ``write_atomically``."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@contextlib.contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its place when the block ends without an exception.

    Everything in it is synced first. A folder that stood at ``target`` is moved away, and removed only after the new
    one is in place.

    Raises:
        WriteError: the file system refuses; ``target`` is as it was before.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise _write_error(target, error) from error
    try:
        yield staging
        staging.chmod(0o755)
        for path in (*staging.rglob("*"), staging):
            sync(path)
        _swap(staging, target)
    except WriteError as error:  # the temporary folder's name says nothing to a user
        raise WriteError(str(error).replace(str(staging), str(target))) from error
    except OSError as error:
        raise _write_error(target, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, target: Path) -> None:
    if not target.exists():
        staging.replace(target)
        sync(target.parent)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    try:
        target.replace(old)
        try:
            staging.replace(target)
        except OSError:
            old.replace(target)
            raise
        sync(target.parent)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk: a rename may otherwise survive a power cut that its content does not."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(path: Path, error: OSError) -> WriteError:
    blocked = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "a file stands where a folder is needed" if blocked else error.strerror or str(error)
    return WriteError(f"{path}: cannot be written ({reason}); free space or choose another place, nothing was changed")
