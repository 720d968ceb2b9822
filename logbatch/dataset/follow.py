"""Follow a directory as it is written: every new record once, within a poll of being logged.

Each poll reads the journals, and then what was published since the poll before: a record may come
and go from a journal in between.  A folder is listed only when it has changed, and a growing file
read only from where it ended, so a poll costs the same however much is there already.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.footers import FIXED, reading
from logbatch.dataset.listing import (
    JOURNAL,
    Damaged,
    Grown,
    Vanished,
    cut_identity,
    find_folders,
    find_runs,
    find_segment,
)
from logbatch.dataset.pieces import read, read_lines
from logbatch.dataset.rows import Row, row_order, rows_of_table
from logbatch.dataset.snapshot import Snapshot, Spans, make_part
from logbatch.dataset.source import Source
from logbatch.dataset.stopping import Stop, check
from logbatch.identity import Ranges
from logbatch.storage.segments import Segment, find_files, is_coarse

_TICK = 0.1  # seconds within which two changes of a folder may bear one time
_COARSE_TICK = 2.1  # the same where times are whole seconds
_AGAIN = 4  # more looks at most to fill a hole; what was dropped fills none


class _Folder(NamedTuple):
    """What was seen of a folder.

    Attributes:
        changed: The time of its last change.
        since: When that time was first seen, by a clock that only goes forward: the other one may
            be set, and differs from that of a file server.
        names: The names in it.
        settled: Whether a change behind the listing shows in another time.
    """

    changed: int = -1
    since: float = 0.0
    names: frozenset[str] = frozenset()
    settled: bool = False


class Follower:
    """Knows which records were seen.

    Args:
        source: The directory.
        snapshot: What counts as seen already.
        where: The records that are wanted.
    """

    def __init__(self, source: Source, snapshot: Snapshot, where: Filter) -> None:
        self._source = source
        self._where = where
        self._seen = {producer: Ranges(ranges) for producer, ranges in snapshot.covered.items()}
        self._growing = dict(source.growing)
        self._folders: dict[Path, _Folder] = {}
        self._edges: list[tuple[str, int]] = []  # the ends of holes, as far as they were met

    def run(self, interval: float, stop: Stop) -> Iterator[Row]:
        """Yield rows as they come, until `stop` says so."""
        while True:
            yield from sorted(self.poll(), key=row_order)
            if stop.wait(interval):
                return

    def poll(self) -> Iterator[Row]:
        """Yield the rows that are new, in no order."""
        for table in self.tables():
            yield from rows_of_table(table)

    def tables(self) -> Iterator[pa.Table]:
        """Yield what is new as tables with the fixed columns, in no order.

        Where a producer's rows leave a hole, what fills it was just being renamed or published: it
        is looked for at once, so that rows are not told in the wrong order.
        """
        self._edges.clear()
        yield from self._look()
        for _ in range(_AGAIN):
            if all(sequence in self._seen[producer] for producer, sequence in self._edges):
                break
            yield from self._look()

    def _look(self) -> Iterator[pa.Table]:
        for table in self._find():
            if (found := self._where.apply(table)).num_rows:
                yield found

    def _find(self) -> Iterator[pa.Table]:
        for pending in self._source.read_pending(self._source.directory / JOURNAL):
            yield from self._new_lines(pending.lines, pending.producer, pending.first)
        for folder in find_folders(self._source.directory):
            for name in self._new_names(folder):
                check()
                yield from self._new_in(folder / name)
        for path in list(self._growing):
            yield from self._new_in(path)

    def _missing(self, producer: str, spans: Spans) -> Spans:
        seen = self._seen.setdefault(producer, Ranges())
        return tuple(hole for first, last in spans for hole in seen.missing(first, last))

    def _mark(self, producer: str, spans: Spans) -> None:
        seen = self._seen[producer]
        for first, last in spans:
            if first > 0 and first - 1 not in seen:
                self._edges.append((producer, first - 1))
            seen.add(first, last)

    def _new_lines(self, data: bytes, producer: str, first: int) -> list[pa.Table]:
        """Return those of consecutive lines that were not seen."""
        last = first + data.count(b"\n") - 1
        spans = self._missing(producer, ((first, last),))
        if not spans:
            return []
        start = spans[0][0]
        lines = data.rsplit(b"\n", last - start + 2)[-(last - start + 2) : -1]
        tables = [
            read_lines(lines[low - start : high - start + 1], producer, low, FIXED)
            for low, high in spans
        ]
        self._mark(producer, spans)
        return tables

    def _new_names(self, folder: Path) -> frozenset[str]:
        """List the names in a folder that were not in it at the last poll."""
        known = self._folders.get(folder, _Folder())
        try:
            changed = os.stat(folder).st_mtime_ns  # before the names: a later change shows again
            if changed == known.changed and known.settled:
                return frozenset()
            now = time.monotonic()
            names = frozenset(find_files(folder))
        except (FileNotFoundError, NotADirectoryError):
            self._folders.pop(folder, None)
            return frozenset()
        since = known.since if changed == known.changed else now
        settled = now - since > (_COARSE_TICK if is_coarse(changed) else _TICK)
        self._folders[folder] = _Folder(changed, since, names, settled)
        return names - known.names

    def _new_in(self, path: Path) -> list[pa.Table]:
        """Return what was not seen of a file."""
        segment = find_segment(path)
        if segment is None:
            return []
        try:
            return self._grown(segment) if segment.growing else self._published(segment)
        except Vanished:
            self._growing.pop(path, None)  # it has another name by now, which is new as well
        except Damaged as error:
            self._growing.pop(path, None)
            self._source.note(error, 1)
        return []

    def _grown(self, segment: Segment) -> list[pa.Table]:
        known = self._growing.get(segment.path, Grown())
        with reading(segment.path):
            status = os.stat(segment.path)
            if (status.st_ino, status.st_size) == (known.inode, known.stop):
                return []
            return self._appended(segment, known)

    def _appended(self, segment: Segment, known: Grown) -> list[pa.Table]:
        """Return what is new of a JSONL file, from where it ended before."""
        with reading(segment.path), open(segment.path, "rb") as file:
            status = os.fstat(file.fileno())
            # A batch that could not be written whole is taken back: the file may have shrunk.
            same = known.inode == status.st_ino and known.stop <= status.st_size
            start = known.stop if same else 0
            file.seek(start)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        tables = []
        for run in find_runs(data, segment.producer):
            lines = cut_identity(data[run.start : run.end], segment.producer)
            tables += self._new_lines(lines, segment.producer, run.first)
        if segment.last is None:
            self._growing[segment.path] = Grown(status.st_ino, start + len(data))
        return tables

    def _published(self, segment: Segment) -> list[pa.Table]:
        part = make_part(segment)
        taken = tuple(
            (producer, missing)
            for producer, spans in part.taken
            if (missing := self._missing(producer, spans))
        )
        if not taken:
            return []
        before = segment.path.with_name(f"{segment.producer}-{segment.first}.jsonl")
        known = self._growing.pop(before, None)
        if known is not None and segment.ext == "jsonl":
            return self._appended(segment, known)
        table, _ = read(part._replace(taken=taken, whole=taken == part.taken), None, FIXED)
        for producer, spans in taken:
            self._mark(producer, spans)
        return [table]
