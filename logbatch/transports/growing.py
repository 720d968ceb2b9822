"""A JSON Lines file that grows: what is appended is there whole and safe, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from logbatch.descriptors import OwnFile
from logbatch.disk import create_file, sync_file, write_all
from logbatch.locks import lock_file
from logbatch.storage.line import salvage
from logbatch.transports.base import Batch

_BLOCK = 1 << 18  # bytes of lines that are worked on in one go: the processor's cache holds them
_GROUP = 8  # blocks that are written in one go: each call may cost us the interpreter lock
_TAIL = 80  # bytes that producer and sequence take in a line, at the most
_ENDINGS = [b"%03d}\n" % number for number in range(1000)]


class GrowingFile:
    """A file that this process appends to, and has a lock on.

    It holds the records `first..next - 1` in `size` bytes; all that is safe on the disk.  Where a
    failed write could not be taken back, it is not `sound` and may hold more.  It was opened and
    used last at `opened` and `used`, by a clock that only goes forward, and at `changed` by the one
    that can be set.

    Args:
        path: Where it is created.
        producer: Whose records it holds.
        first: Sequence of the first one.
        now: Seconds, by a clock that only goes forward.

    Raises:
        OSError: It cannot be created, or it is there already.
    """

    def __init__(self, path: Path, producer: str, first: int, now: float) -> None:
        self.path = path
        self.producer = producer
        self.first = self.next = first
        self.opened = self.used = now
        self.changed = 0.0
        self.size = 0
        self.sound = True
        self._file = OwnFile(create_file(path, append=True))
        lock_file(self._file.number)  # some file systems have no locks

    def is_open(self) -> bool:
        """Return whether it is still open: an application may close any descriptor."""
        return self._file.is_open()

    def is_named(self) -> bool:
        """Return whether it still has its name: anybody may remove it."""
        return self._file.is_named(self.path)

    def append(self, batch: Batch, now: float) -> None:
        """Append a batch and bring it to the disk.

        Raises:
            SyncError: It may not have reached the disk, and must not be tried on this file again.
            OSError: It could not be written; the file is as it was, if it is still sound.
        """
        self.sound = False  # until all of it is there, or nothing is
        descriptor = self._file.number
        try:
            blocks = _number(batch)
            while group := list(islice(blocks, _GROUP)):
                _write(descriptor, group)
        except BaseException:
            with contextlib.suppress(OSError):
                self.take_back()
            raise
        sync_file(descriptor)
        self.size = os.fstat(descriptor).st_size
        self.next = batch.last + 1
        self.used = now
        self.sound = True

    def take_back(self) -> None:
        """Remove what a failed write left at the end.

        Raises:
            OSError: That is not possible either.
        """
        os.ftruncate(self._file.number, self.size)
        self.sound = True

    def close(self) -> None:
        """Close it, unless it is closed already."""
        self._file.close()


def measure(batch: Batch) -> int:
    """Return about how many bytes a batch will take."""
    return len(batch.lines) + _TAIL * len(batch)


def _write(descriptor: int, blocks: list[bytes]) -> None:
    written = os.writev(descriptor, blocks)
    if written < sum(map(len, blocks)):
        write_all(descriptor, memoryview(b"".join(blocks))[written:])


def _number(batch: Batch) -> Iterator[bytes]:
    """Add producer and sequence at the end of each line; yield blocks of lines.

    Raises:
        ValueError: There are more lines, or fewer, than the batch says.
    """
    mark = b',"producer":"%b","sequence":' % batch.producer.encode()
    lines, sequence, at = batch.lines, batch.first, 0
    while at < len(lines):
        end = lines.find(b"\n", at + _BLOCK) + 1 or len(lines)
        opened = _open_lines(lines[at:end], batch.producer)
        pieces = [b""] * (2 * len(opened))
        pieces[::2] = opened
        pieces[1::2] = _make_tails(mark, sequence, len(opened))
        yield b"".join(pieces)
        sequence += len(opened)
        at = end
    if sequence != batch.last + 1:
        raise ValueError(f"batch {batch.key} holds {sequence - batch.first} lines")


def _open_lines(block: bytes, producer: str) -> list[bytes]:
    """Return lines without their newlines and last braces; one that has none is made anew."""
    opened = block.split(b"}\n")
    if not opened.pop() and len(opened) == block.count(b"\n"):
        return opened
    lines = block.removesuffix(b"\n").split(b"\n")
    return [
        line[:-1] if line.endswith(b"}") else msgspec.json.encode(salvage(line, producer))[:-1]
        for line in lines
    ]


def _make_tails(mark: bytes, first: int, count: int) -> list[bytes]:
    """End so many lines; numbers that differ in their last three digits share what is before."""
    tails: list[bytes] = []
    while len(tails) < count:
        thousands, rest = divmod(first + len(tails), 1000)
        stop = min(rest + count - len(tails), 1000)
        if thousands:
            head = mark + b"%d" % thousands
            tails += [head + ending for ending in _ENDINGS[rest:stop]]
        else:
            tails += [mark + b"%d}\n" % number for number in range(rest, stop)]
    return tails
