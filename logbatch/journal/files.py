"""Files of a journal on the disk: private, locked, and never taken for another.

What is made here is made new (`O_EXCL`), for this user only, and links are not followed.  An
application may close our descriptors (a daemon closes all) and the numbers come to mean its own
files: `OwnFile` looks before it uses or closes one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from pathlib import Path

if sys.platform != "win32":
    import fcntl

STALE = 3600.0  # seconds after which nobody is still about to lock a file

_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | _PLAIN
_SLICE = 1 << 18


def state_path(directory: Path, producer: str) -> Path:
    """Where the state of a producer's journal is kept."""
    return directory / f"{producer}.state"


def segment_path(directory: Path, producer: str, index: int) -> Path:
    """Where a segment of a producer's journal is kept."""
    return directory / f"{producer}-{index}.journal"


def spare_path(directory: Path, producer: str) -> Path:
    """Where a segment is made ready before it has its place."""
    return directory / f"{producer}.spare"


def create_file(path: Path) -> int:
    """Create a private file that was not there, and return its descriptor."""
    return os.open(path, _NEW, 0o600)


def open_file(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a regular file that is there; a link, a pipe and the like are an OSError."""
    descriptor = os.open(path, flags | _PLAIN | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ELOOP, "not a regular file")
    return descriptor


def lock_file(descriptor: int) -> bool:
    """Take the lock of a file; tell whether we have it."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Tell whether somebody has the lock of a file."""
    try:
        descriptor = open_file(path)
    except OSError:
        return False
    try:
        return not lock_file(descriptor)
    finally:
        os.close(descriptor)


def is_left_over(path: Path) -> bool:
    """Return whether a temporary file was left by a process that died.

    Whoever makes one locks it.  One that is made at this moment may not be locked yet, so it must
    also be old; a time that lies ahead is as good, as the clock may have been set back.
    """
    try:
        descriptor = open_file(path)
    except OSError:
        return False
    try:
        age = abs(time.time() - os.fstat(descriptor).st_mtime)
        return age > STALE and lock_file(descriptor)
    finally:
        os.close(descriptor)


def _identify(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    # A reader of ours may have the same file open, under a number that once was the writer's.
    flags = 0 if sys.platform == "win32" else fcntl.fcntl(descriptor, fcntl.F_GETFL)
    return status.st_dev, status.st_ino, flags & getattr(os, "O_ACCMODE", 0)


class OwnFile:
    """A descriptor of ours, and what tells it from another that has got its number.

    Args:
        number: The descriptor.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.identity = _identify(number)

    def is_there(self) -> bool:
        """Tell whether the number still means our file."""
        return self.is_at(self.number)

    def is_at(self, number: int) -> bool:
        """Tell whether another number means our file, opened as ours was."""
        try:
            return number >= 0 and _identify(number) == self.identity
        except OSError:
            return False

    def check(self) -> int:
        """Return the number, or raise an OSError where it is not ours any more."""
        if not self.is_there():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self.number

    def close(self) -> None:
        """Close it, if it is ours to close."""
        if self.is_there():
            os.close(self.number)
        self.number = -1


def allocate(descriptor: int, size: int) -> None:
    """Reserve the blocks now: a mapping over blocks that are not there dies by SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    zeros = bytes(_SLICE)
    for start in range(0, size, _SLICE):
        if os.write(descriptor, zeros[: size - start]) < min(_SLICE, size - start):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sync_file(descriptor: int) -> None:
    """Wait until the content of a file is on the disk."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk; a system that cannot is let be."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def make_directory(directory: Path, *, sync: bool = False) -> None:
    """Make a private directory, and those above it; with `sync`, have the names on the disk."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        if directory == directory.parent:
            break
        directory = directory.parent
    for made in reversed(missing):
        with contextlib.suppress(FileExistsError):
            made.mkdir(mode=0o700)
        if sync:
            sync_directory(made.parent)
