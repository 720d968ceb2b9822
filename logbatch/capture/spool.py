"""The spool: what a child process printed, from when it is read until all have taken it.

It is the queue between who reads the child's output, which must never wait, and who makes events
and rows of it.  A piece is appended by one system call, so what was read survives the end of this
process; nothing is kept in memory, however far those who take it are behind.

A spool is a directory, named after its run, in which are

    owner        the process that fills it, as in a journal's state file, and locked by it; empty
                 when it has done what it could
    run.json     what is run (`capture/description.py`)
    notes        how far its output has become events, and how it ended (`capture/notes.py`)
    <position>   segments, each named by the position of its first byte, in 20 digits

A segment holds pieces, each behind a header (`_HEADER`).  A position counts the bytes of all
segments of the run.  A piece that was cut off by the end of the process counts as far as it goes.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from logbatch.capture.chunk import STREAMS, Chunk
from logbatch.capture.notes import create_notes
from logbatch.disk import create_file, is_left_over, make_directory, open_file
from logbatch.journal.owner import Owner
from logbatch.locks import lock_file

_HEADER = struct.Struct("<BIdQ")  # which stream, how long, when read, offset in the stream
_SEGMENT = 16 << 20  # bytes, but for the last piece
_OWNER = 1024  # bytes
_RUNS = "runs"
_UNFINISHED = ".new-"


def spool_directory(journals: Path, run_id: str) -> Path:
    """Return where the spool of a run is.

    Args:
        journals: The directory of journals of a destination.
        run_id: The run.
    """
    return journals / _RUNS / run_id


def find_spools(journals: Path) -> dict[str, Path]:
    """Return the spools of a destination, of living and of dead processes, by run."""
    try:
        paths = sorted((journals / _RUNS).iterdir())
    except OSError:
        return {}
    for path in paths:
        if path.name.startswith(_UNFINISHED) and is_left_over(path / "owner"):
            remove_spool(path)
    return {path.name: path for path in paths if not path.name.startswith(_UNFINISHED)}


class Spool:
    """What one process fills: of a run that begins.  It belongs to one thread.

    Args:
        directory: Which is created.
        describe: Writes into it what must be known of the run.

    Raises:
        OSError: It cannot be created.
    """

    def __init__(self, directory: Path, describe: Callable[[Path], object]) -> None:
        # Under its name only when it is locked, or another process would take it over.
        self.directory = directory.with_name(_UNFINISHED + directory.name)
        make_directory(self.directory)
        self._owner = create_file(self.directory / "owner")
        lock_file(self._owner)
        os.write(self._owner, Owner.this_process().render(_OWNER))
        self._offsets = dict.fromkeys(STREAMS, 0)
        self._segment = -1
        self._begun = 0  # position of the newest segment
        self.end = 0
        self._begin()
        create_notes(self.directory)
        describe(self.directory)
        os.rename(self.directory, directory)
        self.directory = directory

    def _begin(self) -> None:
        made = create_file(self.directory / f"{self.end:020}", append=True)
        if self._segment >= 0:
            os.close(self._segment)
        self._segment, self._begun = made, self.end

    def write(self, stream: str, data: bytes, now: float) -> None:
        """Append what was read of a stream.

        Args:
            stream: Which one.
            data: What was read.
            now: Seconds since the epoch.

        Raises:
            OSError: The disk does not take it; nothing of it is kept.
        """
        if self.end - self._begun >= _SEGMENT:
            self._begin()
        offset = self._offsets[stream]
        header = _HEADER.pack(STREAMS.index(stream), len(data), now, offset)
        whole = len(header) + len(data)
        written = os.writev(self._segment, (header, data))
        if written < whole:
            self._finish(header, data, written)
        self.end += whole
        self._offsets[stream] = offset + len(data)

    def _finish(self, header: bytes, data: bytes, written: int) -> None:
        """Append the rest of a piece; where there is no room for it, take away its beginning."""
        view = memoryview(header + data)[written:]
        try:
            while view:
                view = view[os.write(self._segment, view) :]
        except OSError:
            os.ftruncate(self._segment, self.end - self._begun)
            raise

    def close(self) -> None:
        """Let go of the files; they stay, and are nobody's, also while this process lives."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._owner, 0)
        os.close(self._segment)
        os.close(self._owner)


