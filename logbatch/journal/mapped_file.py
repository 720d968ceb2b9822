"""A file mapped into memory, released without closing somebody else's descriptor.

Before Python 3.13 a mapping keeps a duplicate of the descriptor, and closes it by its number when
the mapping is closed.  An application may have closed that number and used it for a file of its
own; then the mapping is kept for ever.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
from collections.abc import Collection
from pathlib import Path

from logbatch.descriptors import OwnFile, above_streams
from logbatch.disk import enlarge, sync_file

_open: set[MappedFile] = set()


class MappedFile:
    """A mapping, and the one descriptor that stays open beside it and holds the file's lock.

    Args:
        descriptor: The file; it belongs to the mapping unless this raises.  -1 stands for memory.
        size: Bytes, from its start.
        others: Descriptors of the same file that are not this mapping's.
    """

    def __init__(self, descriptor: int, size: int, others: Collection[int] = ()) -> None:
        self._closed = False
        self._file: OwnFile | None = None
        self._closes_file = False  # whether the mapping closes it, by its number
        self._keep = False  # whether it would close a number that nobody knows
        self.map = _map(descriptor, size)
        if descriptor < 0:
            return
        self._file = OwnFile(descriptor)
        if sys.version_info < (3, 13):
            duplicate = _find_duplicate(self._file, {*others, descriptor})
            self._keep = duplicate < 0
            if not self._keep:
                self._closes_file = True
                self._file.number = duplicate
                os.close(descriptor)
        _open.add(self)  # the collector would close whatever the number means then

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self._file is not None and self._file.is_open():
            sync_file(self._file.number)
        else:
            self.map.flush()

    def read(self, start: int, stop: int) -> bytes:
        """Read from the file where that is open: if it was cut off, this returns less.

        Raises:
            ValueError: It was closed.
        """
        if self._file is not None and self._file.is_open():
            with contextlib.suppress(OSError):
                data = os.pread(self._file.number, stop - start, start)
                if self._file.is_open():  # else it was closed, and perhaps another was read
                    return data
        return self.map[start:stop]

    def size(self) -> int | None:
        """Return how large the file is; None where that is not known."""
        return None if self._file is None else self._file.size()

    def enlarged(self, size: int, others: Collection[int]) -> MappedFile:
        """Make the file larger, and return a mapping of all of it; this one stays.

        Args:
            size: Bytes it shall have.
            others: Descriptors of earlier mappings of it.

        Raises:
            OSError: That is not possible.
        """
        if self._file is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        number = os.dup(self._file.check())
        try:
            enlarge(number, size)
            return MappedFile(number, size, {*others, self.number})
        except BaseException:
            os.close(number)
            raise

    @property
    def number(self) -> int:
        """The descriptor; -1 where there is none."""
        return -1 if self._file is None else self._file.number

    def shrink(self, size: int) -> None:
        """Let the file be smaller.  Never touch the mapping behind that."""
        if self._file is not None and self._file.is_open():
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.number, size)

    def is_named(self, path: Path) -> bool:
        """Return whether the file still has this name."""
        return self._file is not None and self._file.is_named(path)

    def close(self) -> None:
        """Close the mapping and the descriptor."""
        if self._closed:
            return
        self._closed = True
        _open.discard(self)
        if self._file is not None and self._closes_file:
            self._keep = not self._file.is_open()
        elif self._file is not None:
            self._file.close()
        if self._keep:
            _keep_for_ever(self.map)
        else:
            self.map.close()


def _map(descriptor: int, size: int) -> mmap.mmap:
    if descriptor >= 0 and sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, size, trackfd=False)
    with above_streams():  # the mapping duplicates it
        return mmap.mmap(descriptor, size)


def _find_duplicate(file: OwnFile, others: Collection[int]) -> int:
    """Find the number under which a mapping has duplicated the descriptor; -1 if none is found."""
    probe = os.dup(file.number)  # takes the lowest free number, as the mapping's own did
    os.close(probe)
    near = range(probe, 2, -1)
    found = (number for number in near if number not in others and file.is_open_as(number))
    number = next(found, -1)
    return _search_all(file, others) if number < 0 else number


def _search_all(file: OwnFile, others: Collection[int]) -> int:
    """Look at every descriptor: another thread has opened or closed some meanwhile."""
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except OSError:
        return -1
    return next((n for n in numbers if n not in others and file.is_open_as(n)), -1)


def _keep_for_ever(mapping: mmap.mmap) -> None:
    """Add a reference that nothing takes away, not even the end of the interpreter."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(mapping))
