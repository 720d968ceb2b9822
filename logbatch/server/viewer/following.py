"""What is new for one view: its rows, and by how much they change its statistics.

What comes is gathered, and told ten times a second at most.  Where more comes than anybody could
read, some rows stand for all of them, and the message says so; the counts are of all.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.rows import Row
from logbatch.epoch import to_microseconds
from logbatch.identity import Ranges
from logbatch.server.viewer.live import EVERY

RATE = 5_000
"""Rows a second that are sent."""

FACETS = ("level", "logger", "process", "service")
_MOST = int(RATE * EVERY)
_ROOM = 200_000  # rows that may wait to be looked at


class Behind(Exception):
    """More came than could be looked at, so some would be left out."""


class Following:
    """What is new for a view; one thread at a time may use it.

    Args:
        where: Which records are shown.
        covered: Producer -> the sequences of those that were there before.
    """

    def __init__(self, where: Filter, covered: Mapping[str, Ranges]) -> None:
        self._where = where
        self._covered = covered
        self._bars: tuple[int, int] | None = None
        self._unplaced: dict[str, array[int]] = {}  # times that have no bar yet, by level
        self._total = 0

    def place(self, start: int, width: int) -> None:
        """Have bars of the histogram told, now that it is known where these are.

        Args:
            start: Microseconds since 1970 at which one begins.
            width: Its width, in microseconds.
        """
        self._bars = start, max(width, 1)

    def look(self, rows: Sequence[Row]) -> dict[str, Any] | None:
        """Return what these rows change, without the rows' own encoding; None for nothing."""
        found = [row for row in rows if self._is_new(row) and self._where.matches(row)]
        bars = self._count_bars(found)
        if not found and not bars:
            return None
        self._total += len(found)
        shown = _sample(found)
        levels = Counter((row["level"], row["levelno"]) for row in found)
        return {
            "rows": shown,
            "total": self._total,
            "histogram": bars,
            "levels": [[*level, count] for level, count in levels.items()],
            "facets": list(_count_values(found)),
            "sampled": None if shown is found else {"shown": len(shown), "of": len(found)},
        }

    def _is_new(self, row: Row) -> bool:
        before = self._covered.get(row["producer"])
        return before is None or row["sequence"] not in before

    def _count_bars(self, rows: Sequence[Row]) -> list[list[Any]]:
        for row in rows:
            times = self._unplaced.setdefault(row["level"], array("q"))
            times.append(to_microseconds(row["timestamp"]))
        if self._bars is None:
            return []
        start, width = self._bars
        found: Counter[tuple[int, str]] = Counter()
        for level, times in self._unplaced.items():
            found.update((at - (at - start) % width, level) for at in times)
        self._unplaced.clear()
        return [[at, level, count] for (at, level), count in sorted(found.items())]


def _count_values(rows: Sequence[Row]) -> Sequence[list[Any]]:
    return [
        [field, value, count]
        for field in FACETS
        for value, count in Counter(row[field] for row in rows).items()
        if value is not None
    ]


def _sample(rows: Sequence[Row]) -> Sequence[Row]:
    """Return rows at even distances, the newest among them, where there are too many."""
    if len(rows) <= _MOST:
        return rows
    last = len(rows) - 1
    return [rows[last - at * last // (_MOST - 1)] for at in reversed(range(_MOST))]


class Inbox:
    """Rows that were told, until they are looked at."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def put(self, rows: Sequence[Row]) -> None:
        """Keep rows.

        Raises:
            Behind: There are too many.
        """
        if len(self._rows) > _ROOM:
            raise Behind
        self._rows.extend(rows)

    def take(self) -> list[Row]:
        """Return all that is there."""
        found, self._rows = self._rows, []
        return found

    def __bool__(self) -> bool:
        return bool(self._rows)
