"""What is new for one view: its rows, and by how much they change its statistics.

What comes is gathered, and told ten times a second at most.  Where more comes than anybody could
read, some rows stand for all of them, and the message says so; the counts are of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute

from logbatch.dataset.filter.comparisons import as_object, as_text, find
from logbatch.dataset.footers import FIXED
from logbatch.dataset.rows import rows_of_table
from logbatch.epoch import FIRST
from logbatch.identity import Ranges
from logbatch.server.viewer.live import EVERY
from logbatch.server.viewer.messages import narrow
from logbatch.server.viewer.statistics import Asked, Statistics
from logbatch.server.viewer.wire import columns_for
from logbatch.storage.arrays import make_array, make_scalar
from logbatch.storage.columns import COLUMNS

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

RATE = 5_000
"""Rows a second that are sent."""

FACETS = ("level", "logger", "process", "service")
_MOST = int(RATE * EVERY)
_UNREAD = 10_000  # rows whose attributes wait to be counted
_ROOM = 50_000  # rows that may wait to be looked at
_COUNT: Any = [([], "count_all")]
_ORDER: Any = [(name, "ascending") for name in ("timestamp", "producer", "sequence")]


class Behind(Exception):
    """More came than could be looked at, so some would be left out."""


class Following:
    """What is new for a view; one thread at a time may use it.

    Args:
        asked: What is shown.
        covered: Producer -> the sequences of those that were there before.
        columns: The columns of rows, or paths of attributes.

    Attributes:
        is_joined: Whether anybody began to log who did not before.
    """

    def __init__(self, asked: Asked, covered: Mapping[str, Ranges], columns: Sequence[str]) -> None:
        self._where = narrow(asked.where, asked.start, asked.end)
        self._covered = covered
        self._last = {name: max((b for _, b in r), default=-1) for name, r in covered.items()}
        self._columns = columns_for(columns)
        self.is_joined = False
        self._bars: tuple[int, int] | None = None
        self._fields: Sequence[str] = FACETS
        self._unplaced: list[pa.Table] = []  # times and levels that have no bar yet
        self._unread: list[str] = []  # attributes that are not counted yet
        self._total = 0

    def place(self, statistics: Statistics) -> None:
        """Have told by how much statistics change, now that they are known."""
        self._bars = statistics.start, statistics.width
        self._fields = statistics.fields

    def look(self, tables: Sequence[pa.Table]) -> dict[str, Any] | None:
        """Return what is to be told of what came, with rows as dicts; None for nothing."""
        found = self._choose(tables)
        bars = list(self._count_bars(found))
        facets = [*self._count_columns(found), *self._count_attributes(found)]
        if not found.num_rows and not bars:
            return None
        self._total += found.num_rows
        shown = _sample(found)
        sampled = {"shown": shown.num_rows, "of": found.num_rows}
        return {
            "rows": list(rows_of_table(shown, self._columns)),
            "total": self._total,
            "histogram": bars,
            "levels": [list(each) for each in _counted(found, "level", "levelno")],
            "facets": facets,
            "sampled": sampled if shown.num_rows < found.num_rows else None,
        }

    def _choose(self, tables: Sequence[pa.Table]) -> pa.Table:
        """Return the rows that match and were not there before, in the order of time."""
        chosen = [self._where.apply(self._leave_out(table)) for table in tables]
        return pa.concat_tables([pa.Table.from_batches([], FIXED), *chosen]).sort_by(_ORDER)

    def _leave_out(self, table: pa.Table) -> pa.Table:
        """Leave out what was there before."""
        firsts = table.group_by("producer").aggregate([("sequence", "min")]).to_pylist()
        joined = {row["producer"] for row in firsts} - self._last.keys()
        self._last |= dict.fromkeys(joined, -1)
        self.is_joined = self.is_joined or bool(joined)
        if all(row["sequence_min"] > self._last.get(row["producer"], -1) for row in firsts):
            return table
        names: list[Any] = table.column("producer").to_pylist()
        numbers: list[Any] = table.column("sequence").to_pylist()
        nothing = Ranges()
        new = [
            number not in self._covered.get(name, nothing)
            for name, number in zip(names, numbers, strict=True)
        ]
        return table.filter(make_array(new, "bool"))

    # ------------------------------------------------------------------ counting

    def _count_bars(self, found: pa.Table) -> Iterator[list[Any]]:
        """Yield bars of the histogram, levels, and how many rows are in these."""
        self._unplaced.append(found.select(["timestamp", "level"]))
        if self._bars is None:
            return
        start, width = self._bars
        base = start - ((start - FIRST) // width) * width  # before any time there is
        table = pa.concat_tables(self._unplaced)
        self._unplaced.clear()
        times = pc.subtract(table.column("timestamp").cast(pa.int64()), make_scalar(base, "int64"))
        numbers = pc.divide(times, make_scalar(width, "int64"))
        bars = table.set_column(0, "bar", numbers)
        for bar, level, count in _counted(bars, "bar", "level"):
            yield [base + bar * width, level, count]

    def _count_columns(self, found: pa.Table) -> Iterator[list[Any]]:
        """Yield columns, values and how many rows have these."""
        for field in self._fields:
            if field in COLUMNS:
                for value, count in _counted(found, field):
                    if value is not None:
                        yield [field, value, count]

    def _count_attributes(self, found: pa.Table) -> Iterator[list[Any]]:
        """Yield attributes, values and how many rows have these, as facets have them."""
        texts: list[Any] = found.column("attributes").to_pylist()
        if self._bars is None:
            self._unread += texts[: max(_UNREAD - len(self._unread), 0)]
            return
        every = list(map(as_object, [*self._unread, *texts]))
        self._unread.clear()
        for field in self._fields:
            if field not in COLUMNS:
                path = field.removeprefix("attributes.")
                values = (find(attributes, path) for attributes in every)
                counts = Counter(as_text(value) for value in values if value is not None)
                yield from ([field, value, count] for value, count in counts.items())


def _counted(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield the values of columns, in order, and how many rows have these."""
    counted = table.select(list(names)).group_by(list(names)).aggregate(_COUNT)
    columns = [counted.column(name).to_pylist() for name in (*names, "count_all")]
    rows = zip(*columns, strict=True)
    yield from sorted(rows, key=lambda row: [(value is None, value) for value in row])


def _sample(found: pa.Table) -> pa.Table:
    """Return rows at even distances, the last among them, where there are too many."""
    if found.num_rows <= _MOST:
        return found
    last = found.num_rows - 1
    return found.take(make_array([at * last // (_MOST - 1) for at in range(_MOST)], "int64"))


class Inbox:
    """What was told, until it is looked at."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._rows = 0

    def put(self, table: pa.Table) -> None:
        """Keep rows.

        Raises:
            Behind: There are too many.
        """
        if self._rows > _ROOM:
            raise Behind
        self._tables.append(table)
        self._rows += table.num_rows

    def take(self) -> list[pa.Table]:
        """Return all that is there."""
        found, self._tables, self._rows = self._tables, [], 0
        return found
