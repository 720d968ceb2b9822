"""Create the segments of one journal, each in the best form that works.

A mapped file is best.  Where the file system cannot map, lines are appended to a file; where no
file can be created, they are buffered in memory, and the next segment is tried as a file again.
Either is reported once.  The indexes of a journal's files have no holes, except where a segment is
in memory or was dropped: by that a reader in another process knows that lines are missing.
"""

from __future__ import annotations

import contextlib
import errno
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import RLock

from logbatch.disk import sync_directory
from logbatch.journal.appended_segment import AppendedSegment
from logbatch.journal.mapped_segment import CannotMapError, MappedSegment
from logbatch.journal.names import segment_path, spare_path
from logbatch.journal.progress import Progress
from logbatch.journal.reports import Reports
from logbatch.journal.segment import Segment, discard

SMALLEST, LARGEST = 1 << 20, 1 << 24  # bytes of a segment: the first, and what doubling ends at
LEAST = 1 << 16  # bytes of a segment where the disk has room for no more
MEMORY_LIMIT = 1 << 26  # bytes that are buffered while no journal file can be created
PAGE = 4096


class Maker:
    """Creates segments, and removes what is left of a journal's files at the end.

    Args:
        directory: Where files go; None keeps everything in memory.
        producer: Whose they are.
        lock: The journal's lock; held by whoever calls, except for `prepare`.
        progress: Has the state file, which is created before the first segment.
        reports: Where it is noted what cannot be created.
        power: Whether each line must be on the disk when it is appended.
    """

    def __init__(
        self,
        directory: Path | None,
        producer: str,
        lock: RLock,
        progress: Progress,
        reports: Reports,
        *,
        power: bool,
    ) -> None:
        self._directory = directory
        self._producer = producer
        self._lock = lock
        self._progress = progress
        self._reports = reports
        self._power = power
        self._maps = not power
        self._stopped = False
        self._indexes = count()
        self._spares: deque[MappedSegment] = deque()

    def make(self, size: int, need: int, newest: Segment | None) -> Segment:
        """Create a segment.

        Where no file can be created (we are another user by now, or have no descriptors left), the
        newest one is made larger and returned; where that cannot be done either, it is in memory.

        Args:
            size: Bytes that are wanted.
            need: Bytes without which it is of no use.
            newest: The segment that is full; None where there is none.
        """
        if self._directory is None:
            return MappedSegment(next(self._indexes), None, size, self._lock)
        try:
            return self._make_file(self._directory, size, max(need, LEAST))
        except OSError as error:
            if isinstance(newest, MappedSegment) and _grow(newest, need):
                return newest
            return self.make_in_memory(error.strerror or type(error).__name__, size, need)

    def make_in_memory(self, reason: str, size: int, need: int) -> Segment:
        """Create a segment in memory where no file works; a small one, to try again soon."""
        self._reports.note(
            f"cannot create a journal file in {self._directory} ({reason}); buffering up to"
            f" {MEMORY_LIMIT >> 20} MiB of events in memory, which are lost if this process dies;"
            " files are used again as soon as they can be created: free disk space or fix"
            " permissions"
        )
        size = max(need, min(size, SMALLEST))
        return MappedSegment(next(self._indexes), None, whole_pages(size), self._lock)

    def _make_file(self, directory: Path, size: int, least: int) -> Segment:
        self._progress.ensure_file()
        while True:
            index = next(self._indexes)
            path = segment_path(directory, self._producer, index)
            try:
                return self._make_that_fits(index, path, size, least)
            except FileExistsError:
                continue  # not ours, so it is left alone

    def _make_that_fits(self, index: int, path: Path, size: int, least: int) -> Segment:
        try:
            return self._make_at(index, path, size)
        except OSError as error:
            if error.errno != errno.ENOSPC or size <= least:
                raise
        return self._make_at(index, path, whole_pages(least))

    def _make_at(self, index: int, path: Path, size: int) -> Segment:
        if self._maps:
            try:
                return MappedSegment(index, path, size, self._lock)
            except CannotMapError as error:
                self._maps = False
                self._reports.note(
                    f"cannot map journal files in {path.parent} ({error.strerror}); appending to"
                    " them instead: no event is lost, but each call takes longer"
                )
        return AppendedSegment(index, path, size, self._lock, power=self._power)

    # ------------------------------------------------------------------ ahead of need

    @property
    def in_memory(self) -> bool:
        """Whether the journal has no files by choice."""
        return self._directory is None

    @property
    def is_ready(self) -> bool:
        """Whether a spare segment is ready, or none is ever used."""
        return bool(self._spares) or not self._maps or self._directory is None

    def prepare(self, size: int, pause: Callable[[], object]) -> None:
        """Create a spare segment, so that no caller waits for one."""
        if self._directory is None:
            return
        try:
            path = spare_path(self._directory, self._producer)
            spare = MappedSegment(-1, path, size, self._lock)
        except OSError:
            return  # whoever needs the segment tries again, and notes what is wrong
        spare.touch(pause)
        with self._lock:
            self._spares.append(spare)
            if self._stopped:
                self.stop()

    def reserve(self, size: int, need: int) -> bool:
        """Have a spare segment ready for lines that must not wait in memory.

        Args:
            size: Bytes that are wanted.
            need: Bytes of the lines.

        Returns:
            Whether there is one, or none is ever used.
        """
        if self._directory is None or not self._maps:
            return True
        try:
            with self._lock:
                self._progress.ensure_file()
                while self._spares and self._spares[0].size < need:
                    discard(self._spares.popleft())
        except OSError:
            return False
        for wanted in (size, whole_pages(max(need, LEAST))):
            if not self._spares:
                self.prepare(wanted, lambda: None)
        return bool(self._spares)

    def place_spare(self, need: int, room: int) -> Segment | None:
        """Set the index of the spare segment and return it; None where there is none that fits."""
        try:
            spare = self._spares.popleft()
        except IndexError:
            return None
        if need <= spare.size <= room and _is_sound(spare) and self._place(spare):
            return spare
        discard(spare)
        return None

    def _place(self, spare: MappedSegment) -> bool:
        if self._directory is None or spare.path is None:
            return False
        index = next(self._indexes)
        path = segment_path(self._directory, self._producer, index)
        try:
            self._progress.ensure_file()
            spare.path.rename(path)
        except OSError:
            return False
        spare.index, spare.path = index, path
        return True

    # ------------------------------------------------------------------ the end

    def sync_names(self) -> None:
        """Wait until the names of the files are on the disk.

        Raises:
            OSError: They are not.
        """
        if self._directory is not None:
            sync_directory(self._directory)

    def stop(self) -> None:
        """Create no more spare segments, and remove those there are."""
        self._stopped = True
        while self._spares:
            discard(self._spares.popleft())

    @property
    def directory(self) -> Path | None:
        """Where files go; None for memory."""
        return self._directory

    def path_of(self, segment: Segment) -> Path | None:
        """Return where the file of a segment is; None for memory."""
        if self._directory is None:
            return None
        return segment_path(self._directory, self._producer, segment.index)

    def look(self) -> None:
        """Give up spare segments whose files another program has removed or cut off."""
        for spare in list(self._spares):
            if not _is_sound(spare):
                with contextlib.suppress(ValueError):  # it was just placed
                    self._spares.remove(spare)
                    discard(spare)

    def keep(self, segment: Segment) -> None:
        """Write the lines of a sealed segment that no file has to one, if that is possible now."""
        path = self.path_of(segment)
        if path is None or segment.kept():
            return
        with contextlib.suppress(OSError):
            self._progress.ensure_file()
            segment.copy_to(path)

    def remove_all(self) -> bool:
        """Remove all segments, also what an interrupted call left; return whether none is left."""
        if self._directory is None:
            return True
        try:
            for path in self._directory.glob(f"{self._producer}-*.journal"):
                path.unlink(missing_ok=True)
            spare_path(self._directory, self._producer).unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def abandon(self) -> None:
        """Release everything in a forked child: it is the parent's."""
        while self._spares:
            self._spares.popleft().abandon()


def _grow(segment: MappedSegment, need: int) -> bool:
    """Make a file larger, up to what the largest has; return whether so many bytes fit in."""
    size = min(2 * segment.size, LARGEST)
    if size - segment.end() < need or not segment.kept():
        return False
    try:
        segment.grow(size)
    except OSError:
        return False
    return True


def _is_sound(spare: MappedSegment) -> bool:
    return spare.kept() and spare.cut_off() is None


def whole_pages(size: int) -> int:
    """Round up to whole pages."""
    return -(-size // PAGE) * PAGE
