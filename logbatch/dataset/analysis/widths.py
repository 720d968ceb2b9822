"""Round widths of bins of time, all counted from one beginning, so that bins of one fit another.

The beginning is the first day of the calendar, a Monday: bins of a week begin on Mondays.
"""

from __future__ import annotations

from logbatch.epoch import FIRST, SECOND

_MINUTE, _HOUR, _DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
_YEAR = 364 * _DAY  # nearly, and so many whole weeks
_DECADES = (1, 2, 5, 10, 20, 50, 100, 200, 500)

WIDTHS = (
    *_DECADES,
    *(1000 * n for n in _DECADES),
    *(SECOND * n for n in (1, 2, 5, 10, 15, 30)),
    *(_MINUTE * n for n in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * n for n in (1, 2, 3, 6, 12)),
    *(_DAY * n for n in (1, 2, 7, 14, 28, 91, 182)),
    *(_YEAR * n for n in (*_DECADES, 1000, 20_000)),
)
"""Microseconds, ascending."""


def bin_of(moment: int, width: int) -> int:
    """Return which bin of a width a time is in, given in microseconds since 1970."""
    return (moment - FIRST) // width


def start_of(number: int, width: int) -> int:
    """Return when a bin begins, in microseconds since 1970."""
    return FIRST + number * width


def count_bins(first: int, last: int, width: int) -> int:
    """Return how many bins there are from one time to another, both included."""
    return bin_of(last, width) - bin_of(first, width) + 1


def round_width(first: int, last: int, most: int) -> int:
    """Return the smallest width with which no more bins than this are needed."""
    return next((w for w in WIDTHS if count_bins(first, last, w) <= most), WIDTHS[-1])


def fine_width(first: int, last: int, wide: int, most: int) -> int:
    """Return the smallest width that divides a wide one, and needs no more bins than this."""
    fitting = (w for w in WIDTHS if wide % w == 0 and count_bins(first, last, w) <= most)
    return next(fitting, wide)
