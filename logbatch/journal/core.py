"""The queue of one process incarnation: lines go in, batches are read, what is settled goes away.

What it guarantees: when `append` returns, the line is in the kernel's hands and survives the death
of the process (with `power`, that of the machine; in memory, neither).  `append` may be called by
any number of threads and from within itself by a signal handler or the collector; it takes no lock
except to begin a new segment, and lines never mix.  When there is no room it raises `JournalFull`.

Who may call what: `append`, `count`, `pending`, `drop_oldest` anybody; `read`, `sending`,
`acknowledge`, `prepare` the one thread that delivers; `stop`, `close` and `abandon` the owner.

A record's sequence is its line number.  `_head` is how far lines were counted, `_tail` the first
line that is not settled; both only move forward.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import NamedTuple

from logbatch.identity import Ranges
from logbatch.journal.segment import AppendedSegment, MappedSegment, Segment
from logbatch.journal.state import SUPPORTED, Position, Slot, StateFile

SMALLEST, LARGEST = 1 << 20, 1 << 24  # bytes of a segment: the first, and what doubling ends at
MEMORY_LIMIT = 1 << 26  # bytes that may wait in memory while a journal file cannot be had
_CHUNK = 1 << 16  # bytes copied and counted in one go while the interpreter lock is held
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)

Trouble = Callable[[str, str], object]


class JournalFull(Exception):
    """There is no room; the argument is the reason, in a word."""


class JournalStopped(Exception):
    """The journal takes no more lines; a new one must be begun."""


class Lines(NamedTuple):
    """Consecutive lines of a journal."""

    first: int
    last: int
    data: bytes


def state_path(directory: Path, producer: str) -> Path:
    """Where the state of a producer's journal is kept."""
    return directory / f"{producer}.state"


def segment_path(directory: Path, producer: str, index: int) -> Path:
    """Where a segment of a producer's journal is kept."""
    return directory / f"{producer}-{index}.journal"


