"""Rows in the order of time over any number of files, reading no more of them than needed.

Every piece of a file has bounds, so pieces are read in the order of their earliest time (or their
latest, newest first), and a row may come out once no piece is left that could hold one before it.
Memory holds the pieces that overlap in time, not the dataset.

For the newest few not even the bounds of all files are read: those of a file are guessed from the
time it was written, and found out when its turn comes.  As soon as one guess proves wrong, all are
given up.  Nothing is guessed of a process that saw the clock go back: its later files are the older
ones by their times.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, groupby, pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.listing import Damaged, Vanished
from logbatch.dataset.pieces import (
    FIXED,
    SLACK,
    Piece,
    bounds_of,
    guess_pieces,
    pieces,
    read,
    read_tail,
    written_at,
)
from logbatch.dataset.rows import Row, row_order, rows_of_table
from logbatch.dataset.snapshot import Part, Snapshot, Tail
from logbatch.dataset.source import TRIES, Source
from logbatch.epoch import to_microseconds
from logbatch.storage.arrays import make_scalar
from logbatch.storage.segments import born

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

_FEWEST, _MOST = 1 << 10, 1 << 16  # rows that are gathered before they are sorted
_STRIDE = 1 << 10  # rows that are made Python objects at a time


class _Unit(NamedTuple):
    """Something to read, ordered by the edge of its bounds that comes first."""

    edge: float
    number: int
    read: Callable[[], pa.Table] | None
    guess: tuple[Part, Piece] | None = None  # instead, where the bounds are not known yet


def ordered_rows(
    source: Source,
    snapshot: Snapshot,
    where: Filter,
    *,
    limit: int | None = None,
    newest_first: bool = False,
) -> Iterator[Row]:
    """Yield the rows of a snapshot in the order of time, or the other way round.

    Where a file goes away meanwhile, what is left of the snapshot's records is found in others.

    Raises:
        DatasetError: The directory cannot be read any more.
    """
    wanted = snapshot.covered
    last: Row | None = None
    tries = TRIES
    while limit is None or limit > 0:
        try:
            for row in _Merge(source, snapshot, where, limit, newest_first).rows():
                if last is None or _comes_after(row, last, newest_first):
                    last, tries = row, TRIES
                    limit = None if limit is None else limit - 1
                    yield row
                    if limit == 0:
                        return
            return
        except (Vanished, Damaged) as error:
            tries = source.note(error, tries)
            snapshot = source.snapshot().within(wanted)


def ordered_tables(source: Source, snapshot: Snapshot, where: Filter) -> Iterator[pa.Table]:
    """Yield the records of a snapshot as tables of some ten thousand rows, in the order of time.

    Raises:
        DatasetError: The directory cannot be read any more.
    """
    wanted = snapshot.covered
    last: Row | None = None
    tries = TRIES
    while True:
        try:
            for table in _Merge(source, snapshot, where, None, False).tables():
                rest = table if last is None else table.filter(_are_after(table, last))
                if len(rest):
                    last, tries = next(rows_of_table(rest.slice(len(rest) - 1))), TRIES
                    yield rest
            return
        except (Vanished, Damaged) as error:
            tries = source.note(error, tries)
            snapshot = source.snapshot().within(wanted)


def _are_after(table: pa.Table, last: Row) -> Any:
    """Return which rows come after one, in the order of time, producer and sequence."""
    moment, producer, sequence = row_order(last)
    found: Any = None
    for name, value, kind in (
        ("sequence", sequence, "int64"),
        ("producer", producer, "string"),
        ("timestamp", to_microseconds(moment), "int64"),
    ):
        column = table.column(name)
        column = column.cast(pa.int64()) if name == "timestamp" else column
        limit = make_scalar(value, kind)
        after = pc.greater(column, limit)
        same = None if found is None else pc.and_(pc.equal(column, limit), found)
        found = after if same is None else pc.or_(after, same)
    return found


def _comes_after(row: Row, last: Row, newest_first: bool) -> bool:
    return row_order(row) != row_order(last) and (row_order(row) < row_order(last)) is newest_first


class _Merge:
    """One pass over the pieces of a snapshot."""

    def __init__(
        self,
        source: Source,
        snapshot: Snapshot,
        where: Filter,
        limit: int | None,
        newest_first: bool,
    ) -> None:
        self._source = source
        self._where = where
        self._sign = -1 if newest_first else 1
        self._fewest = _FEWEST if limit is None else min(max(limit, 1), _MOST)
        self._numbers = count()
        self._units: list[_Unit] = []
        newest = max((self._add_tail(tail) for tail in snapshot.tails), default=0)
        # Times that have not come yet are made up, and tell nothing of when a file was written.
        self._guess = newest_first and limit is not None and newest <= time.time() * 1e6 + SLACK
        for producer, parts in groupby(snapshot.parts, lambda part: part.segment.producer):
            self._add_parts(producer, list(parts))

    def _add_tail(self, tail: Tail) -> float:
        table = read_tail(tail, FIXED)
        bounds = pc.min_max(table.column("timestamp").cast(pa.int64())).as_py()
        piece = Piece(0, None, bounds["min"], bounds["max"])
        self._add(piece, partial(self._chosen, table))
        return piece.high

    def _add_parts(self, producer: str, parts: list[Part]) -> None:
        """Add the files of a producer, in the order in which they were written."""
        written = [written_at(part) for part in parts] if self._guess else []
        if not written or not _in_order([int(born(producer) * 1e6), *written]):
            for part in parts:
                self._add_pieces(part, self._pieces(part))
            return
        for part, at in zip(parts, written, strict=True):
            for piece in guess_pieces(part, at):
                unit = _Unit(-piece.high, next(self._numbers), None, (part, piece))
                heapq.heappush(self._units, unit)

    def _pieces(self, part: Part) -> tuple[Piece, ...]:
        return self._source.footer(part).pieces if _is_parquet(part) else pieces(part)

    def _add_pieces(self, part: Part, found: tuple[Piece, ...]) -> None:
        for piece in found:
            self._add(piece, partial(self._read, part, piece))

    def _find_out(self, part: Part, guessed: Piece) -> bool:
        """Replace a guess by what is true; tell whether it was right."""
        whole = guessed.start == 0 and guessed.stop is None
        found = self._pieces(part) if whole else (bounds_of(part, guessed),)
        self._add_pieces(part, found)
        return all(piece.high <= guessed.high for piece in found)

    def _give_up_guessing(self) -> None:
        guesses = [unit.guess for unit in self._units if unit.guess is not None]
        self._units = [unit for unit in self._units if unit.guess is None]
        heapq.heapify(self._units)
        for part, piece in guesses:
            self._find_out(part, piece)

    def _add(self, piece: Piece, read: Callable[[], pa.Table]) -> None:
        first, last = self._where.period
        if (first is None or piece.high >= first) and (last is None or piece.low <= last):
            edge = piece.low if self._sign > 0 else -piece.high
            heapq.heappush(self._units, _Unit(edge, next(self._numbers), read))

    def _read(self, part: Part, piece: Piece) -> pa.Table:
        self._source.looked_at.add(part.path)
        if _is_parquet(part) and self._where:
            few = pa.schema([FIXED.field(name) for name in sorted(self._where.columns)])
            mask = self._where.mask(read(part, piece, few)[0])
            return read(part, piece, FIXED)[0].filter(mask) if mask.true_count else _nothing()
        table, damaged = read(part, piece, FIXED)
        self._source.tell_damaged_lines(part.path, damaged)
        return self._chosen(table)

    def _chosen(self, table: pa.Table) -> pa.Table:
        return self._where.apply(table)

    def rows(self) -> Iterator[Row]:
        for table in self.tables():
            for start in range(0, table.num_rows, _STRIDE):
                yield from rows_of_table(table.slice(start, _STRIDE))

    def tables(self) -> Iterator[pa.Table]:
        """Yield sorted tables, each of which comes after the one before."""
        pool, fewest = _nothing(), self._fewest
        while self._units or pool.num_rows:
            pool = self._sorted(pa.concat_tables([pool, *self._gather(max(fewest, len(pool)))]))
            ready = self._count_ready(pool)
            yield pool.slice(0, ready)
            pool = pool.slice(ready)
            fewest = min(2 * fewest, _MOST)

    def _gather(self, rows: int) -> Iterator[pa.Table]:
        """Read the next pieces, until there are some rows."""
        while self._units and rows > 0:
            unit = heapq.heappop(self._units)
            if unit.read is not None:
                table = unit.read()
                rows -= table.num_rows
                yield table
            elif unit.guess is not None and not self._find_out(*unit.guess):
                self._give_up_guessing()

    def _sorted(self, table: pa.Table) -> pa.Table:
        direction = "ascending" if self._sign > 0 else "descending"
        keys: Any = [(name, direction) for name in ("timestamp", "producer", "sequence")]
        return table.sort_by(keys)

    def _count_ready(self, pool: pa.Table) -> int:
        """Count the rows that come before everything that is still to be read."""
        edge = self._units[0].edge if self._units else math.inf
        if math.isinf(edge):
            return pool.num_rows if edge > 0 else 0
        times = pool.column("timestamp").cast(pa.int64())
        limit = make_scalar(int(edge) * self._sign, "int64")
        before = pc.less(times, limit) if self._sign > 0 else pc.greater(times, limit)
        return pc.sum(before).as_py() or 0


def _in_order(times: list[int]) -> bool:
    """Return whether the clock was never set back between times."""
    return all(after >= before - SLACK for before, after in pairwise(times))


def _is_parquet(part: Part) -> bool:
    return part.segment.ext == "parquet"


def _nothing() -> pa.Table:
    return pa.Table.from_batches([], FIXED)
