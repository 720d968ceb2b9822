"""Parquet copies of what is in no Parquet file, for who asks about a directory again and again.

JSON Lines would be decoded for each question.  A file that does not change is copied once; of one
that grows, what has come so far, and from then on only the news.  The journals, and news that are
few, make one small file for each snapshot.  The copies are in a private directory, which goes at
the end; where they take too much room, those that were not used for longest go, and a question that
would read them is one about files that went away: it is asked of a new snapshot.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch.dataset.footers import FIXED
from logbatch.dataset.pieces import read_on, read_tail
from logbatch.dataset.snapshot import Part, Snapshot, Spans, Tail, present
from logbatch.dataset.source import Source
from logbatch.dataset.tables import split
from logbatch.identity import Ranges
from logbatch.storage.coverage import KEY, Coverage, compacted_name, encode_coverage
from logbatch.storage.segments import Segment

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

MOST = 1_000_000_000
"""Bytes that copies may take: those of some 10 GB of JSON Lines."""

_SHARE = 4  # of what is free where they are, they take no more than one of so many parts
_FEW = 1 << 20  # bytes of news of a growing file that are copied anew for each snapshot
_LITTLE = 1 << 18  # bytes of journals that are decoded as quickly as a copy is opened


class _Copy(NamedTuple):
    """A copy.

    Attributes:
        segment: The file.
        ranges: Which records of which producers are in it.
        size: How many bytes it has.
        stop: Where it ends in the file that was copied; None for its end.
    """

    segment: Segment
    ranges: dict[str, Ranges]
    size: int
    stop: int | None


class _News(NamedTuple):
    """Records of a growing file that are behind its copies, and the bytes of these."""

    part: Part
    start: int


class Converted:
    """Makes copies, and keeps them until it is closed; to be used in a `with`.

    It may be asked by several threads.

    Args:
        source: Told about damage.
        most: How many bytes the copies may take.
    """

    def __init__(self, source: Source, most: int = MOST) -> None:
        self._source = source
        self._folder = TemporaryDirectory(prefix="logbatch-", ignore_cleanup_errors=True)
        self._most = min(most, shutil.disk_usage(self._folder.name).free // _SHARE)
        self._copies: dict[Hashable, _Copy] = {}  # in the order of their last use
        self._used: set[Hashable] = set()  # by the snapshot that is being converted
        self._grown: dict[Path, list[int | None]] = {}  # where the pieces of growing files end
        self._room = self._most  # that is left for it
        self._lock = threading.Lock()

    def __enter__(self) -> Converted:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the copies."""
        self._folder.cleanup()

    def convert(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot of the same records in Parquet files, as far as there is room.

        A little that is in journals stays there.

        Raises:
            Vanished, Damaged: A file cannot be read.
        """
        parquet, others = split(snapshot.parts)
        if not others and not snapshot.tails:
            return snapshot
        with self._lock:
            return self._convert(snapshot, parquet, others)

    def _convert(self, snapshot: Snapshot, parts: list[Part], others: list[Part]) -> Snapshot:
        self._used.clear()
        self._room = self._most
        as_they_are: list[Part] = []
        news: list[_News] = []
        for part in others:
            if not part.segment.growing:
                copies = self._copies_of(part, [0, None])
                as_they_are += [] if copies else [part]
            else:
                copies = self._copies_of(part, self._edges(part))
            found, left = _share(part, copies)
            parts += found
            if part.segment.growing and left:
                start = copies[-1].stop if copies else 0
                taken = ((part.segment.producer, left),)
                news.append(_News(part._replace(taken=taken, whole=False), start or 0))
        tails = snapshot.tails
        many = news or sum(len(tail.lines) for tail in tails) > _LITTLE
        copy = self._copy_news(news, tails) if many else None
        if copy is not None:
            every = tuple((producer, tuple(found)) for producer, found in copy.ranges.items())
            parts.append(Part(copy.segment, every))
            news, tails = [], []
        self._make_room()
        parts += [*as_they_are, *(each.part for each in news)]
        return snapshot._replace(parts=parts, tails=tails)

    # ------------------------------------------------------------------ what is copied

    def _edges(self, part: Part) -> list[int | None]:
        """Return where the copied pieces of a growing file begin and end."""
        edges = self._grown.setdefault(part.path, [0])
        if (part.stop or 0) - (edges[-1] or 0) > _FEW:
            edges.append(part.stop)
        before = [edge for edge in edges if (edge or 0) < (part.stop or 0)]
        return edges[: len(before) + 1]  # an older snapshot needs not all of them

    def _copies_of(self, part: Part, edges: list[int | None]) -> list[_Copy]:
        """Return the copies of the pieces of a file, up to one for which there is no room."""
        found = []
        for start, stop in pairwise(edges):
            every = part._replace(whole=True, stop=stop)
            key = (*part.segment[1:4], start, stop)
            copy = self._copy(key, self._read(every, start or 0), stop)
            if copy is None:
                break
            found.append(copy)
        return found

    def _copy_news(self, news: list[_News], tails: list[Tail]) -> _Copy | None:
        key = (
            *((part.path, part.taken, part.stop) for part, _ in news),
            *((tail.producer, tail.spans) for tail in tails),
        )
        tables = [self._read(part, start) for part, start in news]
        return self._copy(key, chain(*tables, (read_tail(tail, FIXED) for tail in tails)))

    def _read(self, part: Part, start: int) -> Iterator[pa.Table]:
        total = 0
        for table, damaged in read_on(part, start, FIXED):
            total += damaged
            yield table
        self._source.tell_damaged_lines(part.path, total)

    # ------------------------------------------------------------------ copies

    def _copy(
        self, key: Hashable, tables: Iterable[pa.Table], stop: int | None = None
    ) -> _Copy | None:
        """Return a copy, which is made if there is none; None where there is no room for it."""
        copy = self._copies.pop(key, None)
        if copy is None and self._room > 0:
            path = Path(self._folder.name, compacted_name())
            try:
                copy = _write(path, tables, stop)
            except OSError:  # the disk is full, most likely
                return None
            finally:
                if copy is None:
                    path.unlink(missing_ok=True)
        if copy is not None:
            self._copies[key] = copy
            self._used.add(key)
            self._room -= copy.size
        return copy

    def _make_room(self) -> None:
        for key in [key for key in self._copies if key not in self._used]:
            if sum(copy.size for copy in self._copies.values()) <= self._most:
                return
            self._copies.pop(key).segment.path.unlink(missing_ok=True)


def _write(path: Path, tables: Iterable[pa.Table], stop: int | None) -> _Copy:
    ranges: dict[str, Ranges] = {}
    with pq.ParquetWriter(path, FIXED, compression="zstd") as writer:
        for table in tables:
            if table.num_rows:
                writer.write_table(table)
                _add(ranges, table)
        covered = encode_coverage(Coverage(ranges)).decode()
        writer.add_key_value_metadata({KEY.decode(): covered})
    return _Copy(Segment(path, "", 0, None, "parquet"), ranges, path.stat().st_size, stop)


def _add(ranges: dict[str, Ranges], table: pa.Table) -> None:
    """Add the records of a table, which are those of one producer, to what is there."""
    column: Any = table.column("sequence")
    found = pc.min_max(column).as_py()
    first, last = found["min"], found["max"]
    of = ranges.setdefault(table.column("producer")[0].as_py(), Ranges())
    if last - first + 1 == table.num_rows:
        of.add(first, last)
    else:
        for number in column.to_pylist():
            of.add(number, number)


def _share(part: Part, copies: Iterable[_Copy]) -> tuple[list[Part], Spans]:
    """Return what is taken of each copy, each record once, and which records are in none."""
    producer, left = part.segment.producer, part.spans
    found = []
    for copy in copies:
        ranges = copy.ranges.get(producer, Ranges())
        taken = tuple(span for first, last in left for span in present(ranges, first, last))
        left = tuple(hole for first, last in left for hole in ranges.missing(first, last))
        if taken:
            whole = taken == tuple(ranges)
            found.append(Part(copy.segment, ((producer, taken),), whole))
    return found, left
