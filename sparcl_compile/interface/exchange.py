"""Two names change places in one step, where the system can do that. A leaf module."""

import ctypes
import errno
import functools
import os
from collections.abc import Callable
from pathlib import Path

HERE, EXCHANGE = -100, 2
"""Of Linux: AT_FDCWD, relative to the current folder; and RENAME_EXCHANGE."""
UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM)
"""Codes by which a kernel, a file system or a sandbox says that it has no exchange."""


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders change their names; at no moment one of the names is free.

    Returns:
        False where the system has no such thing; nothing was changed then.

    Raises:
        OSError: the file system refuses.
    """
    call = _renameat2()
    if call is None:
        return False
    if call(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    """The C library's function, which Linux has since glibc 2.28, musl 1.2.5 and Android 11."""
    try:
        call: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)  # type: ignore[attr-defined]
    return call
