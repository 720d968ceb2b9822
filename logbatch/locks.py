"""Locks of files and folders: they end with the process, whichever way that ends (flock)."""

from __future__ import annotations

import contextlib
import errno
import sys

if sys.platform != "win32":
    import fcntl

# What a file system answers that has no locks.
_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


def lock(descriptor: int, *, shared: bool = False) -> bool | None:
    """Lock a file or a folder, without waiting.

    Args:
        descriptor: One of it.
        shared: Whether others may have the lock too, if they share it as well.

    Returns:
        Whether the lock is ours, or somebody else has it; None where there are no locks: on some
        network file systems, and on Windows.

    Raises:
        OSError: It failed otherwise.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def lock_file(descriptor: int) -> bool:
    """Lock a file, without waiting, and return whether the lock is ours.

    False means that somebody else has it, or that the file system has no locks.
    """
    try:
        return lock(descriptor) is True
    except OSError:
        return False


def unlock(descriptor: int) -> None:
    """Let go of a lock; closing is not enough, as a child that was forked meanwhile has it too."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
