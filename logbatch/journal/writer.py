"""The way of lines into a journal: its segments, and the one that is written to."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from logbatch.disk import sync_directory
from logbatch.identity import Ranges
from logbatch.journal.maker import LARGEST, SMALLEST, Maker, whole_pages
from logbatch.journal.segment import Segment, discard
from logbatch.journal.state import SUPPORTED, Position, Slot

MEMORY_LIMIT = 1 << 26  # bytes that may wait in memory while a journal file cannot be had
WITHOUT_LIMIT = 1 << 62

Trouble = Callable[[str, str], object]


class JournalFull(Exception):
    """There is no room; the argument is the reason, in a word."""


class JournalStopped(Exception):
    """The journal takes no more lines; a new one must be begun."""


class Writer:
    """Takes lines; all but the way out of a `Journal`, which see."""

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
        self.lock = threading.RLock()
        self._max_bytes = max_bytes
        self._on_trouble = on_trouble
        self._on_segment = on_segment
        self._said: set[str] = set()
        self._to_say: deque[str] = deque()
        self._maker = Maker(
            self.directory, producer, self.lock, power=power, slot=self._slot, say=self._say
        )
        self._segments: dict[int, Segment] = {}
        self._stopped = False
        # What the state file tells: the first unsettled line, the end of the batch that is being
        # sent, and where the lines go on behind those that were dropped.
        self._tail = self._sending = self._following = Position()
        self._head = Position()  # how far lines were counted
        self._ends: dict[int, Position] = {}  # and how far in each segment before that
        self._reading = 0  # the segment that was read from last
        self._marks: dict[int, Position] = {}  # where the lines are that were read last
        self._synced = Position()
        self.dropped = Ranges()
        self.write: Callable[[bytes], object] = no_segment
        self.position: Callable[[], int] = lambda: 0
        if directory is not None and not SUPPORTED:
            self._say("journal files need Linux or macOS; events wait in memory")

    def append(self, line: bytes) -> None:
        """Take a line, newline and all.

        Raises:
            JournalFull: There is no room.
            JournalStopped: The journal was stopped.
        """
        while True:
            write = self.write
            try:
                write(line)
                return
            except ValueError:
                self._begin_segment(write, len(line))

    def _begin_segment(self, refused: Callable[[bytes], object], need: int) -> None:
        # May be entered again from within itself, and be left at any point by a KeyboardInterrupt.
        # What counts is the store into `_segments`, of which the newest is the one written to.
        try:
            with self.lock:
                if self._stopped:
                    raise JournalStopped
                if self.write is not refused:
                    return  # another thread was first
                newest = self._newest()
                if newest is None or newest.write is refused or newest.sealed:
                    self._insert(self._make(need, newest))
                self._open_newest()
        finally:
            self._tell()
        self._on_segment()

    def _insert(self, segment: Segment) -> None:
        if self._stopped:  # from within the making of it, or this goes on in a forked child
            segment.abandon()
            raise JournalStopped
        self._segments[segment.index] = segment

    def _newest(self) -> Segment | None:
        segments = self._segments
        return segments.get(max(segments, default=-1))

    def _open_newest(self) -> None:
        # All others are sealed before: when a line stands in one, those before it are complete.
        newest = self._newest()
        if newest is not None:
            self._seal_all_but(newest)
            self.position = newest.position
            self.write = newest.write

    def _seal_all_but(self, newest: Segment | None) -> None:
        for segment in list(self._segments.values()):
            if segment is not newest:
                segment.seal()

    def _make(self, need: int, refusing: Segment | None) -> Segment:
        held, size = self._held(), self._next_size(need)
        room = self._max_bytes - held if held else WITHOUT_LIMIT
        # A file that could be made, and takes not even one line: the disk is full.
        no_file = refusing is not None and refusing.path is not None and refusing.end() == 0
        spare = None if no_file else self._maker.take_spare(need, room)
        if spare is not None:
            return spare
        if size > room:
            raise JournalFull("journal full")
        if self.directory is not None and self._held_in_memory() + size > MEMORY_LIMIT:
            raise JournalFull("no journal file")
        if no_file:
            return self._maker.make_memory("it cannot be written", size, need)
        return self._maker.make(size, need)

    def _held(self) -> int:
        """Return the bytes of the segments in which something is not settled."""
        tail = self._tail
        return sum(
            segment.size
            for segment in list(self._segments.values())
            if segment.index > tail.segment or tail.offset < segment.end()
        )

    def _held_in_memory(self) -> int:
        return sum(s.size for s in list(self._segments.values()) if s.path is None)

    def _next_size(self, need: int) -> int:
        grown = min(LARGEST, SMALLEST << min(max(self._segments, default=-1) + 1, 8))
        return whole_pages(max(min(grown, self._max_bytes // 4), need, 1))

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._to_say.append(text)

    def _tell(self) -> None:
        """Tell of troubles, without the lock: who is told may wait for something."""
        while self._to_say:
            self._on_trouble("journal", self._to_say.popleft())

    def prepare(self, pause: Callable[[], object]) -> None:
        """Have a segment ready when the current one is half full, so that no caller makes it."""
        newest = self._newest()
        if self._stopped or self._maker.is_ready or newest is None or newest.path is None:
            return
        size = self._next_size(0)
        if newest.end() * 2 < newest.size or self._held() + size > self._max_bytes:
            return
        self._maker.prepare(size, pause)

    def pending_bytes(self) -> int:
        """Return how many bytes wait, nearly."""
        tail = self._tail
        return sum(
            max(segment.end() - (tail.offset if segment.index == tail.segment else 0), 0)
            for segment in list(self._segments.values())
            if segment.index >= tail.segment
        )

    def sync(self) -> None:
        """Have what came in so far on the disk; for while the destination does not take it."""
        newest = self._newest()
        if newest is None or self._synced == (reached := Position(newest.index, newest.end())):
            return
        try:
            for segment in list(self._segments.values()):
                if segment.index >= self._synced.segment:
                    segment.sync()
            if self.directory is not None and self._synced.segment != newest.index:
                sync_directory(self.directory)
            self._synced = reached
        except (OSError, ValueError) as error:  # ValueError: just dropped, and the memory given up
            self._say(f"the journal cannot be synced ({error})")
        self._tell()

    def stop(self) -> None:
        """Take no more lines; what is in stays to be read."""
        with self.lock:
            self._stopped = True
            self._seal_all_but(None)
            self._maker.stop()

    # ------------------------------------------------------------------ what there is

    def _after(self, index: int) -> Segment | None:
        """Return the segment that comes next; looked up in a copy, for others may go meanwhile."""
        segments = self._segments.copy()
        following = min((other for other in segments if other > index), default=-1)
        return segments.get(following)

    def _forget_before(self, index: int) -> None:
        for other in [other for other in list(self._segments) if other < index]:
            segment = self._segments.pop(other, None)
            if segment is not None:
                discard(segment)
        self._ends = {other: end for other, end in self._ends.copy().items() if other >= index}

    def _slot(self, *, closed: bool = False) -> Slot:
        self._sending = max(self._sending, self._tail)
        return Slot(0, self._tail, self._sending, self._following, closed)


def no_segment(line: bytes) -> object:
    """Refuse a line, as the segment that is written to where there is none."""
    raise ValueError("no segment yet")
