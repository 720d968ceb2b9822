"""A segment whose lines are copied into mapped memory: the fastest form, and lock-free.

A line is copied in by one call that also moves the end (`mmap.write`), so it needs no lock, cannot
be interrupted half way by a signal handler or the collector, and belongs to the kernel when it
returns.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from logbatch.descriptors import OwnFile
from logbatch.disk import allocate, create_file
from logbatch.journal.mapped_file import MappedFile
from logbatch.journal.segment import Write, copy_lines
from logbatch.locks import lock_file

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, Linux 5.14: touch pages as a write would
_SLICE = 1 << 18  # bytes touched in one go while the interpreter lock is held
_LOCKLESS = getattr(sys, "_is_gil_enabled", lambda: True)()


class CannotMapError(OSError):
    """The file system takes files, but cannot allocate or map them."""


class MappedSegment:
    """A preallocated, mapped file; or, without a path, memory.

    Args:
        index: Its place in the journal.
        path: The file to create; None for memory.
        size: Bytes, a multiple of 4096.
        lock: The journal's lock.

    Raises:
        CannotMapError: The file could be created, but not mapped.
        OSError: The file could not be created, or there is no room for it.
    """

    def __init__(self, index: int, path: Path | None, size: int, lock: threading.RLock) -> None:
        self.index = index
        self.path = path
        self.size = size
        self.first: int | None = None
        self.loose = False
        self._end: int | None = None
        self._lock = lock
        self._copied: OwnFile | None = None  # where its lines are found instead
        self._outgrown: list[MappedFile] = []
        self._mapping = _map_new_file(path, size) if path else MappedFile(-1, size)
        self._map = self._mapping.map
        self.write: Write = self._map.write if _LOCKLESS else self._write_locked
        self.position: Callable[[], int] = self._map.tell

    def _write_locked(self, line: bytes) -> object:
        with self._lock:  # a free-threaded interpreter: `mmap.write` moves the end unguarded
            return self._map.write(line)

    def touch(self, pause: Callable[[], object]) -> None:
        """Have the kernel provide all pages, in slices, so that no caller waits for one."""
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
                reached = self._map.tell()
                self._map.seek(0, os.SEEK_END)  # from here on `write` raises
                self._end = self._end_behind(reached)

    def _end_behind(self, reached: int) -> int:
        """Return the end of what was written, which is not before an offset."""
        if reached == self.size:
            return self._content_end()
        while content := self.read(reached, min(reached + 4096, self.size)).partition(b"\0")[0]:
            reached += len(content)
        return reached

    def _content_end(self) -> int:
        stop = self.size
        while stop > 0:
            start = max(stop - 4096, 0)
            content = self.read(start, stop).rstrip(b"\0\n")
            if content:
                return min(start + len(content) + 1, self.size)  # a line ends with a newline
            stop = start
        return 0

    def read(self, start: int, stop: int) -> bytes:
        data = self._mapping.read(start, stop)
        if len(data) < stop - start:  # somebody has cut it off
            self.loose = True
            data = data[: data.rfind(b"\n") + 1].ljust(stop - start, b"\n")
        return data

    def cut_off(self) -> int | None:
        size = self._mapping.size()
        if size is None or size >= self.size or self._copied is not None:
            return None
        with self._lock:
            self._map.seek(0, os.SEEK_END)  # from here on `write` raises
        return size

    def shorten(self, end: int) -> None:
        self.loose = True
        self._end = self.size = end
        self._mapping.shrink(end)

    def sync(self) -> None:
        if self.path is not None and self._copied is None:
            self._mapping.sync()

    def grow(self, size: int) -> None:
        """Make the file larger, so that more lines fit in.

        Raises:
            OSError: That is not possible.
        """
        with self._lock:
            if self._end is not None:
                raise OSError(errno.EINVAL, "sealed")
            mapping = self._mapping.enlarged(size, [each.number for each in self._outgrown])
            self._map.seek(0, os.SEEK_END)  # from here on the old `write` raises
            mapping.map.seek(self._content_end())
            # Who holds a function of the old one may still call it, so it stays until the end.
            self._outgrown.append(self._mapping)
            self._mapping, self._map = mapping, mapping.map
            self.size = size
            self.write = self._map.write if _LOCKLESS else self._write_locked
            self.position = self._map.tell

    def copy_to(self, path: Path) -> None:
        copied, self._copied = self._copied, copy_lines(self, path)
        self.path = path
        if copied is not None:
            copied.close()

    def kept(self) -> bool:
        return self.path is not None and (self._copied or self._mapping).is_named(self.path)

    def release(self) -> None:
        for mapping in (*self._outgrown, self._mapping):
            mapping.close()
        if self._copied is not None:
            self._copied.close()

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
        if isinstance(error, OSError) and error.errno not in _NO_ROOM:
            raise CannotMapError(error.errno, error.strerror) from error
        raise
