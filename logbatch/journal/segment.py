"""One file (or one piece of memory) of a journal, in three forms with one interface.

- `MappedSegment`: a preallocated file, mapped.  A line is copied in by one call that also moves
  the end (`mmap.write`), so it needs no lock, cannot be interrupted half way by a signal handler
  or the collector, and belongs to the kernel when it returns.  Made with no path it is anonymous
  memory: the same calls, lost with the process.
- `AppendedSegment`: plain writes, for file systems that cannot map, and for durability "power".
- `OrphanSegment`: what a process that died left behind, to be read only.

A segment holds nothing but lines.  A mapped one is filled up with NUL, which no line contains; a
piece without its newline, or with a NUL inside, was half copied when the process died and is not
a line.

Where a lock is needed it is the journal's own, given by it: a second lock would be waited for by
one thread that holds the first while a signal handler, inside the second, waits for the first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from logbatch.disk import (
    OwnFile,
    allocate,
    create_file,
    lock_file,
    open_file,
    sync_directory,
    sync_file,
)
from logbatch.journal.mapped_file import MappedFile

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, Linux 5.14: touch pages as a write would
_SLICE = 1 << 18  # bytes touched in one go while the interpreter lock is held
_LOCKLESS = getattr(sys, "_is_gil_enabled", lambda: True)()

Write = Callable[[bytes], object]


class CannotMapError(OSError):
    """The file system takes files, but cannot allocate or map them."""


class Segment(Protocol):
    """What the journal asks of a segment.

    Attributes:
        index: Its place among the segments of its journal.
        path: Its file; None for memory.
        size: The bytes it takes, or may take.
        first: Sequence of its first line, once that is known.
        write: Append a line, or raise ValueError where there is no room or it is sealed.
        position: Return about the offset behind the last line, as fast as can be; a ValueError
            where the segment was released.
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
        """Whether no line can come any more."""

    def end(self) -> int:
        """Return the offset behind the last line."""

    def seal(self) -> None:
        """Let no more lines in.  It may be called again, also from within itself."""

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`."""

    def sync(self) -> None:
        """Wait until what was written is on the disk."""

    def release(self) -> None:
        """Give up memory and descriptors; the file stays."""

    def abandon(self) -> None:
        """Do so in a forked child, where nothing is being written any more."""


class MappedSegment:
    """A preallocated, mapped file; or, without a path, memory.

    Args:
        index: Its place in the journal.
        path: The file to make; None for memory.
        size: Bytes, a multiple of 4096.
        lock: The journal's lock.

    Raises:
        CannotMapError: The file could be made, but not mapped.
        OSError: The file could not be made, or there is no room for it.
    """

    loose = False

    def __init__(
        self, index: int, path: Path | None, size: int, lock: threading.RLock | None = None
    ) -> None:
        self.index = index
        self.path = path
        self.size = size
        self.first: int | None = None
        self._end: int | None = None
        self._lock = lock or threading.RLock()
        self._mapping = _map_new_file(path, size) if path else MappedFile(-1, size)
        self._map = self._mapping.map
        self.write: Write = self._map.write if _LOCKLESS else self._write_locked
        self.position: Callable[[], int] = self._map.tell

    def _write_locked(self, line: bytes) -> object:
        with self._lock:  # a free-threaded interpreter: `mmap.write` moves the end unguarded
            return self._map.write(line)

    def touch(self, pause: Callable[[], object]) -> None:
        """Have the kernel ready all pages, in slices, so that no caller waits for them."""
        for start in range(0, self.size, _SLICE):
            try:
                self._map.madvise(_POPULATE_WRITE, start, min(_SLICE, self.size - start))
            except (OSError, AttributeError, ValueError):
                return  # an older kernel or another system: the first write to a page does it
            pause()

    @property
    def sealed(self) -> bool:
        return self._end is not None

    def end(self) -> int:
        if self._end is not None:
            return self._end
        position = self._map.tell()
        # At the very end it is either filled to the last byte or being sealed at this moment.
        return position if position < self.size else self._content_end()

    def seal(self) -> None:
        with self._lock:
            if self._end is None:
                self._map.seek(0, os.SEEK_END)  # from here on `write` raises
                self._end = self._content_end()

    def _content_end(self) -> int:
        stop = self.size
        while stop > 0:
            start = max(stop - 4096, 0)
            content = self._map[start:stop].rstrip(b"\0")
            if content:
                return start + len(content)
            stop = start
        return 0

    def read(self, start: int, stop: int) -> bytes:
        return self._map[start:stop]

    def sync(self) -> None:
        if self.path is not None:
            self._mapping.sync()

    def release(self) -> None:
        self._mapping.close()

    def abandon(self) -> None:
        self.release()


def _map_new_file(path: Path, size: int) -> MappedFile:
    file = OwnFile(create_file(path))
    try:
        lock_file(file.number)
        allocate(file.number, size)
        return MappedFile(file.number, size)
    except BaseException as error:
        file.close()
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno not in NO_ROOM:
            raise CannotMapError(error.errno, error.strerror) from error
        raise


class AppendedSegment:
    """A file that grows by plain writes; with `power`, each is on the disk when it returns.

    Each line has a place of its own before it is written, so one that is written from within
    another (by a signal handler) neither mixes with it nor follows half of it.

    Args:
        index: Its place in the journal.
        path: The file to make.
        size: The bytes it may take.
        power: Whether to wait for the disk.
        lock: The journal's lock.

    Raises:
        OSError: The file could not be made.
    """

    loose = True

    def __init__(
        self,
        index: int,
        path: Path,
        size: int,
        *,
        power: bool = False,
        lock: threading.RLock | None = None,
    ) -> None:
        self.index = index
        self.path: Path | None = path
        self.size = size
        self.first: int | None = None
        self._path = path
        self._power = power
        self._lock = lock or threading.RLock()
        self._next = 0  # where the next line goes
        self._end = 0  # behind the last line of which all before it are written
        self._flying = 0  # lines that have a place and are not written yet, all by one thread
        self._shut = False
        self._released = False
        self.write: Write = self._write
        self.position: Callable[[], int] = self.end
        self._file = OwnFile(create_file(path))
        lock_file(self._file.number)
        if power:
            sync_directory(path.parent)

    def _write(self, line: bytes) -> None:
        size = len(line)
        with self._lock:
            if self._shut or self._next + size > self.size:
                raise ValueError("no room")
            # Nothing is called in these lines, so a signal handler cannot come between them.
            start = self._next
            self._next = start + size
            self._flying += 1
            try:
                self._put(line, start)
            except BaseException as error:
                self._blank(start, size)
                if isinstance(error, OSError):
                    raise ValueError(str(error)) from error
                raise
            finally:
                self._flying -= 1
                if not self._flying:
                    self._land()

    def _put(self, line: bytes, start: int) -> None:
        number = self._file.check()
        if os.pwrite(number, line, start) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._power:
            sync_file(number)

    def _blank(self, start: int, size: int) -> None:
        """Make a place that may hold half a line blank; where that fails, nothing may follow it."""
        try:
            if os.pwrite(self._file.check(), b"\n" * size, start) == size:
                return
        except OSError:
            pass
        self._shut = True
        if self._next == start + size:
            self._next = start

    def _land(self) -> None:
        self._end = self._next
        if self._released:
            self._file.close()

    @property
    def sealed(self) -> bool:
        return self._shut and not self._flying

    def end(self) -> int:
        return self._end

    def seal(self) -> None:
        with self._lock:
            self._shut = True
            self.size = self._next

    def read(self, start: int, stop: int) -> bytes:
        if self._file.is_open():
            data = os.pread(self._file.number, stop - start, start)
            if len(data) == stop - start:
                return data
        return _read_part(self._path, start, stop)

    def sync(self) -> None:
        if self._file.is_open():
            sync_file(self._file.number)

    def release(self) -> None:
        self._shut = self._released = True
        if not self._flying:
            self._file.close()

    def abandon(self) -> None:
        self._shut = True
        self._file.close()


class OrphanSegment:
    """The lines that a process which died left in one file."""

    loose = True
    sealed = True

    def __init__(self, index: int, path: Path, end: int) -> None:
        self.index = index
        self.path: Path | None = path
        self.size = end
        self.first: int | None = None
        self.write: Write = self._refuse
        self.position: Callable[[], int] = self.end
        self._path = path

    def _refuse(self, line: bytes) -> object:
        raise ValueError("the journal of a process that died takes no lines")

    def end(self) -> int:
        return self.size

    def seal(self) -> None:
        return

    def read(self, start: int, stop: int) -> bytes:
        return _read_part(self._path, start, stop)

    def sync(self) -> None:
        return

    def release(self) -> None:
        return

    def abandon(self) -> None:
        return


def _read_part(path: Path, start: int, stop: int) -> bytes:
    """Read from a file; lines that somebody has cut off read as blank ones."""
    try:
        with open(open_file(path), "rb", buffering=0) as file:
            data = os.pread(file.fileno(), stop - start, start)
    except FileNotFoundError:
        data = b""
    if len(data) < stop - start:
        data = data[: data.rfind(b"\n") + 1].ljust(stop - start, b"\n")
    return data


def discard(segment: Segment) -> None:
    """Remove a segment with its file; one that cannot be removed is let be."""
    if segment.path is not None:
        with contextlib.suppress(OSError):
            segment.path.unlink(missing_ok=True)
    segment.release()
