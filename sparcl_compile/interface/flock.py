"""The system's locks of files and folders (``flock``): each goes with the process that holds it. A leaf module."""

import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""Codes by which a file system says that it has no locks."""


def available() -> bool:
    """Whether the system has such locks at all."""
    return fcntl is not None


def take(handle: int, shared: bool = False) -> bool | None:
    """Lock an open file or folder without waiting.

    Returns:
        Whether it is locked now; None where there are no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in UNSUPPORTED else False
    return True


def is_at(path: Path, handle: int) -> bool:
    """Whether an open file still has its name: another process may have removed it meanwhile."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except OSError:
        return False
