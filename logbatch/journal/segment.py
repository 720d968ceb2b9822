"""What a segment of a journal is: one file, or one piece of memory.

It comes in three forms: `MappedSegment`, `AppendedSegment` and, left by a process that died,
`OrphanSegment`.  A segment holds nothing but lines.  A mapped one is filled up with NUL, which no
line contains; what has no newline, or a NUL inside, was half copied when the process died and is
not a line.

Where a lock is needed it is the journal's own: with a second one, a thread that holds the first
could wait for the second, whose holder waits for the first in a signal handler.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from logbatch.descriptors import OwnFile
from logbatch.disk import create_file, open_file, sync_file, write_all
from logbatch.locks import lock_file

Write = Callable[[bytes], object]


class Segment(Protocol):
    """What the journal asks of a segment.

    Attributes:
        index: Its place among the segments of its journal.
        path: Its file; None for memory.
        size: The bytes it takes, or may take.
        first: Sequence of its first line, once that is known.
        write: Append a line, or raise ValueError where there is no room or it is sealed.
        position: Return about the offset behind the last line, as fast as possible, or raise
            ValueError where the segment was released.
        loose: Whether blank lines may stand between the lines.
    """

    index: int
    path: Path | None
    size: int
    first: int | None
    write: Write
    position: Callable[[], int]
    loose: bool

    @property
    def sealed(self) -> bool:
        """Whether no further line can be written."""

    def end(self) -> int:
        """Return the offset behind the last line."""

    def seal(self) -> None:
        """Refuse further lines.  It may be called again, also from within itself."""

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`."""

    def sync(self) -> None:
        """Wait until what was written is on the disk."""

    def copy_to(self, path: Path) -> None:
        """Write its lines to a new file, which is its own from now on; it must be sealed.

        Raises:
            OSError: That is not possible.
        """

    def cut_off(self) -> int | None:
        """Return the size of the file if another program has cut it off, else None.

        Then it takes no more lines, and `shorten` must be called.
        """

    def shorten(self, end: int) -> None:
        """Let it end here, which is behind its last line that is whole."""

    def kept(self) -> bool:
        """Return whether its lines are in a file that a later process finds."""

    def release(self) -> None:
        """Release memory and descriptors; the file stays."""

    def abandon(self) -> None:
        """Release them in a forked child, where no line is being written any more."""


def read_part(path: Path, start: int, stop: int) -> bytes:
    """Read from a file; what somebody has cut off is returned as blank lines."""
    try:
        with open(open_file(path), "rb", buffering=0) as file:
            data = os.pread(file.fileno(), stop - start, start)
    except FileNotFoundError:
        data = b""
    if len(data) < stop - start:
        data = data[: data.rfind(b"\n") + 1].ljust(stop - start, b"\n")
    return data


def copy_lines(segment: Segment, path: Path) -> OwnFile:
    """Write the lines of a segment to a new file, which stays open and locked.

    Raises:
        OSError: That is not possible; then nothing is left behind.
    """
    with new_file(path) as file:
        write_all(file.number, segment.read(0, segment.end()))
        sync_file(file.number)
    return file


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[OwnFile]:
    """Create a file and lock it; it stays open, and goes if the block fails.

    Raises:
        OSError: That is not possible; then nothing is left behind.
    """
    file = OwnFile(create_file(path))
    try:
        lock_file(file.number)
        yield file
    except BaseException:
        file.close()
        path.unlink(missing_ok=True)
        raise


def discard(segment: Segment) -> None:
    """Remove a segment's file, if that is possible, and release the segment."""
    if segment.path is not None:
        with contextlib.suppress(OSError):
            segment.path.unlink(missing_ok=True)
    segment.release()
