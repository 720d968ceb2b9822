"""One file (or one piece of memory) of a journal, in three forms with one interface.

- `MappedSegment`: a preallocated file, mapped.  A line is copied in by one call that also moves
  the end (`mmap.write`), so it needs no lock, cannot be interrupted half way by a signal handler
  or the collector, and belongs to the kernel when it returns.  Made with no path it is anonymous
  memory: the same calls, lost with the process.
- `AppendedSegment`: plain appends, for file systems that cannot map, and for durability "power".
- `OrphanSegment`: what a process that died left behind, to be read only.

A segment holds nothing but lines.  A mapped one is filled up with NUL, which no line contains; a
piece without its newline, or with a NUL inside, was half copied when the process died and is not
a line.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, Linux 5.14: touch pages as a write would
_SLICE = 1 << 18  # bytes touched in one go while the interpreter lock is held
_LOCKLESS = getattr(sys, "_is_gil_enabled", lambda: True)()

Write = Callable[[bytes], object]


class Segment(Protocol):
    """What the journal asks of a segment.

    Attributes:
        index: Its place among the segments of its journal.
        path: Its file; None for memory.
        size: The bytes it may hold.
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

    def release(self) -> None:
        """Give up memory and descriptors; the file stays."""


def create_file(path: Path) -> int:
    """Create a private file that was not there, and return its descriptor."""
    return os.open(path, _NEW, 0o600)


def same_file(descriptor: int, identity: tuple[int, int]) -> bool:
    """Tell whether a descriptor still is the file we opened.

    An application that closes all descriptors (a daemon does) may have given the number to
    something else.
    """
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == identity


def _allocate(descriptor: int, size: int) -> None:
    """Reserve the blocks now: a mapping over blocks that are not there dies by SIGBUS."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    zeros = bytes(_SLICE)
    for start in range(0, size, _SLICE):
        if os.write(descriptor, zeros[: size - start]) < min(_SLICE, size - start):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Mapping:
    """A mapping that can be given up without closing somebody else's descriptor.

    Before Python 3.13 a mapping keeps a duplicate of the descriptor and closes it by number when
    it goes.  Where that number has come to mean another file, the mapping is kept for ever.
    """

    _kept: list[mmap.mmap] = []

    def __init__(self, descriptor: int, size: int) -> None:
        if descriptor < 0 or sys.version_info >= (3, 13):
            options = {} if descriptor < 0 else {"trackfd": False}
            self.map = mmap.mmap(descriptor, size, **options)  # type: ignore[arg-type]
            self._duplicate = -1
            return
        status = os.fstat(descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self.map = mmap.mmap(descriptor, size)
        self._duplicate = self._find_duplicate(descriptor)

    def _find_duplicate(self, descriptor: int) -> int:
        probe = os.dup(descriptor)  # takes the lowest free number, as the mapping's own did
        os.close(probe)
        for number in range(probe, 2, -1):
            if number != descriptor and same_file(number, self._identity):
                return number
        return -1

    def close(self) -> None:
        if self._duplicate >= 0 and not same_file(self._duplicate, self._identity):
            self._kept.append(self.map)
            return
        self.map.close()


class MappedSegment:
    """A preallocated, mapped file; or, without a path, memory."""

    loose = False

    def __init__(self, index: int, path: Path | None, size: int) -> None:
        self.index = index
        self.path = path
        self.size = size
        self.first: int | None = None
        self._end: int | None = None
        self._mapping = _map_new_file(path, size) if path else _Mapping(-1, size)
        self._map = self._mapping.map
        self._lock = threading.RLock()
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

    def release(self) -> None:
        self._mapping.close()


def _map_new_file(path: Path, size: int) -> _Mapping:
    descriptor = create_file(path)
    try:
        _allocate(descriptor, size)
        return _Mapping(descriptor, size)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


class AppendedSegment:
    """A file that grows by plain appends; with `power`, each is on the disk when it returns."""

    loose = True

    def __init__(self, index: int, path: Path, size: int, *, power: bool = False) -> None:
        self.index = index
        self.path: Path | None = path
        self.size = size
        self.first: int | None = None
        self._power = power
        self._descriptor = create_file(path)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._lock = threading.RLock()
        self._end = 0
        self._writing = False
        self._sealed = False
        self.write: Write = self._write
        self.position: Callable[[], int] = self.end
        if power:
            sync_directory(path.parent)

    def _write(self, line: bytes) -> None:
        with self._lock:
            if self._sealed or self._end + len(line) > self.size:
                raise ValueError("no room")
            # Called from within itself (a signal handler): the outer line may be torn.
            line = b"\n" + line if self._writing else line
            outer, self._writing = self._writing, True
            try:
                self._append(line)
            finally:
                self._writing = outer

    def _append(self, line: bytes) -> None:
        try:
            if not same_file(self._descriptor, self._identity):
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            start = os.lseek(self._descriptor, 0, os.SEEK_END)
            done = os.write(self._descriptor, line)
            if done == len(line) and self._power:
                os.fdatasync(self._descriptor)
        except OSError as error:
            self._sealed = True
            raise ValueError(str(error)) from error
        if done < len(line):
            self._sealed = True  # a full disk; the torn piece has no newline and is no line
            raise ValueError("short write")
        self._end = max(self._end, start + done)

    @property
    def sealed(self) -> bool:
        return self._sealed

    def end(self) -> int:
        return self._end

    def seal(self) -> None:
        with self._lock:
            self._sealed = True

    def read(self, start: int, stop: int) -> bytes:
        if not same_file(self._descriptor, self._identity) and self.path is not None:
            return self.path.read_bytes()[start:stop]
        return os.pread(self._descriptor, stop - start, start)

    def release(self) -> None:
        self._sealed = True
        if same_file(self._descriptor, self._identity):
            os.close(self._descriptor)


class OrphanSegment:
    """The lines that a process which died left in one file."""

    loose = True
    sealed = True

    def __init__(self, index: int, path: Path, end: int) -> None:
        self.index = index
        self.path: Path | None = path
        self.size = end
        self.first: int | None = None
        self._path = path

    def write(self, line: bytes) -> object:
        raise ValueError("the journal of a process that died takes no lines")

    def position(self) -> int:
        return self.size

    def end(self) -> int:
        return self.size

    def seal(self) -> None:
        return

    def read(self, start: int, stop: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def release(self) -> None:
        return


def sync_directory(directory: Path) -> None:
    """Have the names in a directory on the disk; a system that cannot is let be."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)
