"""The queue of one process incarnation: lines go in, batches are read, what is settled goes away.

What it guarantees: when `append` returns, the line is in the kernel's hands and survives the death
of the process (with `power`, that of the machine; in memory, neither).  `append` may be called by
any number of threads and from within itself by a signal handler or the collector; it takes no lock
except to begin a new segment, and lines never mix.  When there is no room it raises `JournalFull`.

Who may call what: `append`, `count`, `pending`, `drop_oldest` anybody; `read`, `sending`,
`acknowledge`, `prepare`, `sync` the one thread that delivers; `stop`, `close` and `abandon` the
owner.

A record's sequence is its line number.  `_head` is how far lines were counted, `_tail` the first
line that is not settled; both only move forward.  There is one lock, `lock`, for everything but
the way of a line into a mapped segment, and whatever runs in the midst of something (a signal
handler, the collector) enters it again.  So each change is made by a single store, after looking
whether what it was worked out from still holds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from logbatch.identity import Ranges
from logbatch.journal.framing import advance, collect, cut_lines, enter, past_blanks, whole_lines
from logbatch.journal.segment import Segment, discard
from logbatch.journal.state import Position, StateFile
from logbatch.journal.writer import WITHOUT_LIMIT, Writer, no_segment

_NEAR = 1 << 16  # bytes in which a line is looked for at a time


class Lines(NamedTuple):
    """Consecutive lines of a journal."""

    first: int
    last: int
    data: bytes


class Journal(Writer):
    """The journal of one producer.

    Args:
        directory: Where its files go; None keeps it in memory.
        producer: The id of the process incarnation.
        power: Whether each line must be on the disk before `append` returns.
        max_bytes: The most that all segments with unsettled lines may take.
        on_trouble: Told (kind, text) when a file cannot be had; it must not raise.
        on_segment: Called, by the thread that appends, when a new segment was begun.

    Attributes:
        lock: Whoever must hold a lock of its own while it calls the journal takes this one: a
            second lock would be waited for in the wrong order by a signal handler that logs.
        dropped: What `drop_oldest` dropped.
        write: Takes a line as `append` does; a ValueError says that `append` must be asked.
        position: Returns the offset behind the newest line in its segment; cheap to call.
    """

    @classmethod
    def resume(
        cls, directory: Path, producer: str, state: StateFile, segments: Iterable[Segment]
    ) -> Journal:
        """Make a journal, to be read only, of what a process that died left behind."""
        journal = cls(directory, producer)
        slot = state.slot
        journal._stopped = True
        journal._maker.state = state
        journal._segments = {segment.index: segment for segment in segments}
        journal._tail = journal._head = slot.settled
        journal._sending, journal._following = slot.sending, slot.following
        following = journal._segments.get(slot.following.segment)
        if following is not None and following.index > slot.settled.segment:
            following.first = slot.following.sequence
        return journal

    # ------------------------------------------------------------------ dropping

    def drop_oldest(self) -> tuple[int, int] | None:
        """Drop the oldest segment of which nothing is being read or sent.

        Returns:
            The first and last sequence dropped; None where there is no such segment.
        """
        self.count()
        with self.lock:
            while (found := self._find_oldest()) is not None:
                oldest, following = found
                if self._segments.pop(oldest.index, None) is None:
                    continue  # dropped from within this
                # Not by max(): nothing is called here, so nothing comes between.
                if self._following < following:  # noqa: PLR1730
                    self._following = following
                self._write_slot()
                discard(oldest)
                first, last = oldest.first or 0, following.sequence - 1
                if first <= last:
                    self._note_dropped(first, last)
                    return first, last
        return None

    def _find_oldest(self) -> tuple[Segment, Position] | None:
        """Find the oldest segment that may be dropped, and where the one behind it begins."""
        # Of two holes the state could tell one only, so none is made before the one there is.
        hole = self._following.segment - 1
        kept = max(self._tail.segment, self._sending.segment, self._reading, hole)
        oldest = self._after(kept)
        following = None if oldest is None else self._after(oldest.index)
        if oldest is None or following is None or not oldest.sealed:
            return None
        if oldest.first is None or following.first is None:
            return None
        return oldest, Position(following.index, 0, following.first)

    def _note_dropped(self, first: int, last: int) -> None:
        while True:
            before = self.dropped
            after = Ranges([*before, (first, last)])
            if self.dropped is before:
                self.dropped = after
                return

    # ------------------------------------------------------------------ counting

    def count(self) -> int:
        """Return how many lines came in so far: the sequence of the next one."""
        while True:
            with self.lock:  # given up in between, so that a caller never waits for long
                if not self._count_on():
                    return self._head.sequence

    def _count_on(self) -> bool:
        """Count a piece further; False where all lines are counted."""
        head = self._head
        segment = self._segments.get(head.segment)
        sealed = segment is None or segment.sealed  # to be asked before the end
        if segment is not None and head.offset < (stop := segment.end()):
            chunk = self._read_while_there(segment, head.offset, stop)
            counted = advance(head, segment, chunk)
        elif sealed and (following := self._after(head.segment)) is not None:
            counted = enter(following, head.sequence)
        else:
            return False
        if self._head is head:  # else somebody has counted from within this
            self._ends[head.segment] = head
            self._head = counted
            if counted.offset == 0 and counted.sequence > head.sequence:
                self._note_dropped(head.sequence, counted.sequence - 1)  # by one who died since
        return True

    @property
    def settled(self) -> int:
        """The sequence of the first line that is not settled."""
        return self._tail.sequence

    def count_and_pending(self) -> tuple[int, int]:
        """Return how many lines came in, and how many are neither acknowledged nor dropped."""
        self.count()
        with self.lock:
            head = self.count()
            waiting = self.dropped.missing(self._tail.sequence, head - 1)
            return head, sum(last - first + 1 for first, last in waiting)

    def pending(self) -> int:
        """Return how many lines are neither acknowledged nor dropped."""
        return self.count_and_pending()[1]

    @property
    def begun(self) -> bool:
        """Whether a line ever came in."""
        return bool(self._segments) or self._head.sequence > 0

    # ------------------------------------------------------------------ lines out

    def read(self, first: int, max_bytes: int, max_lines: int = WITHOUT_LIMIT) -> Lines | None:
        """Read consecutive lines, at least one if there is one, all from one segment.

        A batch that was noted by `sending` is read again as it was, whatever the limits.

        Args:
            first: Sequence to begin with, not before the first unsettled one.  Where it was
                dropped, the next that is there.
            max_bytes: Stop before this is passed; a single longer line is read all the same.
            max_lines: Stop after so many.

        Returns:
            The lines; None where nothing is there (yet).
        """
        with self.lock:
            self._leave_finished()
            start = self._past_finished(self._locate(first))
            self._reading = start.segment
            segment, sending = self._segments.get(start.segment), self._sending
        if segment is None or start.sequence < first:
            return None
        stop = segment.end()
        if sending.segment == start.segment and start.offset < sending.offset:
            stop = min(stop, sending.offset)
            max_bytes = max_lines = WITHOUT_LIMIT
        end = self._counted_end(segment)
        fits = end.offset - start.offset <= max_bytes and end.sequence - start.sequence <= max_lines
        if fits and start.offset < end.offset <= stop and not segment.loose:
            data = segment.read(start.offset, end.offset)  # they were counted when they came
        else:
            end, data = collect(segment, start, stop, max_bytes, max_lines)
        if end.sequence == start.sequence:
            return None
        self._marks = {start.sequence: start, end.sequence: end}
        return Lines(start.sequence, end.sequence - 1, data)

    def _counted_end(self, segment: Segment) -> Position:
        """Return how far the lines of a segment are counted."""
        head = self._head
        return head if head.segment == segment.index else self._ends.get(segment.index, Position())

    def sending(self, last: int) -> None:
        """Note, before a batch is sent, that it ends with `last`; on the disk when it returns."""
        with self.lock:
            self._sending = self._locate(last + 1)
            self._write_slot()
            state = self._maker.state
        try:
            if state is not None:
                state.sync()
        except OSError as error:
            self._say_state(error)
        self._tell()

    def acknowledge(self, last: int) -> None:
        """Settle everything up to `last`, included, and remove what is wholly settled."""
        self.count()  # the head must not be left behind in a segment that goes away
        with self.lock:
            self._tail = max(self._tail, self._locate(last + 1))
            self._marks = {self._tail.sequence: self._tail}
            if not self._leave_finished():
                self._write_slot()
                self._forget_before(self._tail.segment)
        self._tell()

    def _leave_finished(self) -> bool:
        """Step over segments that are wholly settled, and remove them; tell if there were any."""
        tail = self._past_finished(self._tail)
        if tail == self._tail:
            return False
        self._tail = tail
        self._write_slot()
        self._forget_before(tail.segment)
        return True

    def _past_finished(self, position: Position) -> Position:
        """Go to the next segment from the end of one that takes no more lines."""
        while True:
            segment = self._segments.get(position.segment)
            if segment is not None:
                position = past_blanks(position, segment)
                if not segment.sealed or position.offset < segment.end():
                    return position
            following = self._after(position.segment)
            if following is None:
                return position
            position = enter(following, position.sequence)

    def _locate(self, sequence: int) -> Position:
        """Find a line by its number; where it is not there yet, the place behind the last."""
        position = self._marks.get(sequence) or self._nearest(sequence)
        while position.sequence < sequence:
            segment = self._segments.get(position.segment)
            if segment is not None and position.offset < (stop := segment.end()):
                chunk = self._read_while_there(segment, position.offset, stop)
                chunk = cut_lines(chunk, sequence - position.sequence)
                position = advance(position, segment, chunk)
            elif (further := self._past_finished(position)) != position:
                position = further
            else:
                break
        return position

    def _read_while_there(self, segment: Segment, start: int, stop: int) -> bytes:
        """Read whole lines; none where the segment is dropped from within this."""
        try:
            return whole_lines(segment, start, stop, _NEAR)
        except ValueError:
            if self._segments.get(segment.index) is segment:
                raise
            return b""

    def _nearest(self, sequence: int) -> Position:
        """Return the last known place that is not behind a line, but never one before the tail."""
        places = [
            Position(segment.index, 0, segment.first)
            for segment in list(self._segments.values())
            if segment.first is not None and segment.index > self._tail.segment
        ]
        places += self._marks.values()
        return max([place for place in places if place.sequence <= sequence], default=self._tail)

    def _write_slot(self, *, closed: bool = False) -> None:
        state = self._maker.state
        while state is not None:
            slot = self._slot(closed=closed)
            try:
                state.write(slot)
            except OSError as error:
                self._say_state(error)
                return
            # Somebody may have written another from within this, which ours then has replaced.
            if slot == self._slot(closed=closed):
                return

    def _say_state(self, error: OSError) -> None:
        self._say(f"the state of the journal cannot be written ({error.strerror})")

    # ------------------------------------------------------------------ the end

    def close(self) -> bool:
        """Stop, and remove the files if everything is settled; else leave them to be adopted.

        Returns:
            Whether everything was settled.
        """
        self.stop()
        done = self.pending() == 0
        with self.lock:
            # One is not sealed while this runs from within an append to it.
            done = done and all(segment.sealed for segment in list(self._segments.values()))
            if done:
                self._forget_before(WITHOUT_LIMIT)
            else:
                self._leave_to_others()
            self._release()
            self._maker.close(remove=done)
        self._tell()
        return done

    def _leave_to_others(self) -> None:
        for segment in list(self._segments.values()):
            if segment.index >= self._tail.segment:
                self._maker.spill(segment)
        self._write_slot(closed=True)

    def _release(self) -> None:
        for segment in list(self._segments.values()):
            segment.release()

    def abandon(self) -> None:
        """Let go of everything without a word, in a forked child: it is the parent's."""
        self._stopped = True
        self.write = no_segment
        self.lock = threading.RLock()  # somebody who was not forked may hold the other for ever
        segments, self._segments = self._segments, {}
        for segment in segments.values():
            segment.abandon()
        self._maker.abandon()
