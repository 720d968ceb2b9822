"""Where in time the n-th record from the newest is: how many match in fine bins of time.

So a page anywhere is read from a small window.  A bin that holds many is divided when a page, or
anything else, begins or ends in it.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import pyarrow as pa

from logbatch.dataset.analysis.widths import round_width, start_of
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_name
from logbatch.dataset.footers import FIXED
from logbatch.dataset.matching import Matches
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.tables import split
from logbatch.epoch import FIRST
from logbatch.storage.arrays import make_array
from logbatch.storage.columns import COLUMNS

LARGE = 20_000  # records beside those of a page that may be in its window
_PARTS = 1000  # that a bin is divided into, at most
_FEW = 20_000  # records that may be kept
_LARGEST = 1 << 25  # bytes that they may take
_FAR = 20 * LARGE  # records that are read for a page, from which on they are kept
_KEYS = ("timestamp", "producer", "sequence")
_ORDER = f"ORDER BY {', '.join(_KEYS)}"


class Bin(NamedTuple):
    """How many records there are from `start` on and before `stop`, microseconds since 1970."""

    start: int
    stop: int
    records: int

    def within(self, limits: Bin) -> Bin:
        """Cut it to those of another, outside of which it has no records."""
        return Bin(max(self.start, limits.start), min(self.stop, limits.stop), self.records)


class Window(NamedTuple):
    """A range of time that holds some consecutive records.

    Attributes:
        start: When it begins, in microseconds since 1970.
        stop: When it ends.
        newer: How many of its records are newer than those.
        older: How many of them are older.
        records: How many records these are.
    """

    start: int
    stop: int
    newer: int
    older: int
    records: int


NOTHING = Window(FIRST, FIRST, 0, 0, 0)
"""A window of no time."""

Count = Callable[[Bin, int], Iterable[Bin]]
"""Counts what is in a bin by bins of a width."""


class Timeline:
    """How many records there are in bins of time.

    Args:
        bins: They do not overlap, in any order.

    Attributes:
        rows: All the records in order, where they are few and lie far from one another.
        may_hold: Whether these may be kept: they have not turned out to be large.
    """

    def __init__(self, bins: Iterable[Bin]) -> None:
        self._lock = threading.Lock()
        self.rows: pa.Table | None = None
        self.may_hold = True
        self._set(sorted((each for each in bins if each.records), reverse=True))

    def _set(self, bins: Sequence[Bin]) -> None:
        self._bins = bins  # the newest first
        self._stops = list(accumulate(each.records for each in bins))

    @property
    def limits(self) -> Bin:
        """All of it as one bin; an empty one where there are no records."""
        if not self._bins:
            return Bin(FIRST, FIRST, 0)
        return Bin(self._bins[-1].start, self._bins[0].stop, self.total)

    def __len__(self) -> int:
        return len(self._bins)

    @property
    def total(self) -> int:
        """How many records there are."""
        return self._stops[-1] if self._stops else 0

    def window(self, offset: int, count: int, divide: Count | None = None) -> Window | None:
        """Return when some consecutive records were; None if there are none such.

        Args:
            offset: How many are newer than the newest of them.
            count: How many they are.
            divide: Counts what is in a bin; None divides none.
        """
        with self._lock:
            while True:
                last = min(offset + count, self.total) - 1
                if offset < 0 or last < offset:
                    return None
                i, j = bisect_right(self._stops, offset), bisect_right(self._stops, last)
                window = self._make_window(i, j, offset, last)
                at = i if window.newer > window.older else j
                if divide is None or window.newer + window.older <= LARGE or self._is_whole(at):
                    return window
                self._divide(at, divide)

    def _make_window(self, i: int, j: int, offset: int, last: int) -> Window:
        first, final = self._bins[i], self._bins[j]
        newer = offset - (self._stops[i] - first.records)
        return Window(final.start, first.stop, newer, self._stops[j] - 1 - last, last + 1 - offset)

    def _is_whole(self, at: int) -> bool:
        """Return whether a bin cannot be divided."""
        return self._bins[at].stop - self._bins[at].start == 1

    def _divide(self, at: int, divide: Count) -> None:
        whole = self._bins[at]
        width = round_width(whole.start, whole.stop - 1, _PARTS)
        parts = sorted((each.within(whole) for each in divide(whole, width)), reverse=True)
        self._set([*self._bins[:at], *parts, *self._bins[at + 1 :]])


def counting(matches: Matches) -> Count:
    """Return what counts those that match in a bin."""

    def count(whole: Bin, width: int) -> Iterable[Bin]:
        query = f"SELECT {bin_in_sql(width)} AS bin, count(*) AS n FROM {{matches}} GROUP BY 1"
        found = matches.table(query, whole.start, whole.stop).to_pylist()
        return bins_of(((row["bin"], row["n"]) for row in found), width)

    return count


def bin_in_sql(width: int) -> str:
    """Return the number of the bin that a row is in, as SQL."""
    return f"((epoch_us(timestamp) - ({FIRST})) // {width})"


def bins_of(counted: Iterable[tuple[int, int]], width: int) -> Iterable[Bin]:
    """Yield bins by their numbers, with how many records they hold."""
    for number, records in counted:
        yield Bin(start_of(number, width), start_of(number + 1, width), records)


def page(
    source: Source,
    snapshot: Snapshot,
    where: Filter,
    columns: Sequence[str],
    timeline: Timeline,
    offset: int,
    count: int,
    engine: Engine | None = None,
    *,
    timeout: float | None = None,
) -> pa.Table:
    """Read some consecutive records from anywhere.

    Args:
        source: Told about damage.
        snapshot: What to read; that of the timeline, or another of the same records.
        where: Which records; the same as those of the timeline.
        columns: Fixed or promoted ones, in order.
        timeline: When the records are; it may become finer.
        offset: How many are newer than the newest of them.
        count: How many are wanted; fewer come where there are no more.
        engine: Is asked, and left open; None for one of its own.
        timeout: Seconds that it may take; None for any number.

    Returns:
        The records in the order of time, producer and sequence.

    Raises:
        Vanished, Damaged: A file cannot be read.
        QueryError: It took too long, or DuckDB is not installed.
    """
    window = timeline.window(offset, count) or NOTHING
    given = source, snapshot, where
    if timeline.rows is None and _is_far(source, snapshot, timeline, window):
        _hold(*given, timeline, engine, timeout)
    if timeline.rows is not None and COLUMNS.keys() >= set(columns):
        first = max(timeline.total - offset - count, 0)
        return timeline.rows.slice(first, window.records).select(list(columns))
    wanted = list(dict.fromkeys([*columns, *_KEYS]))
    within: Any = {"start": window.start, "end": window.stop, "timeout": timeout}
    with Matches(*given, wanted, engine, **within) as matches:
        window = timeline.window(offset, count, counting(matches)) or NOTHING
        names = ", ".join(map(quoted_name, columns))
        query = f"SELECT {names} FROM {{matches}} {_cut(window)}"
        found = matches.table(query, window.start, window.stop)
    return _reversed(found) if window.newer < window.older else found


def _cut(window: Window) -> str:
    """Return in SQL the order and the limits of the records of a window, from its nearer end."""
    if window.newer < window.older:
        keys = ", ".join(f"{key} DESC" for key in _KEYS)
        return f"ORDER BY {keys} LIMIT {window.records} OFFSET {window.newer}"
    return f"{_ORDER} LIMIT {window.records} OFFSET {window.older}"


def _reversed(table: pa.Table) -> pa.Table:
    return table.take(make_array(range(table.num_rows - 1, -1, -1), "int64"))


def _is_far(source: Source, snapshot: Snapshot, timeline: Timeline, window: Window) -> bool:
    """Return whether many records that do not match are read to find a few that do."""
    if timeline.total > _FEW or not timeline.may_hold:
        return False
    parquet, _ = split(snapshot.parts)
    pieces = (piece for part in parquet for piece in source.footer(part).pieces)
    near = (each.rows for each in pieces if each.low < window.stop and each.high >= window.start)
    return sum(near) > _FAR


def _hold(
    source: Source,
    snapshot: Snapshot,
    where: Filter,
    timeline: Timeline,
    engine: Engine | None,
    timeout: float | None,
) -> None:
    """Keep all records, if they are not large."""
    start, end, _ = timeline.limits
    within: Any = {"start": start, "end": end, "timeout": timeout}
    with Matches(source, snapshot, where, FIXED.names, engine, **within) as matches:
        rows = matches.table(f"SELECT * FROM {{matches}} {_ORDER}")
    timeline.may_hold = rows.nbytes <= _LARGEST
    timeline.rows = rows if timeline.may_hold else None
