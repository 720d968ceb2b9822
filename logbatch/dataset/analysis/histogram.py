"""Volume over time, by level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from logbatch.dataset.analysis.widths import bin_of, count_bins, start_of
from logbatch.epoch import FIRST, LAST, to_datetime


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many records there are over time, by level.

    Attributes:
        start: When the first bin begins, in UTC.
        end: When the last one ends.
        width: How long each of them is.
        levels: The names of levels, ascending by their numbers.
        counts: For each bin the records of each level, in their order.
    """

    start: datetime
    end: datetime
    width: timedelta
    levels: Sequence[str]
    counts: Sequence[Sequence[int]]

    @property
    def total(self) -> int:
        """How many records there are in all."""
        return sum(map(sum, self.counts))


class Counted(NamedTuple):
    """How many records of a level are in a bin."""

    number: int
    level: str
    levelno: int
    records: int


Levels = Sequence[tuple[str, int, int]]
"""Names and numbers of levels, and how many records each has, ascending by number."""


def count_levels(counted: Iterable[Counted]) -> Levels:
    """Count by level; of several numbers of one name it has the lowest."""
    numbers: dict[str, int] = {}
    records: Counter[str] = Counter()
    for each in counted:
        numbers[each.level] = min(each.levelno, numbers.get(each.level, each.levelno))
        records[each.level] += each.records
    names = sorted(numbers, key=lambda name: (numbers[name], name))
    return tuple((name, numbers[name], records[name]) for name in names)


def make_histogram(
    counted: Iterable[Counted], levels: Levels, fine: int, first: int, last: int, width: int
) -> Histogram:
    """Gather bins of one width in wider ones.

    Args:
        counted: What is in the bins.
        levels: What levels there are.
        fine: How wide they are, in microseconds; it divides `width`.
        first: A time in the first bin that is wanted.
        last: A time in the last one.
        width: How wide they are to be.
    """
    start = bin_of(first, width)
    columns = {name: at for at, (name, _, _) in enumerate(levels)}
    counts = [[0] * len(columns) for _ in range(count_bins(first, last, width))]
    for each in counted:
        row = bin_of(start_of(each.number, fine), width) - start
        counts[row][columns[each.level]] += each.records
    return Histogram(
        _to_datetime(start_of(start, width)),
        _to_datetime(start_of(start + len(counts), width)),
        timedelta(microseconds=width),
        tuple(columns),
        tuple(map(tuple, counts)),
    )


def empty_histogram(first: int, width: int) -> Histogram:
    """Return that of nothing, and of no time."""
    moment = _to_datetime(first)
    return Histogram(moment, moment, timedelta(microseconds=width), (), ())


def _to_datetime(moment: int) -> datetime:
    return to_datetime(min(max(moment, FIRST), LAST))