class Journal:
    """The journal of one producer.

    Args:
        directory: Where its files go; None keeps it in memory.
        producer: The id of the process incarnation.
        power: Whether each line must be on the disk before `append` returns.
        max_bytes: The most all segments together may take.
        on_trouble: Told (kind, text) when a file cannot be had; it must not raise.
        on_segment: Called, by the thread that appends, when a new segment was begun.
    """

    def __init__(
        self,
        directory: Path | None,
        producer: str,
        *,
        power: bool = False,
        max_bytes: int = 1 << 30,
        on_trouble: Trouble = lambda kind, text: None,
        on_segment: Callable[[], object] = lambda: None,
    ) -> None:
        self.producer = producer
        self.directory = directory if SUPPORTED else None
        self.dropped = Ranges()
        self._power = power
        self._max_bytes = max_bytes
        self._on_trouble = on_trouble
        self._said: set[str] = set()
        self._on_segment = on_segment
        self._lock = threading.RLock()  # the set of segments
        self._counting = threading.RLock()  # the head
        self._segments: dict[int, Segment] = {}
        self._spare: deque[MappedSegment] = deque()
        self._indexes = count()
        self._state: StateFile | None = None
        self._stopped = False
        self._head = self._tail = self._sending = self._following = Position()
        self._marks: dict[int, Position] = {}
        self._write: Callable[[bytes], object] = self._no_segment
        # The offset behind the newest line in the segment that is written to; cheap to call.
        self.position: Callable[[], int] = lambda: 0
        if directory is not None and not SUPPORTED:
            self._say("journal files need Linux or macOS; events wait in memory")

    @classmethod
    def resume(
        cls, directory: Path, producer: str, state: StateFile, segments: Iterable[Segment]
    ) -> Journal:
        """Make a journal, to be read only, of what a process that died left behind."""
        journal = cls(directory, producer)
        journal._stopped = True
        journal._state = state
        journal._segments = {segment.index: segment for segment in segments}
        journal._tail = journal._head = state.slot.settled
        journal._sending = state.slot.sending
        following = journal._segments.get(state.slot.following.segment)
        if following is not None and state.slot.following.segment > journal._tail.segment:
            following.first = state.slot.following.sequence
        return journal

    # ------------------------------------------------------------------ lines in

    def append(self, line: bytes) -> None:
        """Take a line, newline and all.

        Raises:
            JournalFull: There is no room.
            JournalStopped: The journal was stopped.
        """
        while True:
            write = self._write
            try:
                write(line)
                return
            except ValueError:
                self._begin_segment(write, len(line))

    @staticmethod
    def _no_segment(line: bytes) -> object:
        raise ValueError("no segment yet")

    def _begin_segment(self, refused: Callable[[bytes], object], need: int) -> None:
        # May be entered again from within itself.  What counts is decided by single steps: the
        # store into `_segments`, of which the highest index is the one written to.
        with self._lock:
            if self._stopped:
                raise JournalStopped
            if self._write is not refused:
                return  # another thread was first
            current = self._current()
            if current is None or current.write is refused or current.sealed:
                segment = self._take_spare(need) or self._create(need)
                self._segments[segment.index] = segment
            current = self._segments[max(self._segments)]
            self._write = current.write
            self.position = current.position
            self._seal_all_but(current)
        self._on_segment()

    def _current(self) -> Segment | None:
        return self._segments[max(self._segments)] if self._segments else None

    def _seal_all_but(self, current: Segment | None) -> None:
        for segment in list(self._segments.values()):
            if segment is not current:
                segment.seal()

    def _take_spare(self, need: int) -> MappedSegment | None:
        try:
            spare = self._spare.popleft()
        except IndexError:
            return None
        newest = max(self._segments, default=-1)
        room = self._bytes() + spare.size <= self._max_bytes
        if spare.size >= need and spare.index > newest and room:
            return spare
        _discard(spare)
        return None

    def _bytes(self) -> int:
        return sum(segment.size for segment in list(self._segments.values()))

    def _next_size(self, need: int) -> int:
        grown = min(LARGEST, SMALLEST << min(max(self._segments, default=-1) + 1, 8))
        fitting = max(min(grown, self._max_bytes // 4), need)
        return -(-fitting // 4096) * 4096

    def _create(self, need: int) -> Segment:
        size = self._next_size(need)
        if self._segments and self._bytes() + size > self._max_bytes:
            raise JournalFull("journal full")
        if self.directory is not None:
            try:
                return self._create_file(size)
            except OSError as error:
                self._say(f"no journal file can be had ({error.strerror}); events wait in memory")
        return self._create_memory(size)

    def _create_file(self, size: int) -> Segment:
        path = self._new_path()
        if not self._power:
            try:
                return MappedSegment(self._index_of(path), path, size)
            except OSError as error:
                if error.errno in _FULL:
                    raise
                self._say(f"the file system cannot map ({error.strerror}); using appends")
                path = self._new_path()
        return AppendedSegment(self._index_of(path), path, size, power=self._power)

    def _new_path(self) -> Path:
        if self.directory is None:
            raise OSError(errno.ENOENT, "no directory")
        if self._state is None:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._state = StateFile.create(state_path(self.directory, self.producer))
        return segment_path(self.directory, self.producer, next(self._indexes))

    @staticmethod
    def _index_of(path: Path) -> int:
        return int(path.stem.rpartition("-")[2])

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._on_trouble("journal", text)

    def _create_memory(self, size: int) -> Segment:
        waiting = sum(s.size for s in list(self._segments.values()) if s.path is None)
        if self.directory is not None and waiting + size > MEMORY_LIMIT:
            raise JournalFull("no journal file")
        return MappedSegment(next(self._indexes), None, size)

    def prepare(self, pause: Callable[[], object]) -> None:
        """Have a segment ready when the current one is half full, so that no caller makes it."""
        current = self._current()
        if self._spare or self._power or self._stopped or current is None:
            return
        if current.end() * 2 < current.size or current.path is None:
            return
        size = self._next_size(0)
        if self._bytes() + size > self._max_bytes:
            return
        try:
            path = self._new_path()
            spare = MappedSegment(self._index_of(path), path, size)
        except OSError:
            return  # whoever needs the segment will try, and say what is wrong
        spare.touch(pause)
        self._spare.append(spare)

    def drop_oldest(self) -> tuple[int, int] | None:
        """Drop the oldest segment of which nothing is being sent.

        Returns:
            The first and last sequence dropped; None where there is no such segment.
        """
        with self._lock:
            self.count()
            for index in sorted(self._segments):
                segment = self._segments[index]
                following = self._after(index)
                if index > self._tail.segment and segment.sealed and following is not None:
                    first, last = segment.first, self._segments[following].first
                    if first is None or last is None:
                        return None
                    self._following = Position(following, 0, last)
                    self._write_slot()
                    self._forget(index)
                    if last > first:
                        self.dropped.add(first, last - 1)
                        return first, last - 1
        return None

    # ------------------------------------------------------------------ counting

    def count(self) -> int:
        """Return how many lines came in so far: the sequence of the next one."""
        with self._counting:
            while True:
                segment = self._segments.get(self._head.segment)
                sealed = segment is None or segment.sealed
                if segment is not None:
                    self._count_in(segment)
                following = self._after(self._head.segment)
                if not sealed or following is None:
                    return self._head.sequence
                self._enter(following)

    def _count_in(self, segment: Segment) -> None:
        if segment.first is None:
            segment.first = self._head.sequence
        offset, stop = self._head.offset, segment.end()
        while offset < stop:
            chunk = _whole_lines(segment, offset, stop)
            offset += len(chunk)
            self._head = Position(
                segment.index, offset, self._head.sequence + _count(chunk, segment.loose)
            )

    def _enter(self, index: int) -> None:
        known = self._segments[index].first  # where segments before it were dropped
        self._head = Position(index, 0, self._head.sequence if known is None else known)

    def _after(self, index: int) -> int | None:
        return min((other for other in list(self._segments) if other > index), default=None)

    @property
    def settled(self) -> int:
        """The sequence of the first line that is not settled."""
        return self._tail.sequence

    def count_and_pending(self) -> tuple[int, int]:
        """Return how many lines came in, and how many are neither acknowledged nor dropped."""
        tail = self._tail.sequence
        head = self.count()
        waiting = self.dropped.missing(tail, head - 1)
        return head, sum(last - first + 1 for first, last in waiting)

    def pending(self) -> int:
        """Return how many lines are neither acknowledged nor dropped."""
        return self.count_and_pending()[1]

    @property
    def begun(self) -> bool:
        """Whether a line ever came in."""
        return bool(self._segments) or self._head.sequence > 0

    def pending_bytes(self) -> int:
        """Return how many bytes wait, nearly."""
        tail = self._tail
        return sum(
            segment.end() - (tail.offset if segment.index == tail.segment else 0)
            for segment in list(self._segments.values())
            if segment.index >= tail.segment
        )

    # ------------------------------------------------------------------ lines out

    def read(self, first: int, max_bytes: int, max_lines: int = 1 << 62) -> Lines | None:
        """Read consecutive lines, at least one if there is one, all from one segment.

        Args:
            first: Sequence to begin with, not before the first unsettled one.
            max_bytes: Stop before this is passed; a single longer line is read all the same.
            max_lines: Stop after so many.

        Returns:
            The lines; None where nothing is there (yet).
        """
        self._leave_finished_segments()
        position = self._locate(first)
        segment = self._segments.get(position.segment)
        if segment is None:
            return None
        stop = self._batch_boundary(position, segment)
        pieces, lines, offset, room = [], 0, position.offset, max_bytes
        while offset < stop and lines < max_lines and (room > 0 or not lines):
            chunk = _whole_lines(segment, offset, stop)
            chunk = _cut_lines(_cut_bytes(chunk, room, must=not lines), max_lines - lines)
            if not chunk:
                break
            pieces.append(chunk)
            lines += _count(chunk, segment.loose)
            offset += len(chunk)
            room -= len(chunk)
        if not lines:
            return None
        data = b"".join(pieces)
        self._marks = {
            position.sequence: position,
            position.sequence + lines: Position(segment.index, offset, position.sequence + lines),
        }
        data = _without_blanks(data) if segment.loose else data
        return Lines(position.sequence, position.sequence + lines - 1, data)

    def _batch_boundary(self, position: Position, segment: Segment) -> int:
        """Where to stop: a batch that a process died sending is cut as it was."""
        sending = self._sending
        if sending.segment == segment.index and position.offset < sending.offset:
            return min(segment.end(), sending.offset)
        return segment.end()

    def _leave_finished_segments(self) -> None:
        while True:
            segment = self._segments.get(self._tail.segment)
            if segment is not None and not (segment.sealed and self._tail.offset >= segment.end()):
                return
            with self._lock:
                following = self._after(self._tail.segment)
                if following is None:
                    return
                entered = self._segments[following]
                known = entered.first
                sequence = self._tail.sequence if known is None else known
                entered.first = sequence
                self._tail = Position(following, 0, sequence)
                self._marks = {}
                self._write_slot()
                self._forget_before(following)

    def _locate(self, sequence: int) -> Position:
        start = self._marks.get(sequence, self._tail)
        segment = self._segments.get(start.segment)
        if segment is None or start.sequence == sequence:
            return start
        offset, at, stop = start.offset, start.sequence, segment.end()
        while at < sequence and offset < stop:
            chunk = _cut_lines(_whole_lines(segment, offset, stop), sequence - at)
            offset += len(chunk)
            at += _count(chunk, segment.loose)
        return Position(segment.index, offset, at)

    def sending(self, last: int) -> None:
        """Note, before a batch is sent, that it ends with `last`; on the disk when it returns."""
        self._sending = self._locate(last + 1)
        self._write_slot()
        if self._state is not None:
            self._state.sync()

    def acknowledge(self, last: int) -> None:
        """Settle everything up to `last`, included, and remove what is wholly settled."""
        self.count()  # the head must not be left behind in a segment that goes away
        position = self._locate(last + 1)
        self._marks = {position.sequence: position}
        self._tail = position
        self._write_slot()
        self._leave_finished_segments()

    def _write_slot(self, *, closed: bool = False) -> None:
        with self._lock:
            self._sending = max(self._sending, self._tail)
            if self._state is not None:
                self._state.write(Slot(0, self._tail, self._sending, self._following, closed))

    def _forget_before(self, index: int) -> None:
        for other in [other for other in list(self._segments) if other < index]:
            self._forget(other)

    def _forget(self, index: int) -> None:
        _discard(self._segments.pop(index))

    # ------------------------------------------------------------------ the end

    def stop(self) -> None:
        """Take no more lines; what is in stays to be read."""
        with self._lock:
            self._stopped = True
            self._seal_all_but(None)
            while self._spare:
                _discard(self._spare.popleft())

    def close(self) -> bool:
        """Stop, and remove the files if everything is settled; else leave them to be adopted.

        Returns:
            Whether everything was settled.
        """
        self.stop()
        done = self.pending() == 0
        with self._lock:
            if done:
                self._forget_before(1 << 62)
            elif self._state is not None:
                self._write_slot(closed=True)
            self._release()
            if self._state is not None:
                self._state.close(remove=done)
                self._state = None
        return done

    def abandon(self) -> None:
        """Let go of everything without a word, in a forked child: it is the parent's."""
        self._stopped = True
        self._write = self._no_segment
        self._lock, self._counting = threading.RLock(), threading.RLock()
        self._release()
        if self._state is not None:
            self._state.close(remove=False)
            self._state = None

    def _release(self) -> None:
        for segment in [*self._segments.values(), *self._spare]:
            segment.release()
        self._spare.clear()


def _discard(segment: Segment) -> None:
    if segment.path is not None:
        segment.path.unlink(missing_ok=True)
    segment.release()


def _whole_lines(segment: Segment, start: int, stop: int) -> bytes:
    """Read about `_CHUNK` bytes, ending with a line; `stop` is the end of a line."""
    length = _CHUNK
    while True:
        chunk = segment.read(start, min(start + length, stop))
        whole = chunk.rfind(b"\n") + 1
        if whole or start + length >= stop:
            return chunk[:whole] if whole else chunk
        length *= 4


def _count(chunk: bytes, loose: bool) -> int:
    if loose and (chunk.startswith(b"\n") or b"\n\n" in chunk):
        return sum(map(bool, chunk.split(b"\n")))
    return chunk.count(b"\n")


def _without_blanks(data: bytes) -> bytes:
    if data.startswith(b"\n") or b"\n\n" in data:
        return b"".join(line + b"\n" for line in data.split(b"\n") if line)
    return data


def _cut_bytes(chunk: bytes, room: int, *, must: bool) -> bytes:
    if len(chunk) <= room:
        return chunk
    whole = chunk.rfind(b"\n", 0, max(room, 0)) + 1
    if not whole and must:
        whole = chunk.find(b"\n") + 1
    return chunk[:whole]


def _cut_lines(chunk: bytes, most: int) -> bytes:
    """Cut behind the `most`-th line that is not blank."""
    if chunk.count(b"\n") <= most:
        return chunk
    end = 0
    while most > 0:
        stop = chunk.find(b"\n", end) + 1
        if not stop:
            return chunk
        most -= stop - end > 1
        end = stop
    return chunk[:end]
