"""Standard output and standard error, which may be closed, or take no other letters than ASCII.

It imports no library: every command begins with it, also those that show no colours.
"""

from __future__ import annotations

import errno
import os
import sys
from io import RawIOBase, TextIOWrapper
from typing import Any, TextIO


class _Dead(RawIOBase):
    """What stands for a stream that was closed before we began: it takes nothing."""

    def writable(self) -> bool:
        return True

    def write(self, _data: Any) -> int:
        raise OSError(errno.EBADF, "it is closed", "standard output")


def revive_streams() -> None:
    """Stand in for the standard streams that are closed, as by `>&-` in a shell.

    No file of ours gets the number of one.  Writing to standard output is an error, to standard
    error it is not: there is nobody to tell.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)  # the lowest free
    if sys.stdin is None:
        sys.stdin = os.fdopen(0)
    if sys.stdout is None:
        sys.stdout = TextIOWrapper(_Dead(), write_through=True)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def use_safe_streams() -> None:
    """Keep a character that the terminal's encoding lacks from raising: it is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def use_utf8() -> None:
    """Write UTF-8 to standard output whatever the locale says: what programs read is in it."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def discard(stream: TextIO) -> None:
    """Send what a stream did not take nowhere, so that nobody complains.

    Python would try once more as it ends, and make the exit code 120.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def finish_streams() -> None:
    """Write what is buffered; where a stream takes nothing, that was told before if it can be."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream)
