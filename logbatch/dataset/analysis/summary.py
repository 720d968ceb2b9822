"""A view in numbers: volume over time, levels, frequent values; all of it from one scan.

Records are counted in bins of time that are much finer than those of a histogram.  So the histogram
can be cut to what was found, and it is known where in time the newest records are, of which the
attributes are counted, and any page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from logbatch.dataset.analysis.facets import Facet, attribute_facets, column_facets
from logbatch.dataset.analysis.histogram import (
    Counted,
    Histogram,
    Levels,
    count_levels,
    empty_histogram,
    make_histogram,
)
from logbatch.dataset.analysis.timeline import (
    NOTHING,
    Bin,
    Timeline,
    bin_in_sql,
    bins_of,
    counting,
)
from logbatch.dataset.analysis.widths import fine_width, round_width, start_of
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_name
from logbatch.dataset.matching import Matches
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.epoch import FIRST, LAST
from logbatch.storage.columns import COLUMNS

_FINE = 4000  # bins that are counted
_KEYS = ("timestamp", "producer", "sequence")


class Wanted(NamedTuple):
    """What is wanted of a view.

    Attributes:
        bins: Bins of the histogram, at most.
        fields: Columns and attributes, by the names that a filter has for them.
        limit: Values of each of them.
        attributes: How many others are wanted, those that most records have.
        sample: Records whose attributes are counted, the newest.
    """

    bins: int = 100
    fields: Sequence[str] = ("level", "logger", "process", "service")
    limit: int = 10
    attributes: int = 20
    sample: int = 100_000


@dataclass(frozen=True, slots=True)
class Summary:
    """A view in numbers.

    Attributes:
        total: How many records match.
        levels: How many of each level; ascending by number.
        histogram: How many over time.
        facets: The most frequent values of columns, then of attributes.
        timeline: Where in time the n-th of them is.
    """

    total: int
    levels: Levels
    histogram: Histogram
    facets: Sequence[Facet]
    timeline: Timeline


def summarise(
    source: Source,
    snapshot: Snapshot,
    where: Filter,
    wanted: Wanted,
    engine: Engine | None = None,
    *,
    start: int | None = None,
    end: int | None = None,
    timeout: float | None = None,
) -> Summary:
    """Count what matches.

    Args:
        source: Told about damage.
        snapshot: What to read.
        where: Which records.
        wanted: What is wanted.
        engine: Is asked, and left open; None for one of its own.
        start: Microseconds since 1970 before which no record is wanted.
        end: The same, from which on none is wanted.
        timeout: Seconds that it may take; None for any number.

    Raises:
        Vanished, Damaged: A file cannot be read.
        QueryError: It took too long, or DuckDB is not installed.
    """
    columns = [name for name in dict.fromkeys(wanted.fields) if name in COLUMNS]
    paths = [name for name in dict.fromkeys(wanted.fields) if name not in COLUMNS]
    sampled = bool(paths or wanted.attributes)
    asked = {"timestamp", "level", "levelno", *columns}
    asked |= {"attributes", *_KEYS} if sampled else set()
    given = source, snapshot, where, sorted(asked), engine
    with Matches(*given, start=start, end=end, timeout=timeout) as matches:
        count = _count(matches, start, end, wanted.bins, columns)
        timeline = _make_timeline(count, start, end)
        facets = list(column_facets(matches, count.grouped, columns, wanted.limit))
        if sampled:
            facets += _look_into(matches, timeline, paths, wanted)
    facets.sort(key=lambda facet: _place(facet, wanted.fields))
    levels = count_levels(count.counted)
    first, last, wide, fine = count.scale
    if count.counted or None not in (start, end):
        histogram = make_histogram(count.counted, levels, fine, first, last, wide)
    else:
        histogram = empty_histogram(first, wide)
    return Summary(timeline.total, levels, histogram, tuple(facets), timeline)


def _place(facet: Facet, fields: Sequence[str]) -> int:
    """Return where a facet comes: those that were asked for, then the others as they are."""
    return fields.index(facet.field) if facet.field in fields else len(fields)


# ------------------------------------------------------------------ the scan


class _Scale(NamedTuple):
    """The times of a histogram, and two widths of bins; all in microseconds.

    Attributes:
        first: The first time.
        last: The last.
        wide: How wide the bins of the histogram are.
        fine: How wide those are that are counted; it divides `wide`.
    """

    first: int
    last: int
    wide: int
    fine: int

    @classmethod
    def build(cls, first: int, last: int, bins: int, low: int, high: int) -> _Scale:
        """Make bins of a range of time, of which only those of another may hold records."""
        wide = round_width(first, last, bins)
        return cls(first, last, wide, fine_width(low, high, wide, _FINE))


class _Count(NamedTuple):
    """What was counted.

    Attributes:
        scale: The bins.
        counted: What is in them.
        grouped: A table that has the values of columns as well; see `_group`.
    """

    scale: _Scale
    counted: Sequence[Counted]
    grouped: str


def _count(
    matches: Matches, start: int | None, end: int | None, bins: int, columns: Sequence[str]
) -> _Count:
    """Count by bins and levels, and by the values of columns.

    Where all that is found is in few of the bins, that is counted again in finer ones.
    """

    def cut(low: int, high: int) -> _Scale:
        first = low if start is None else start
        last = max(first, high if end is None else end - 1)
        return _Scale.build(first, last, bins, low, high)

    bounds = matches.bounds()
    low, high = bounds or (start or 0, start or 0)
    scale = cut(low, high)
    grouped = matches.keep_counted(partial(_group, scale.fine, columns))
    counted = _read(matches, grouped)
    while counted:
        numbers = [each.number for each in counted]
        low = max(low, start_of(min(numbers), scale.fine))
        high = min(high, start_of(max(numbers) + 1, scale.fine) - 1)
        better = cut(low, high)
        if better.wide >= scale.wide or better.wide % scale.fine == 0:
            return _Count(better._replace(fine=scale.fine), counted, grouped)
        scale = better
        counted = _read(matches, matches.keep(_group(scale.fine, ()), low, high + 1))
    return _Count(scale, counted, grouped)


def _make_timeline(count: _Count, start: int | None, end: int | None) -> Timeline:
    records: Counter[int] = Counter()
    for each in count.counted:
        records[each.number] += each.records
    limits = Bin(FIRST if start is None else start, LAST + 1 if end is None else end, 0)
    bins = bins_of(records.items(), count.scale.fine)
    return Timeline(each.within(limits) for each in bins)


def _group(width: int, columns: Sequence[str], unsure: str = "") -> str:
    """Return a query that counts by bin and level, and by the values of columns, in one scan.

    In a row of the n-th column `field` is n; it is null where there is a bin.

    Args:
        width: How wide the bins are.
        columns: The columns.
        unsure: What is true for rows that are counted as `unsure` as well, if anything.
    """
    values = [f"{quoted_name(name)} AS f{number}" for number, name in enumerate(columns)]
    bins = [f"{bin_in_sql(width)} AS bin", "level", "levelno"]
    inner = ", ".join([*bins, *values, *([unsure] if unsure else [])])
    also = f", count(*) FILTER ({unsure}) AS unsure" if unsure else ""
    names = [f"f{number}" for number in range(len(columns))]
    sets = ", ".join(["(bin, level, levelno)", *(f"({name})" for name in names)])
    which = "".join(f" WHEN grouping({name}) = 0 THEN {n}" for n, name in enumerate(names))
    field = f"CASE{which} END" if which else "NULL"
    outer = ", ".join(["bin", "level", "levelno", *names, f"{field}::INTEGER AS field"])
    return (
        f"SELECT {outer}, count(*) AS records{also}"
        f" FROM (SELECT {inner} FROM {{matches}})"
        f" GROUP BY GROUPING SETS ({sets})"
    )


def _read(matches: Matches, grouped: str) -> list[Counted]:
    query = f"SELECT bin, level, levelno, records FROM {grouped} WHERE field IS NULL"
    rows = matches.table(query).to_pylist()
    return [Counted(row["bin"], row["level"], row["levelno"], row["records"]) for row in rows]


def _look_into(
    matches: Matches, timeline: Timeline, paths: Sequence[str], wanted: Wanted
) -> Sequence[Facet]:
    """Count attributes in the newest records."""
    window = timeline.window(0, wanted.sample, counting(matches)) or NOTHING
    query = "SELECT attributes FROM {matches}"
    if window.older:
        order = ", ".join(f"{key} DESC" for key in _KEYS)
        query += f" ORDER BY {order} LIMIT {window.records}"
    sample = matches.keep(query, window.start, window.stop)
    asked = paths, wanted.attributes, wanted.limit
    return attribute_facets(matches, sample, *asked, of=window.records, total=timeline.total)
