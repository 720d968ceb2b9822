"""How far the lines of a journal are counted; a record's sequence is what was counted before it."""

from __future__ import annotations

from logbatch.identity import Ranges
from logbatch.journal.framing import advance, enter
from logbatch.journal.segment import Segment
from logbatch.journal.segments import Segments
from logbatch.journal.state import Position


class Counting:
    """Counts the lines of one journal, piece by piece.

    Call it under the journal's lock.  A signal handler may run in the middle of anything and count
    as well, so each change is a single store.

    Args:
        segments: Those of the journal.

    Attributes:
        head: How far lines were counted.
        dropped: Which of them are gone, though they were not settled.
    """

    def __init__(self, segments: Segments) -> None:
        self.head = Position()
        self.dropped = Ranges()
        self._segments = segments
        self._ends: dict[int, Position] = {}  # how far in each segment before the head's

    def go_on(self) -> bool:
        """Count some more lines; return False where all are counted."""
        head = self.head
        segment = self._segments.get(head.segment)
        sealed = segment is None or segment.sealed  # to be asked before the end
        if segment is not None and head.offset < (stop := segment.end()):
            lines = self._segments.read_lines(segment, head.offset, stop)
            counted = advance(head, segment, lines)
        elif sealed and (following := self._segments.after(head.segment)) is not None:
            counted = enter(following, head.sequence)
        else:
            return False
        if self.head is head:  # else somebody has counted from within this
            self._ends[head.segment] = head
            self.head = counted
            if counted.offset == 0 and counted.sequence > head.sequence:
                self.drop(head.sequence, counted.sequence - 1)  # by one who died since, or cut off
        return True

    def end_of(self, segment: Segment) -> Position:
        """Return how far the lines of a segment are counted."""
        head = self.head
        return head if head.segment == segment.index else self._ends.get(segment.index, Position())

    def forget_before(self, index: int) -> None:
        """Forget the segments before an index."""
        self._ends = {other: end for other, end in self._ends.copy().items() if other >= index}

    def drop(self, first: int, last: int) -> None:
        """Note that lines are gone."""
        while True:
            before = self.dropped
            after = Ranges([*before, (first, last)])
            if self.dropped is before:
                self.dropped = after
                return

    def shorten(self, segment: Segment, end: Position) -> tuple[int, int] | None:
        """Note that a segment ends before what was counted in it.

        Those behind keep their numbers.

        Returns:
            The first and the last of the lines that are gone; None where none of them was counted.
        """
        counted = self.end_of(segment)
        if counted.offset <= end.offset:
            return None
        lost = counted.sequence > end.sequence
        if self.head.segment == segment.index:
            self._segments.number_after(segment.index, counted.sequence)
            self.head = end  # whoever counts on notes the difference
        else:
            self._ends[segment.index] = end
            if lost:
                self.drop(end.sequence, counted.sequence - 1)
        return (end.sequence, counted.sequence - 1) if lost else None