class SpoolReader:
    """Reads a spool, while it is filled or afterwards.  It belongs to one thread.

    Args:
        directory: Where the spool is.
        is_finished: Whether nobody fills it any more, so that a piece that is not whole is what
            the end of its process has left of it.
    """

    def __init__(self, directory: Path, *, is_finished: bool = False) -> None:
        self._directory = directory
        self._is_finished = is_finished
        self._files: dict[int, int] = {}  # descriptors by the position of the segment
        self._synced = 0
        for start in self._segments()[-1:]:
            self._open(start)

    def read(self, position: int, limit: int) -> list[Chunk]:
        """Return the pieces from a position on; none where there are no more, for now.

        Args:
            position: Where one begins.
            limit: How many bytes to read, about; a piece is returned whole.

        Raises:
            OSError: They cannot be read.
        """
        segments = self._segments()
        reached = [start for start in segments if start <= position]
        for start in reached[-1:] + segments[len(reached) :]:
            if chunks := list(self._parse(start, max(position - start, 0), limit)):
                return chunks
        return []

    def _parse(self, start: int, at: int, limit: int) -> Iterator[Chunk]:
        segment = self._open(start)
        size = os.fstat(segment).st_size - at
        block = os.pread(segment, max(min(limit, size), _HEADER.size), at)
        place = 0
        while place + _HEADER.size <= len(block):
            kind, length, now, offset = _HEADER.unpack_from(block, place)
            behind = place + _HEADER.size + length
            if behind > size and self._is_finished:
                behind = size
            if behind > len(block):
                if place or behind > size:
                    return
                block = os.pread(segment, behind, at)
            if kind >= len(STREAMS):
                return
            data = block[place + _HEADER.size : behind]
            yield Chunk(STREAMS[kind], now, offset, data, start + at + behind)
            place = behind

    def _segments(self) -> list[int]:
        """Return the positions of the segments; those that we have open, others may have removed.

        They are not lost then: we read them, and they are written to.
        """
        try:
            names = os.listdir(self._directory)
        except FileNotFoundError:
            names = []
        return sorted({int(name) for name in names if name.isdecimal()}.union(self._files))

    def _open(self, start: int) -> int:
        found = self._files.get(start)
        if found is None:
            found = self._files[start] = open_file(self._directory / f"{start:020}")
        return found

    def sync(self, position: int) -> None:
        """Bring what is there up to a position to the disk.

        Raises:
            OSError: The disk refuses it.
        """
        segments = self._segments()
        first = sum(start <= self._synced for start in segments) - 1
        for start in segments[max(first, 0) :]:
            os.fsync(self._open(start))
        self._synced = position

    def remove_before(self, position: int) -> None:
        """Remove the segments that end at a position or before it; never the newest."""
        segments = self._segments()
        for start, following in pairwise(segments):
            if following <= position:
                (self._directory / f"{start:020}").unlink(missing_ok=True)
                if (descriptor := self._files.pop(start, None)) is not None:
                    os.close(descriptor)

    def close(self) -> None:
        """Let go of the files; they stay."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}


# ------------------------------------------------------------------ the spools of the dead


@contextlib.contextmanager
def taking_over(directory: Path) -> Iterator[bool]:
    """Take over the spool of a process that has ended.

    Args:
        directory: Where the spool is.

    Yields:
        Whether it is ours; it is not where that process lives, or somebody else has taken it.
    """
    try:
        file = open_file(directory / "owner", os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        owner = Owner.parse(os.pread(file, _OWNER, 0))
        yield lock_file(file) and (owner is None or owner.gone())
    finally:
        os.close(file)


def read_owner(directory: Path) -> Owner | None:
    """Return the process that filled a spool; None where that is not known."""
    try:
        return Owner.parse((directory / "owner").read_bytes()[:_OWNER])
    except OSError:
        return None


def remove_spool(directory: Path) -> None:
    """Remove a spool of which all has been taken; its owner's file goes last."""
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(directory), key=lambda name: name == "owner"):
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()
