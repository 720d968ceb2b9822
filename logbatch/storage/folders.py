"""Change what is in a day's folder, one change at a time, and exchange a whole folder for another.

Whoever changes names in a folder holds its lock, shared, for the moment of the change: to publish
a file, to rotate one, to put a merged file in the place of others.  Whoever exchanges the folder
holds it alone for that moment; so what was in it is known, and nothing comes in between.

The lock is one of the folder itself (flock of a descriptor of it): it ends with the process, and
leaves nothing behind.  After an exchange another folder has the name, with a lock of its own, so
whoever got a lock looks whether it still is that of the folder with this name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from logbatch.locks import lock, unlock

_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)
_WAIT = 0.002  # seconds between two tries
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class Busy(OSError):
    """A folder is being changed by another process, and that took too long."""

    def __init__(self, folder: Path) -> None:
        super().__init__(errno.EAGAIN, "another process is changing it", str(folder))


@contextlib.contextmanager
def changing(folder: Path, *, alone: bool = False, patience: float = 5.0) -> Iterator[bool]:
    """Hold the lock of a folder while names in it are changed.

    Args:
        folder: The folder, which is there.
        alone: Whether nobody else may change it meanwhile.
        patience: Seconds to wait for those who do.

    Yields:
        Whether there is a lock: some network file systems have none, nor has Windows.

    Raises:
        Busy: Others did not end in time.
        OSError: The folder is not there, or cannot be opened.
    """
    if sys.platform == "win32":
        yield False
        return
    deadline = time.monotonic() + patience
    while True:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            locked = _lock(descriptor, alone, folder, deadline)
            if locked is False or _is_named(descriptor, folder):
                yield locked
                return
        finally:
            unlock(descriptor)
            os.close(descriptor)


def _lock(descriptor: int, alone: bool, folder: Path, deadline: float) -> bool:
    """Lock; False where there are no locks."""
    while (locked := lock(descriptor, shared=not alone)) is False:
        if time.monotonic() >= deadline:
            raise Busy(folder)
        time.sleep(_WAIT)
    return locked is True


def _is_named(descriptor: int, folder: Path) -> bool:
    try:
        named = os.stat(folder)
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino)


# ------------------------------------------------------------------ exchanging


def exchange(one: Path, other: Path) -> bool:
    """Give two folders each other's names, at once; return whether this can be done here.

    Raises:
        OSError: It failed.
    """
    if sys.platform != "linux":
        return False
    import ctypes  # it takes long to import, and only this needs it

    rename: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one))
