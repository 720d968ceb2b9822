"""The queue of one process: lines are appended, batches are read, what is settled is removed.

What it guarantees: when `append` returns, the line is in the kernel's hands and survives the death
of the process (with `power`, that of the machine; in memory, neither).  `append` may be called by
any number of threads, and from within itself by a signal handler or the garbage collector; it takes
no lock except to begin a new segment, and lines never mix.  Without room it raises `JournalFull`.

Who may call what: `append`, `count`, `pending`, `drop_oldest` anybody; `read`, `sending`,
`acknowledge`, `prepare`, `sync` the one thread that delivers; `stop`, `close` and `abandon` the
owner.

A record's sequence is its line number.  One lock, `lock`, guards everything but the appending to a
mapped segment.  It is re-entrant: a signal handler or the collector may run in the middle of
anything and change what is being worked with.  So each change is a single store, made after looking
whether what it was computed from still holds.

Invariants, in sequences: `settled` <= head, and both only grow.  Of the lines before `settled`
nothing is left; each line from `settled` to head is in a segment or in `dropped`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from logbatch.identity import Ranges
from logbatch.journal.counting import Counting
from logbatch.journal.framing import collect
from logbatch.journal.maker import Maker
from logbatch.journal.places import Left, count_in_files, describe_place
from logbatch.journal.progress import Progress
from logbatch.journal.reports import OnTrouble, Reports
from logbatch.journal.segment import Segment, discard
from logbatch.journal.segments import Segments
from logbatch.journal.state import SUPPORTED, Position, StateFile
from logbatch.journal.upkeep import Upkeep
from logbatch.journal.writer import WITHOUT_LIMIT, Writer
from logbatch.native import RLock


class Lines(NamedTuple):
    """Consecutive lines of a journal."""

    first: int
    last: int
    data: bytes


class Journal:
    """The journal of one producer.

    Args:
        directory: Where its files go; None keeps it in memory.
        producer: The id of the process incarnation.
        power: Whether each line must be on the disk before `append` returns.
        max_bytes: The most that all segments with unsettled lines may take.
        on_trouble: Called (kind, text) when a file cannot be created or written; must not raise.
        on_segment: Called, by the thread that appends, when a new segment was begun.

    Attributes:
        producer: The same.
        writer: Appends the lines.  Where each nanosecond counts, call its `write` and `position`.
        lock: Whoever must hold a lock while it calls the journal takes this one: a second lock
            would be waited for in the wrong order by a signal handler that logs.
    """

    def __init__(
        self,
        directory: Path | None,
        producer: str,
        *,
        power: bool = False,
        max_bytes: int = 1 << 30,
        on_trouble: OnTrouble = lambda kind, text: None,
        on_segment: Callable[[], object] = lambda: None,
    ) -> None:
        self.producer = producer
        self.lock = RLock()
        self._reports = Reports(on_trouble)
        if directory is not None and not SUPPORTED:
            self._reports.note(
                "journal files need Linux or macOS; buffering events in memory, which are lost if"
                " this process dies"
            )
            directory = None
        self._segments = Segments()  # added to by the writer, removed from here
        self._counting = Counting(self._segments)  # under the lock, by whoever counts or drops
        self._progress = Progress(directory, producer, self._reports, power=power)
        self._maker = Maker(
            directory, producer, self.lock, self._progress, self._reports, power=power
        )
        self.writer = Writer(
            self._segments,
            self._maker,
            self._progress,
            self._reports,
            self.lock,
            max_bytes=max_bytes,
            on_segment=on_segment,
        )
        self._upkeep = Upkeep(
            self._segments,
            self._counting,
            self._progress,
            self._maker,
            self._reports,
            self.writer.renew,
        )
        # Written under the lock, by the thread that delivers.
        self._reading = 0  # the segment that was read from last
        self._marks: dict[int, Position] = {}  # where the lines are that were read last
        self._left: Left | None = None  # set when it is closed

    @classmethod
    def resume(
        cls, directory: Path, producer: str, state: StateFile, segments: Iterable[Segment]
    ) -> Journal:
        """Return a journal of what a process that died left behind, to be read only."""
        journal = cls(directory, producer)
        journal._progress.resume(state)
        for segment in segments:
            journal._segments.add(segment)
        journal.stop()
        settled, following = state.slot.settled, state.slot.following
        journal._counting.head = settled
        behind = journal._segments.get(following.segment)
        if behind is not None and behind.index > settled.segment:
            behind.first = following.sequence
        return journal

    # ------------------------------------------------------------------ lines in

    def append(self, line: bytes) -> None:
        """Append a line, newline and all.

        Raises:
            JournalFull: There is no room.
            JournalStopped: The journal was stopped.
        """
        self.writer.append(line)

    def prepare(self, pause: Callable[[], object]) -> None:
        """Create the next segment ahead of need, so that no caller has to.

        Args:
            pause: Called now and then, to let other threads run.
        """
        self.writer.prepare(pause)

    def sync(self) -> None:
        """Bring what was appended so far to the disk, while the destination does not take it."""
        self.writer.sync()
        self._reports.flush()

    def look(self, on_lost: Callable[[int, int], object]) -> None:
        """Notice what other programs did to the files, and go on in new ones.

        Args:
            on_lost: Called, under the lock, with the first and the last of lines that are lost.
        """
        with self.lock:
            self._upkeep.mend(on_lost)
            gone = self._upkeep.find_gone()
            lost_state = self._upkeep.state_is_gone()
            self._leave_finished()  # a reader stops where the file of the first line is not there
        if gone or lost_state:
            self._upkeep.rescue(gone, self.lock)
        self._reports.flush()

    @property
    def has_files(self) -> bool:
        """Whether there are files to look after."""
        return any(segment.path is not None for segment in self._segments)

    def stop(self) -> None:
        """Refuse further lines; those that were appended can still be read."""
        self.writer.stop()

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
                if not self._segments.remove(oldest):
                    continue  # dropped from within this
                # Not by max(): nothing is called here, so nothing comes between.
                if self._progress.following < following:  # noqa: PLR1730
                    self._progress.following = following
                self._progress.save()
                discard(oldest)
                first, last = oldest.first or 0, following.sequence - 1
                if first <= last:
                    self._counting.drop(first, last)
                    return first, last
        return None

    def _find_oldest(self) -> tuple[Segment, Position] | None:
        """Find the oldest segment that may be dropped, and where the one behind it begins."""
        progress = self._progress
        # The state file has room for one hole only, so none is made before the one there is.
        hole = progress.following.segment - 1
        kept = max(progress.settled.segment, progress.sending.segment, self._reading, hole)
        return self._segments.oldest_after(kept)

    # ------------------------------------------------------------------ counting

    @property
    def dropped(self) -> Ranges:
        """Which lines are gone though they were not settled."""
        return self._counting.dropped

    def count(self) -> int:
        """Return how many lines were appended so far: the sequence of the next one."""
        while True:
            with self.lock:  # given up in between, so that a caller never waits for long
                if not self._counting.go_on():
                    return self._counting.head.sequence

    @property
    def begun(self) -> bool:
        """Whether a line was ever appended."""
        return bool(self._segments) or self._counting.head.sequence > 0

    @property
    def place(self) -> str:
        """Where lines wait, in a few words."""
        return describe_place(self._segments, in_memory=self._maker.in_memory)

    @property
    def settled(self) -> int:
        """The sequence of the first line that is not settled."""
        return self._progress.settled.sequence

    def pending(self) -> int:
        """Return how many lines are not acknowledged nor dropped."""
        return self.count_and_pending()[1]

    def count_and_pending(self) -> tuple[int, int]:
        """Return how many lines were appended, and how many are not acknowledged nor dropped."""
        self.count()
        with self.lock:
            head = self.count()
            waiting = self.dropped.missing(self.settled, head - 1)
            return head, sum(last - first + 1 for first, last in waiting)

    def pending_bytes(self) -> int:
        """Return about how many bytes are pending."""
        return self._segments.bytes_pending(self._progress.settled)

    # ------------------------------------------------------------------ lines out

    def read(self, first: int, max_bytes: int, max_lines: int = WITHOUT_LIMIT) -> Lines | None:
        """Read consecutive lines, at least one if there is one, all from one segment.

        A batch that was recorded by `sending` is read again as it was, whatever the limits.

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
            start = self._segments.past_finished(self._locate(first))
            self._reading = start.segment
            segment, sending = self._segments.get(start.segment), self._progress.sending
        if segment is None or start.sequence < first:
            return None
        stop = segment.end()
        if sending.segment == start.segment and start.offset < sending.offset:
            stop = min(stop, sending.offset)
            max_bytes = max_lines = WITHOUT_LIMIT
        end = self._counting.end_of(segment)
        fits = end.offset - start.offset <= max_bytes and end.sequence - start.sequence <= max_lines
        if fits and start.offset < end.offset <= stop and not segment.loose:
            data = segment.read(start.offset, end.offset)  # these lines are counted already
        else:
            end, data = collect(segment, start, stop, max_bytes, max_lines)
        if end.sequence == start.sequence:
            return None
        self._marks = {start.sequence: start, end.sequence: end}
        return Lines(start.sequence, end.sequence - 1, data)

    def _locate(self, sequence: int) -> Position:
        return self._segments.locate(sequence, self._marks.get(sequence) or self._nearest(sequence))

    def _nearest(self, sequence: int) -> Position:
        """Return the last known place that is neither behind a line nor before `settled`."""
        settled = self._progress.settled
        places = [
            Position(segment.index, 0, segment.first)
            for segment in self._segments
            if segment.first is not None and segment.index > settled.segment
        ]
        places += self._marks.values()
        return max([place for place in places if place.sequence <= sequence], default=settled)

    # ------------------------------------------------------------------ settling

    def sending(self, last: int) -> None:
        """Record, before a batch is sent, that it ends with `last`; this waits for the disk."""
        with self.lock:
            self._progress.sending = self._locate(last + 1)
            self._progress.save()
        self._progress.sync()
        self._reports.flush()

    def acknowledge(self, last: int) -> None:
        """Settle everything up to `last`, included, and remove what is wholly settled."""
        self.count()  # the head must not be left behind in a segment that goes away
        with self.lock:
            progress = self._progress
            progress.settled = max(progress.settled, self._locate(last + 1))
            self._marks = {progress.settled.sequence: progress.settled}
            if not self._leave_finished():
                progress.save()
                self._discard_before(progress.settled.segment)

    def _leave_finished(self) -> bool:
        """Remove the segments that are wholly settled; return whether there were any."""
        settled = self._segments.past_finished(self._progress.settled)
        if settled == self._progress.settled:
            return False
        self._progress.settled = settled
        self._progress.save()
        self._discard_before(settled.segment)
        return True

    def _discard_before(self, index: int) -> None:
        self._segments.discard_before(index)
        self._counting.forget_before(index)

    def report(self) -> None:
        """Report what went wrong in `acknowledge` and `close`, which may be called under the lock.

        Call this without the lock: `on_trouble` may wait for something.
        """
        self._reports.flush()

    # ------------------------------------------------------------------ the end

    def close(self) -> bool:
        """Stop; remove the files if everything is settled, else leave them to be taken over.

        Returns:
            Whether everything was settled.
        """
        self.stop()
        done = self.pending() == 0
        if not done:
            self.writer.sync()
        with self.lock:
            # One is not sealed while this runs from within an append to it.
            done = done and all(segment.sealed for segment in self._segments)
            if done:
                self._discard_before(WITHOUT_LIMIT)
            else:
                self.keep()
                self._progress.save(closed=True)
            self._left = self.left()
            self._segments.release()
            self._progress.close(self._maker.remove_all if done else None)
        return done

    def keep(self) -> None:
        """Begin a new segment; bring what is in no file into one, as far as that is possible."""
        with self.lock:
            self._segments.seal()
            for segment in self._segments:
                if segment.sealed and segment.index >= self._progress.settled.segment:
                    self._maker.keep(segment)

    def left(self) -> Left:
        """Return where the lines are that are not settled; the same for ever once it is closed."""
        if self._left is not None:
            return self._left
        with self.lock:
            pending = self.pending()
            in_files = count_in_files(self._segments, self._progress.settled, self._counting.end_of)
            return Left(in_files, pending - in_files, self._progress.owner())

    def abandon(self) -> None:
        """Release everything in a forked child, and touch no file: they are the parent's."""
        self.writer.abandon()
        self.lock = RLock()  # somebody who was not forked may hold the other for ever
        self._segments.abandon()
        self._maker.abandon()
        self._progress.close()
