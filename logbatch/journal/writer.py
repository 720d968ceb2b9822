"""Append lines to the newest segment of a journal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from logbatch.journal.maker import LARGEST, MEMORY_LIMIT, SMALLEST, Maker, whole_pages
from logbatch.journal.progress import Progress
from logbatch.journal.reports import Reports
from logbatch.journal.segment import Segment, Write
from logbatch.journal.segments import Segments
from logbatch.journal.state import Position

WITHOUT_LIMIT = 1 << 62


class JournalFull(Exception):
    """There is no room; the argument is the reason, in a few words."""


class JournalStopped(Exception):
    """The journal takes no more lines; a new one must be begun."""


class Writer:
    """Appends lines to the newest segment, and begins another when that is full.

    `append`, `write` and `position` may be called by any number of threads, and from within
    themselves by a signal handler or the collector.  Where to write is two fields that hold
    functions of the newest segment, so that a line costs one call.  They are replaced under the
    lock, by whoever begins a segment.

    Args:
        segments: Those of the journal; this adds to them.
        maker: Makes them.
        progress: How far the journal is settled; only read, to know how much room there is.
        reports: Where trouble is noted.
        lock: The journal's lock.
        max_bytes: The most that all segments with unsettled lines may take.
        on_segment: Called, by the thread that appends and without the lock, when a new segment
            was begun.

    Attributes:
        write: Appends a line as `append` does; a ValueError says that `append` must be called.
        position: Returns the offset behind the newest line in its segment; a ValueError says that
            the segment is gone.
    """

    def __init__(
        self,
        segments: Segments,
        maker: Maker,
        progress: Progress,
        reports: Reports,
        lock: threading.RLock,
        *,
        max_bytes: int,
        on_segment: Callable[[], object],
    ) -> None:
        self.write: Write = _no_segment
        self.position: Callable[[], int] = lambda: 0
        self._segments = segments
        self._maker = maker
        self._progress = progress
        self._reports = reports
        self._lock = lock
        self._max_bytes = max_bytes
        self._on_segment = on_segment
        self._stopped = False  # once set it stays
        self._synced = Position(-1)  # written by the thread that delivers

    def append(self, line: bytes) -> None:
        """Append a line, newline and all.

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

    # ------------------------------------------------------------------ the next segment

    def _begin_segment(self, refused: Write, need: int) -> None:
        # May be entered again from within itself, and be left at any point by a KeyboardInterrupt.
        # What counts is the adding to `_segments`, of which the newest is the one written to.
        if self._stopped:  # not under the lock, which nobody may ever release in a forked child
            raise JournalStopped
        try:
            with self._lock:
                if self._stopped:
                    raise JournalStopped
                if self.write is not refused:
                    return  # another thread was first
                newest = self._segments.newest()
                if newest is None or newest.write is refused or newest.sealed:
                    self._add(self._make(need, newest))
                self._open_newest()
        finally:
            self._reports.flush()
        self._on_segment()

    def renew(self) -> None:
        """Begin a new segment where the newest takes no more lines; call it under the lock."""
        newest = self._segments.newest()
        if newest is not None and newest.sealed:
            with contextlib.suppress(JournalFull, JournalStopped):
                self._add(self._make(1, None))
                self._open_newest()

    def _add(self, segment: Segment) -> None:
        if self._stopped:  # from within the making of it, or this goes on in a forked child
            segment.abandon()
            raise JournalStopped
        self._segments.add(segment)

    def _open_newest(self) -> None:
        newest = self._segments.newest()
        if newest is not None:
            self._segments.seal(but=newest)
            self.position = newest.position
            self.write = newest.write

    def _make(self, need: int, refusing: Segment | None) -> Segment:
        held, size = self._bytes_held(), self._next_size(need)
        room = self._max_bytes - held if held else WITHOUT_LIMIT
        # A file that could be made, and takes not even one line: the disk is full.
        no_file = (
            refusing is not None
            and refusing.path is not None
            and refusing.end() == 0
            and refusing.kept()
        )
        spare = None if no_file else self._maker.place_spare(need, room)
        if spare is not None:
            return spare
        if size > room:
            raise JournalFull("journal full")
        if not self._maker.in_memory and self._segments.bytes_in_memory() + size > MEMORY_LIMIT:
            raise JournalFull("no journal file")
        if no_file:
            return self._maker.make_in_memory("a new one takes no line", size, need)
        return self._maker.make(size, need, refusing)

    def has_room(self, need: int, within: int) -> bool:
        """Return whether lines will find room where they survive this process, if any do.

        Args:
            need: Bytes of all of them.
            within: The most bytes that all segments may take then.
        """
        newest = self._segments.newest()
        if newest is not None and not newest.sealed and newest.size - newest.end() > need:
            return newest.path is not None or self._maker.in_memory
        held, size = self._bytes_held(), self._next_size(need)
        if held and held + size > min(self._max_bytes, within):
            return False
        return self._maker.reserve(size, need)

    def keeps_all(self) -> bool:
        """Return whether nothing is in memory that was to be in a file."""
        return self._maker.in_memory or not self._segments.bytes_in_memory()

    def _bytes_held(self) -> int:
        return self._segments.bytes_held(self._progress.settled)

    def _next_size(self, need: int) -> int:
        newest = self._segments.newest()
        doublings = 0 if newest is None else min(newest.index + 1, 8)
        grown = min(LARGEST, SMALLEST << doublings)
        return whole_pages(max(min(grown, self._max_bytes // 4), need, 1))

    # ------------------------------------------------------------------ called by who delivers

    def prepare(self, pause: Callable[[], object]) -> None:
        """Create the next segment when the newest is half full, so that no caller has to.

        Args:
            pause: Called now and then, to let other threads run.
        """
        newest, size = self._needs_spare(), self._next_size(0)
        if newest is None or newest.end() < newest.size // 2:
            return
        if self._bytes_held() + size <= self._max_bytes:
            self._maker.prepare(size, pause)

    def prepare_at(self) -> int:
        """Return the offset in the newest segment at which `prepare` is to be called next."""
        newest = self._needs_spare()
        half = WITHOUT_LIMIT if newest is None else newest.size // 2
        return half if self.position() < half else WITHOUT_LIMIT

    def _needs_spare(self) -> Segment | None:
        """Return the newest segment, if there is none yet to follow it."""
        newest = self._segments.newest()
        if self._stopped or self._maker.is_ready or newest is None or newest.path is None:
            return None
        return newest

    def sync(self) -> None:
        """Bring what was appended so far to the disk, while the destination does not take it."""
        newest = self._segments.newest()
        if newest is None or self._synced == (reached := Position(newest.index, newest.end())):
            return
        try:
            self._sync_since(self._synced)
            if self._synced.segment != newest.index:
                self._maker.sync_names()
        except OSError as error:
            self._reports.note(
                f"cannot sync the journal to the disk ({error.strerror}); its events survive the"
                " end of this process, but perhaps not a power failure; check the disk"
            )
            with self._lock:
                self._segments.seal()  # a file whose fsync failed is not synced again (SyncError)
                reached = Position(newest.index, newest.end())
        self._synced = reached

    def _sync_since(self, synced: Position) -> None:
        """Sync all segments that hold lines behind a place, also when one fails."""
        failure: OSError | None = None
        for segment in self._segments:
            try:
                if (segment.index, segment.end()) > synced[:2]:
                    segment.sync()
            except OSError as error:
                failure = error
            except ValueError:
                pass  # it was just dropped, and its memory given up
        if failure is not None:
            raise failure

    # ------------------------------------------------------------------ the end

    def stop(self) -> None:
        """Refuse further lines; those that were appended can still be read."""
        with self._lock:
            self._stopped = True
            self._segments.seal()
            self._maker.stop()

    def abandon(self) -> None:
        """Refuse further lines in a forked child, where nobody may ever release the lock."""
        self._stopped = True
        self.write = _no_segment


def _no_segment(line: bytes) -> object:
    """Refuse a line: there is no segment to write it to."""
    raise ValueError("no segment yet")
