"""What is new for one view: its rows, and by how much they change its statistics.

What comes is gathered, and told ten times a second at most.  Where more comes than anybody could
read, some rows stand for all of them, and the message says so; the counts are of all.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from logbatch.dataset.filter.comparisons import as_text, find
from logbatch.dataset.rows import Row
from logbatch.epoch import to_microseconds
from logbatch.identity import Ranges
from logbatch.server.viewer.live import EVERY
from logbatch.server.viewer.messages import narrow
from logbatch.server.viewer.statistics import Asked, Statistics
from logbatch.storage.columns import COLUMNS

RATE = 5_000
"""Rows a second that are sent."""

FACETS = ("level", "logger", "process", "service")
_MOST = int(RATE * EVERY)
_UNREAD = 10_000  # rows whose attributes wait to be counted
_ROOM = 200_000  # rows that may wait to be looked at


class Behind(Exception):
    """More came than could be looked at, so some would be left out."""


class Following:
    """What is new for a view; one thread at a time may use it.

    Args:
        asked: What is shown.
        covered: Producer -> the sequences of those that were there before.
    """

    def __init__(self, asked: Asked, covered: Mapping[str, Ranges]) -> None:
        self._where = narrow(asked.where, asked.start, asked.end)
        self._covered = covered
        self._bars: tuple[int, int] | None = None
        self._fields: tuple[str, ...] = FACETS
        self._unplaced: dict[str, array[int]] = {}  # times that have no bar yet, by level
        self._unread: list[Row] = []  # whose attributes are not counted yet
        self._total = 0

    def place(self, statistics: Statistics) -> None:
        """Have told by how much statistics change, now that they are known."""
        self._bars = statistics.start, statistics.width
        self._fields = statistics.fields

    def look(self, rows: Sequence[Row]) -> dict[str, Any] | None:
        """Return what these rows change, without the rows' own encoding; None for nothing."""
        found = [row for row in rows if self._is_new(row) and self._where.matches(row)]
        bars = self._count_bars(found)
        facets = [*_count_columns(found, self._columns()), *self._count_attributes(found)]
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
            "facets": facets,
            "sampled": None if shown is found else {"shown": len(shown), "of": len(found)},
        }

    def _columns(self) -> Sequence[str]:
        return [name for name in self._fields if name in COLUMNS]

    def _count_attributes(self, rows: Sequence[Row]) -> Iterator[list[Any]]:
        """Count what attributes are told of, once it is known which these are."""
        self._unread += rows[: max(_UNREAD - len(self._unread), 0)]
        if self._bars is not None:
            paths = [name for name in self._fields if name not in COLUMNS]
            yield from _count_paths(self._unread, paths)
            self._unread.clear()

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


def _count_columns(rows: Sequence[Row], fields: Sequence[str]) -> Iterator[list[Any]]:
    """Yield columns, values and how many rows have these."""
    for field in fields:
        counts = Counter(row[field] for row in rows)
        counts.pop(None, None)
        yield from ([field, value, count] for value, count in counts.items())


def _count_paths(rows: Sequence[Row], fields: Sequence[str]) -> Iterator[list[Any]]:
    """Yield attributes, values and how many rows have these, as facets have them."""
    for field in fields:
        path = field.removeprefix("attributes.")
        values = (find(row["attributes"], path) for row in rows)
        counts = Counter(as_text(value) for value in values if value is not None)
        yield from ([field, value, count] for value, count in counts.items())


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
