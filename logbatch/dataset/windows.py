"""Windows of time, that the engine reads one after another.

A small file is read as a whole when its turn comes, and what it holds beyond the window waits.  Of
a file with several pieces, such as a compacted one, each window reads what lies within it: the
engine leaves out the row groups that do not, by their statistics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from logbatch import epoch
from logbatch.dataset.blame import blame
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_time
from logbatch.dataset.footers import FIXED, Piece
from logbatch.dataset.pieces import conform
from logbatch.dataset.snapshot import Part
from logbatch.dataset.source import Source
from logbatch.dataset.tables import Search, decide, flagged
from logbatch.errors import DatasetError

MOST = 1 << 17  # rows that one window may hold where all are wanted
_MORE = 8  # how many times as many rows are asked for, where many that may match did not


class _Stretch(NamedTuple):
    """A piece, by the order of reading: where it begins and ends, and how many rows it has."""

    start: float
    stop: float
    rows: int


class Windows:
    """Reads Parquet files window by window, in the order of time or the other way round.

    Args:
        source: Told about damage.
        files: How many there are.
        where: Which records.
        limit: How many are wanted at most; None for all.
        newest_first: From the end to the beginning.
        engine: Is asked, and left open; None for one of its own.

    Attributes:
        edge: Where the last window ended: microseconds since 1970, negative from the end.
    """

    def __init__(
        self,
        source: Source,
        files: int,
        where: Filter,
        limit: int | None,
        newest_first: bool,
        engine: Engine | None = None,
    ) -> None:
        self._source = source
        self._where = where
        self._limit = limit
        self._sign = -1 if newest_first else 1
        self._is_own = engine is None
        self._engine = engine or Engine(files=files)
        self._small: list[Part] = []
        self._divided: dict[Path, tuple[Part, list[_Stretch]]] = {}
        self._done: dict[Path, float] = {}  # how far each of them was read
        self.edge = -math.inf

    def close(self) -> None:
        """End what the engine may still do, and remove what it left."""
        if self._is_own:
            self._engine.close()

    def add(self, part: Part) -> None:
        """Have the next window read a whole file."""
        self._small.append(part)

    def add_piece(self, part: Part, piece: Piece) -> None:
        """Have windows read of a file what they hold of it, up to the end of a piece at least."""
        start, stop = sorted((piece.low * self._sign, piece.high * self._sign))
        _, known = self._divided.setdefault(part.path, (part, []))
        known.append(_Stretch(start, stop, piece.rows))

    def waiting(self) -> float:
        """Estimate how many rows are left of the pieces."""
        return sum(_left(each, self.edge) for _, known in self._divided.values() for each in known)

    def unread(self) -> bool:
        """Return whether there is anything left to read."""
        return bool(self._small or self._divided)

    def read(self, edge: float) -> pa.Table:
        """Read the next window.

        Args:
            edge: Where it ends, if there are not too many rows before that.

        Returns:
            What is in it, and what small files hold beyond.

        Raises:
            Vanished, Damaged: A file cannot be read.
        """
        self.edge = self._shorten(edge)
        divided = [part for part, _ in self._divided.values()]
        parts = [*self._small, *divided]
        try:
            found = self._ask(divided, parts)
        except self._engine.errors as error:
            blame(self._source, error, parts)
            raise DatasetError(f"{self._source.directory} cannot be read: {error}") from error
        self._source.looked_at.update(part.path for part in parts)
        self._small.clear()
        for path, (_, known) in list(self._divided.items()):
            self._done[path] = self.edge
            known[:] = [each for each in known if each.stop >= self.edge]
            if not known:
                del self._divided[path]
        return found

    def _ask(self, divided: Sequence[Part], parts: Sequence[Part]) -> pa.Table:
        search = Search(self._engine, self._source, parts, FIXED, self._where)
        mark = self._limit is None
        queries = [search.query(self._small, mark=mark)] if self._small else []
        starts = {part.path: self._done.get(part.path, -math.inf) for part in divided}
        for start in set(starts.values()):
            together = [part for part in divided if starts[part.path] == start]
            queries.append(search.query(together, self._within(start), mark=mark))
        query = " UNION ALL ".join(queries)
        if self._limit is None:
            found = self._engine.table(query)
            return decide(conform(found, flagged(FIXED, found.schema)), self._where)
        return self._first(query, self._limit)

    def _first(self, query: str, limit: int) -> pa.Table:
        """Return the first rows that match, by the order of reading."""
        direction = "ASC" if self._sign > 0 else "DESC"
        keys = ", ".join(f"{name} {direction}" for name in ("timestamp", "producer", "sequence"))
        wanted = max(limit, 1)
        while True:
            possible = self._engine.table(f"{query} ORDER BY {keys} LIMIT {wanted}")
            found = self._where.apply(conform(possible, FIXED))
            if possible.num_rows < wanted or found.num_rows >= limit:
                return found
            wanted *= _MORE

    def _shorten(self, edge: float) -> float:
        """End a window earlier where pieces that lie over one another would make it too large."""
        rows = self.waiting()
        if self._limit is not None or rows <= MOST:
            return edge
        pieces = [each for _, known in self._divided.values() for each in known]
        start = max(self.edge, min(each.start for each in pieces))
        stop = max(each.stop for each in pieces)
        if not math.isfinite(stop - start):
            return edge
        return min(edge, max(start + 1, start + (stop - start) * MOST // rows))

    def _within(self, start: float) -> str:
        """Return the condition that a row is in the window."""
        ends = [
            ("<=" if self._sign < 0 else ">=", start),
            (">" if self._sign < 0 else "<", self.edge),
        ]
        tests = [
            f"timestamp {operator} {quoted_time(int(end * self._sign))}"
            for operator, end in ends
            if epoch.FIRST <= end * self._sign <= epoch.LAST
        ]
        return " AND ".join(tests) or "TRUE"


def _left(stretch: _Stretch, edge: float) -> float:
    """Estimate how many rows of a piece lie beyond an edge."""
    start, stop, rows = stretch
    if edge <= start:
        return rows
    return rows * (stop - edge) / (stop - start) if stop > edge else 0
