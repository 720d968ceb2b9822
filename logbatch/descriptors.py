"""Descriptors of ours: which file one means, and what it must not be taken for.

An application may close them (a daemon closes all), and their numbers come to mean files of its
own: `OwnFile` looks before it uses or closes one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def above_streams() -> Iterator[None]:
    """Keep what is opened in the block from being taken for a standard stream that is closed.

    A daemon closes them.  What it prints afterwards must not go into a file of ours.
    """
    held: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
                held.append(number)
            os.close(number)
        yield
    finally:
        for number in held:
            os.close(number)


def _identify(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    # A reader of ours may have the same file open, under a number that once was the writer's.
    flags = 0 if sys.platform == "win32" else fcntl.fcntl(descriptor, fcntl.F_GETFL)
    return status.st_dev, status.st_ino, flags & getattr(os, "O_ACCMODE", 0)


Identity = tuple[int, int, int, int]


def identify(status: os.stat_result) -> Identity:
    """Return what tells a file from another one under the same name."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class OwnFile:
    """A descriptor of ours, and what tells it from another that has got its number.

    Args:
        number: The descriptor.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._identity = _identify(number)

    def is_open(self) -> bool:
        """Return whether the number still means our file."""
        return self.is_open_as(self.number)

    def is_open_as(self, number: int) -> bool:
        """Return whether another number means our file, opened as ours was."""
        try:
            return number >= 0 and _identify(number) == self._identity
        except OSError:
            return False

    def is_named(self, path: Path) -> bool:
        """Return whether our file still has this name: anybody may remove or replace it."""
        try:
            status = os.lstat(path)
        except PermissionError:  # we are another user by now: has it a name at all?
            return self.is_open() and os.fstat(self.number).st_nlink > 0
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity[:2]

    def size(self) -> int | None:
        """Return how large it is; None where it is not open any more."""
        return os.fstat(self.number).st_size if self.is_open() else None

    def owner(self) -> int | None:
        """Return the user whose file it is; None where it is not open any more."""
        return os.fstat(self.number).st_uid if self.is_open() else None

    def check(self) -> int:
        """Return the number.

        Raises:
            OSError: It does not mean our file any more.
        """
        if not self.is_open():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self.number

    def close(self) -> None:
        """Close the descriptor if it is still ours."""
        if self.is_open():
            with contextlib.suppress(OSError):
                os.close(self.number)
        self.number = -1
