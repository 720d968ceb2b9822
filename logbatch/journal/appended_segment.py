"""A segment that grows by writes: where files cannot be mapped, and for durability "power"."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from logbatch.descriptors import OwnFile
from logbatch.disk import sync_directory, sync_file
from logbatch.journal.segment import Write, copy_lines, new_file, read_part


class AppendedSegment:
    """A file that grows by writes; with `power`, each is on the disk when it returns.

    Each line has a place of its own before it is written, so one that is written from within
    another (by a signal handler) neither mixes with it nor follows half of it.

    Args:
        index: Its place in the journal.
        path: The file to create.
        size: The bytes it may take.
        lock: The journal's lock.
        power: Whether to wait for the disk, with each line.

    Raises:
        OSError: The file could not be created.
    """

    loose = True

    def __init__(
        self,
        index: int,
        path: Path,
        size: int,
        lock: threading.RLock,
        *,
        power: bool,
    ) -> None:
        self.index = index
        self.path: Path | None = path
        self.size = size
        self.first: int | None = None
        self._path = path
        self._power = power
        self._lock = lock
        self._next = 0  # where the next line goes
        self._end = 0  # behind the last line of which all before it are written
        self._cut: int | None = None  # where another program has cut off the file
        self._flying = 0  # lines that have a place and are not written yet, all by one thread
        self._shut = False
        self._released = False
        self.write: Write = self._write
        self.position: Callable[[], int] = self.end
        self._file = _create_file(path, power=power)

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
        size = os.fstat(number).st_size
        if size < self._end:
            self._cut = size
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        if os.pwrite(number, line, start) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._power:
            sync_file(number)

    def _blank(self, start: int, size: int) -> None:
        """Overwrite what may be half a line with blank lines; if that fails, nothing may follow."""
        if self._cut is None:
            with contextlib.suppress(OSError):
                if os.pwrite(self._file.check(), b"\n" * size, start) == size:
                    return
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
        return read_part(self._path, start, stop)

    def sync(self) -> None:
        if self._file.is_open():
            sync_file(self._file.number)

    def cut_off(self) -> int | None:
        size = self._file.size()
        if self._cut is None and size is not None and size < self._end:
            self._cut = size
        if self._cut is not None:
            self._shut = True
        return self._cut

    def shorten(self, end: int) -> None:
        self._next = self._end = self.size = end
        self._cut = None
        if self._file.is_open():
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.number, end)

    def copy_to(self, path: Path) -> None:
        copied, self._file = self._file, copy_lines(self, path)
        copied.close()

    def kept(self) -> bool:
        return self._file.is_named(self._path)

    def release(self) -> None:
        self._shut = self._released = True
        if not self._flying:
            self._file.close()

    def abandon(self) -> None:
        self._shut = True
        self._file.close()


def _create_file(path: Path, *, power: bool) -> OwnFile:
    with new_file(path) as file:
        if power:
            sync_directory(path.parent)
    return file
