"""The segments of one journal in their order, and positions in their lines."""

from __future__ import annotations

from collections.abc import Iterator

from logbatch.journal.framing import advance, cut_lines, enter, past_blanks, whole_lines
from logbatch.journal.segment import Segment, discard
from logbatch.journal.state import Position

_NEAR = 1 << 16  # bytes in which a line is looked for at a time


class Segments:
    """The segments of one journal by their index, of which the highest is the newest.

    They are added and removed under the journal's lock, and read by anybody.  A signal handler may
    change them in the middle of anything, so each change is a single call, and an iteration is
    over a copy.

    Invariant: all but the newest are sealed before the newest takes a line.  So where a segment
    holds a line, those before it are complete.
    """

    def __init__(self) -> None:
        self._by_index: dict[int, Segment] = {}
        self._next_first: int | None = None  # of the segment that is added next

    def __iter__(self) -> Iterator[Segment]:
        return iter(list(self._by_index.values()))

    def __bool__(self) -> bool:
        return bool(self._by_index)

    def get(self, index: int) -> Segment | None:
        """Return the segment of an index; None where it is gone."""
        return self._by_index.get(index)

    def newest(self) -> Segment | None:
        """Return the segment that lines are written to; None where there is none."""
        by_index = self._by_index
        return by_index.get(max(by_index, default=-1))

    def after(self, index: int) -> Segment | None:
        """Return the segment that comes next behind an index; None where there is none."""
        by_index = self._by_index.copy()
        following = min((other for other in by_index if other > index), default=-1)
        return by_index.get(following)

    def oldest_after(self, index: int) -> tuple[Segment, Position] | None:
        """Find the first sealed segment behind an index, and where the one behind it begins."""
        oldest = self.after(index)
        following = None if oldest is None else self.after(oldest.index)
        if oldest is None or following is None or not oldest.sealed:
            return None
        if oldest.first is None or following.first is None:
            return None
        return oldest, Position(following.index, 0, following.first)

    # ------------------------------------------------------------------ changes

    def number_after(self, index: int, sequence: int) -> None:
        """Have the lines behind a segment begin with a number, unless they have theirs."""
        following = self.after(index)
        if following is None:
            self._next_first = sequence
        elif following.first is None:
            following.first = sequence

    def add(self, segment: Segment) -> None:
        """Add a segment, which becomes the newest."""
        first, self._next_first = self._next_first, None
        if first is not None:
            segment.first = first
        self._by_index[segment.index] = segment

    def remove(self, segment: Segment) -> bool:
        """Remove a segment; return False where it was removed from within this."""
        return self._by_index.pop(segment.index, None) is not None

    def discard_before(self, index: int) -> None:
        """Remove the segments before an index, with their files."""
        for segment in self:
            if segment.index < index and self.remove(segment):
                discard(segment)

    def seal(self, *, but: Segment | None = None) -> None:
        """Refuse further lines in all segments but one."""
        for segment in self:
            if segment is not but:
                segment.seal()

    def release(self) -> None:
        """Release memory and descriptors."""
        for segment in self:
            segment.release()

    def abandon(self) -> None:
        """Release everything in a forked child: it is the parent's."""
        by_index, self._by_index = self._by_index, {}
        for segment in by_index.values():
            segment.abandon()

    # ------------------------------------------------------------------ sizes

    def bytes_held(self, settled: Position) -> int:
        """Return the size of the segments in which something is not settled."""
        return sum(
            segment.size
            for segment in self
            if segment.index > settled.segment or settled.offset < segment.end()
        )

    def bytes_in_memory(self) -> int:
        """Return the size of the segments that have no file."""
        return sum(segment.size for segment in self if segment.path is None)

    def bytes_pending(self, settled: Position) -> int:
        """Return about how many bytes are not settled."""
        return sum(
            max(segment.end() - (settled.offset if segment.index == settled.segment else 0), 0)
            for segment in self
            if segment.index >= settled.segment
        )

    # ------------------------------------------------------------------ positions

    def past_finished(self, position: Position) -> Position:
        """Return the start of the next segment for the end of one that takes no more lines."""
        while True:
            segment = self.get(position.segment)
            if segment is not None:
                position = past_blanks(position, segment)
                if not segment.sealed or position.offset < segment.end():
                    return position
            following = self.after(position.segment)
            if following is None:
                return position
            position = enter(following, position.sequence)

    def locate(self, sequence: int, position: Position) -> Position:
        """Find a line by its sequence; return the place behind the last if it is not there yet.

        Args:
            sequence: The sequence of the line.
            position: A known place that is not behind the line; the nearer, the faster.
        """
        while position.sequence < sequence:
            segment = self.get(position.segment)
            if segment is not None and position.offset < (stop := segment.end()):
                lines = self.read_lines(segment, position.offset, stop)
                lines = cut_lines(lines, sequence - position.sequence)
                position = advance(position, segment, lines)
            elif (further := self.past_finished(position)) != position:
                position = further
            else:
                break
        return position

    def read_lines(self, segment: Segment, start: int, stop: int) -> bytes:
        """Read some whole lines; none if the segment is removed in the middle of this."""
        try:
            return whole_lines(segment, start, stop, _NEAR)
        except ValueError:
            if self.get(segment.index) is segment:
                raise
            return b""
