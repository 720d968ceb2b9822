"""Notice what other programs do to the files of a journal, and go on in new ones.

Somebody may remove the directory under a living process, or move it: lines would go on into files
that nobody finds.  Then what waits is written to new files.  Or a program that rotates logs cuts a
file off: to touch a mapping behind the end of its file is SIGBUS, which kills the process.  So a
file that was cut takes no more lines, and is read by calls that cannot do that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from threading import RLock

from logbatch.journal.counting import Counting
from logbatch.journal.maker import Maker
from logbatch.journal.progress import Progress
from logbatch.journal.reports import Reports
from logbatch.journal.segment import Segment
from logbatch.journal.segments import Segments
from logbatch.journal.state import Position


class Upkeep:
    """Looks after the files of one journal; `look` is called by the thread that delivers.

    Args:
        segments: Those of the journal.
        counting: How far their lines are counted.
        progress: How far they are settled.
        maker: Knows where files go.
        reports: Where it is noted what happened.
        renew: Begins a new segment.
    """

    def __init__(
        self,
        segments: Segments,
        counting: Counting,
        progress: Progress,
        maker: Maker,
        reports: Reports,
        renew: Callable[[], object],
    ) -> None:
        self._segments = segments
        self._counting = counting
        self._progress = progress
        self._maker = maker
        self._reports = reports
        self._renew = renew

    # ------------------------------------------------------------------ cut off

    def mend(self, on_lost: Callable[[int, int], object]) -> None:
        """Go on in a new file where some were cut off; call it under the lock.

        Args:
            on_lost: Called with the first and the last of lines that are lost.
        """
        self._maker.look()
        found = [(segment, segment.cut_off()) for segment in self._segments]
        cut = [(segment, size) for segment, size in found if size is not None]
        if not cut:
            return
        lost = [span for each in cut if (span := self._shorten(*each)) is not None]
        self._renew()
        if lost:
            self._note_hole(cut[-1][0])
        for first, last in lost:
            on_lost(first, last)
        events = sum(last - first + 1 for first, last in lost)
        self._reports.say(
            f"another program has cut off files of the journal in {self._maker.directory}:"
            f" {_counted(events)} lost, and perhaps some more of the last second; new ones go into"
            " another file; keep what truncates files away from there"
        )

    def _note_hole(self, segment: Segment) -> None:
        """Write down with which number the lines behind a segment begin."""
        following = self._segments.after(segment.index)
        if following is not None and following.first is not None:
            place = Position(following.index, 0, following.first)
            self._progress.following = max(self._progress.following, place)
            self._progress.save()

    def _shorten(self, segment: Segment, size: int) -> tuple[int, int] | None:
        end = self._find_end(segment, size)
        segment.shorten(end.offset)
        progress = self._progress
        if progress.sending.segment == segment.index and progress.sending.offset > end.offset:
            progress.sending = progress.settled  # it can never be sent again as it was
        return self._counting.shorten(segment, end)

    def _find_end(self, segment: Segment, size: int) -> Position:
        """Return the place behind the last line that is whole, and not settled."""
        settled = self._progress.settled
        start = Position(segment.index, 0, segment.first or 0)
        if settled.segment == segment.index:
            start = settled
        if size <= start.offset:
            return start
        lines = segment.read(start.offset, size)
        lines = lines[: lines.rfind(b"\n") + 1]
        count = sum(map(bool, lines.split(b"\n")))  # blank ones do not count
        return Position(segment.index, start.offset + len(lines), start.sequence + count)

    # ------------------------------------------------------------------ removed

    def find_gone(self) -> list[Segment]:
        """Return the segments whose files are not there any more; call it under the lock.

        Those that take lines take none from then on; of the others, those in which some wait.
        """
        gone = [each for each in self._segments if each.path is not None and not each.kept()]
        found = [each for each in gone if not each.sealed or self._waits(each)]
        for segment in found:
            segment.seal()
        return found

    def _waits(self, segment: Segment) -> bool:
        """Return whether a segment holds lines that are not settled."""
        settled = self._progress.settled
        start = settled.offset if segment.index == settled.segment else 0
        return segment.index >= settled.segment and start < segment.end()

    def state_is_gone(self) -> bool:
        """Return whether lines wait in files of which nobody knows any more how far they are."""
        return self._progress.is_gone() and any(
            segment.path is not None and self._waits(segment) for segment in self._segments
        )

    def rescue(self, gone: list[Segment], lock: RLock) -> None:
        """Write what waits in files that are gone to new ones.

        Call it without the lock, for this takes long; the segments are sealed.
        """
        try:
            if self._progress.is_gone() and any(map(self._waits, self._segments)):
                with lock:
                    self._progress.ensure_file()
            for segment in gone:
                if self._waits(segment):
                    self._copy(segment, lock)
                    self._maker.sync_names()
        except OSError as error:
            self._reports.note(
                f"{_GONE.format(self._maker.directory)}, and cannot be made again"
                f" ({error.strerror or error}); events that wait are lost if this process dies:"
                " free disk space or fix permissions"
            )
            return
        self._reports.say(
            f"{_GONE.format(self._maker.directory)}; what waited there, if anything, was written"
            " to new ones and is not lost; stop a process before you remove its files"
        )

    def _copy(self, segment: Segment, lock: RLock) -> None:
        path = self._maker.path_of(segment)
        if path is None:
            return
        path.unlink(missing_ok=True)  # somebody may have put an older copy there
        with contextlib.suppress(ValueError):  # it was just dropped, and its memory given up
            segment.copy_to(path)
        with lock:
            if self._segments.get(segment.index) is not segment:
                path.unlink(missing_ok=True)


def _counted(events: int) -> str:
    if not events:
        return "no event that was counted is"
    return "1 event is" if events == 1 else f"{events:,} events are"


_GONE = "another program has removed or moved files of the journal in {}"
