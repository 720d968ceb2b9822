"""Where in time the n-th record from the newest is: how many match in fine bins of time.

So a page anywhere is read from a small window.  A bin that holds many is divided when a page, or
anything else, begins or ends in it.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import pyarrow as pa

from logbatch.dataset.analysis.widths import fine_width, start_of
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_name
from logbatch.dataset.matching import Matches
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.epoch import FIRST

LARGE = 20_000  # records beside those of a page that may be in its window
_PARTS = 1000  # that it is divided into, at most


class Bin(NamedTuple):
    """How many records there are from `start` on and before `stop`, microseconds since 1970."""

    start: int
    stop: int
    records: int


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
        bins: Those with any records, each with one at least, in any order.
    """

    def __init__(self, bins: Iterable[Bin]) -> None:
        self._lock = threading.Lock()
        self._set(sorted((each for each in bins if each.records), reverse=True))

    def _set(self, bins: Sequence[Bin]) -> None:
        self._bins = bins  # the newest first
        self._stops = list(accumulate(each.records for each in bins))

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
        width = fine_width(whole.start, whole.stop - 1, whole.stop - whole.start, _PARTS)
        parts = sorted(divide(whole, width), reverse=True)
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
    start, end, *_ = timeline.window(offset, count) or NOTHING
    keys = ("timestamp", "producer", "sequence")
    wanted = list(dict.fromkeys([*columns, *keys]))
    given = source, snapshot, where, wanted, engine
    with Matches(*given, start=start, end=end, timeout=timeout) as matches:
        window = timeline.window(offset, count, counting(matches)) or NOTHING
        names = ", ".join(map(quoted_name, columns))
        order = f"ORDER BY {', '.join(keys)} LIMIT {window.records} OFFSET {window.older}"
        query = f"SELECT {names} FROM {{matches}} {order}"
        return matches.table(query, window.start, window.stop)
