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
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from itertools import count, groupby, pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute

from logbatch.dataset.engine import Engine, is_installed
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.footers import FIXED, Piece
from logbatch.dataset.listing import Damaged, Vanished
from logbatch.dataset.pieces import (
    SLACK,
    bounds_of,
    guess_pieces,
    pieces,
    read,
    read_tail,
    size_of,
    written_at,
)
from logbatch.dataset.rows import Row, row_order, rows_of_table
from logbatch.dataset.snapshot import Part, Snapshot, Tail
from logbatch.dataset.source import TRIES, Source
from logbatch.dataset.stopping import check
from logbatch.dataset.windows import Windows
from logbatch.epoch import to_microseconds
from logbatch.storage.arrays import make_scalar
from logbatch.storage.segments import born

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

_FEWEST, _MOST = 1 << 10, 1 << 16  # rows that are gathered before they are sorted
_FILES = 16  # files that the engine reads first
_MORE = 10  # times as many it reads next, and so on
_AS_A_FILE = 1 << 14  # rows of a piece of a file that count like one
_LONG = 1 << 20  # bytes of a file of which it reads a part only
_KEYS = ["timestamp", "producer", "sequence"]
_STRIDE = 1 << 10  # rows that are made Python objects at a time


class _Unit(NamedTuple):
    """Something to read, ordered by the edge of its bounds that comes first."""

    edge: float
    number: int
    part: Part | None
    piece: Piece
    guessed: bool = False
    table: pa.Table | None = None  # of a journal


def ordered_rows(
    source: Source,
    snapshot: Snapshot,
    where: Filter,
    *,
    limit: int | None = None,
    newest_first: bool = False,
    engine: Engine | None = None,
) -> Iterator[Row]:
    """Yield the rows of a snapshot in the order of time, or the other way round.

    Where a file goes away meanwhile, what is left of the snapshot's records is found in others.

    Args:
        source: Told about damage.
        snapshot: What to read.
        where: Which records.
        limit: At most so many; None for all.
        newest_first: From the end to the beginning.
        engine: Is asked, and left open; None for one of its own, where one is needed.

    Raises:
        DatasetError: The directory cannot be read any more.
    """
    wanted = snapshot.covered
    last: Row | None = None
    tries = TRIES
    while limit is None or limit > 0:
        try:
            with closing(_Merge(source, snapshot, where, limit, newest_first, engine)) as merge:
                for row in merge.rows():
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


def ordered_tables(
    source: Source, snapshot: Snapshot, where: Filter, engine: Engine | None = None
) -> Iterator[pa.Table]:
    """Yield the records of a snapshot as tables of some ten thousand rows, in the order of time.

    Args:
        source: Told about damage.
        snapshot: What to read.
        where: Which records.
        engine: Is asked, and left open; None for one of its own, where one is needed.

    Raises:
        DatasetError: The directory cannot be read any more.
    """
    wanted = snapshot.covered
    last: Row | None = None
    tries = TRIES
    while True:
        try:
            with closing(_Merge(source, snapshot, where, None, False, engine)) as merge:
                for table in merge.tables():
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
        engine: Engine | None = None,
    ) -> None:
        self._source = source
        self._where = where
        self._limit = limit
        self._sign = -1 if newest_first else 1
        self._fewest = _FEWEST if limit is None else min(max(limit, 1), _MOST)
        self._files = _FILES
        self._numbers = count()
        self._units: list[_Unit] = []
        self._windows: Windows | None = None
        if _needs_engine(snapshot, where, limit) and is_installed():
            self._windows = Windows(source, len(snapshot.parts), where, limit, newest_first, engine)
        try:
            newest = max((self._add_tail(tail) for tail in snapshot.tails), default=0)
            # Times that have not come yet are made up, and tell nothing of when they were written.
            self._guess = newest_first and limit is not None and newest <= time.time() * 1e6 + SLACK
            for producer, parts in groupby(snapshot.parts, lambda part: part.segment.producer):
                self._add_parts(producer, list(parts))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End what goes on in the background."""
        if self._windows is not None:
            self._windows.close()

    # ------------------------------------------------------------------ what there is to read

    def _add_tail(self, tail: Tail) -> float:
        check()
        table = read_tail(tail, FIXED)
        bounds = pc.min_max(table.column("timestamp").cast(pa.int64())).as_py()
        piece = Piece(0, None, bounds["min"], bounds["max"])
        self._add(None, piece, table)
        return piece.high

    def _add_parts(self, producer: str, parts: list[Part]) -> None:
        """Add the files of a producer, in the order in which they were written."""
        guess = self._guess and producer  # those of many say themselves what they hold
        written = [written_at(part) for part in parts] if guess else []
        if not written or not _in_order([int(born(producer) * 1e6), *written]):
            for part in parts:
                self._add_pieces(part, self._pieces(part))
            return
        for part, at in zip(parts, written, strict=True):
            for piece in guess_pieces(part, at):
                unit = _Unit(-piece.high, next(self._numbers), part, piece, guessed=True)
                heapq.heappush(self._units, unit)

    def _pieces(self, part: Part) -> tuple[Piece, ...]:
        return self._source.footer(part).pieces if _is_parquet(part) else pieces(part)

    def _add_pieces(self, part: Part, found: tuple[Piece, ...]) -> None:
        for piece in found:
            self._add(part, piece)

    def _add(self, part: Part | None, piece: Piece, table: pa.Table | None = None) -> None:
        first, last = self._where.period
        if (first is None or piece.high >= first) and (last is None or piece.low <= last):
            edge = piece.low if self._sign > 0 else -piece.high
            unit = _Unit(edge, next(self._numbers), part, piece, table=table)
            heapq.heappush(self._units, unit)

    def _find_out(self, part: Part, guessed: Piece) -> bool:
        """Replace a guess by what is true; return whether it was right."""
        whole = guessed.start == 0 and guessed.stop is None
        found = self._pieces(part) if whole else (bounds_of(part, guessed),)
        self._add_pieces(part, found)
        return all(piece.high <= guessed.high for piece in found)

    def _give_up_guessing(self) -> None:
        guesses = [unit for unit in self._units if unit.guessed]
        self._units = [unit for unit in self._units if not unit.guessed]
        heapq.heapify(self._units)
        for unit in guesses:
            if unit.part is not None:
                self._find_out(unit.part, unit.piece)

    # ------------------------------------------------------------------ reading

    def _gather(self, rows: int) -> Iterator[pa.Table]:
        """Read the next pieces, until there are some rows."""
        guesses: list[tuple[Part, Piece]] = []
        files = 0
        while self._units and rows > 0 and files < self._files:
            check()
            unit = heapq.heappop(self._units)
            if unit.part is None:
                table = self._chosen(unit.table)
            elif self._windows is not None and _is_parquet(unit.part) and not _is_long(unit):
                files += max(1, unit.piece.rows // _AS_A_FILE)
                rows -= unit.piece.rows if self._limit is None else 0
                if unit.guessed:
                    guesses.append((unit.part, unit.piece))
                self._hand_over(self._windows, unit.part, unit.piece)
                continue
            elif unit.guessed:
                if not self._find_out(unit.part, unit.piece):
                    self._give_up_guessing()
                continue
            else:
                table = self._read(unit.part, unit.piece)
            rows -= table.num_rows
            yield table
        if self._windows is not None and self._windows.unread():
            yield self._read_window(self._windows, guesses)

    def _hand_over(self, windows: Windows, part: Part, piece: Piece) -> None:
        if (piece.start == 0 and piece.stop is None) or len(self._source.footer(part).pieces) == 1:
            windows.add(part)
        else:
            windows.add_piece(part, piece)

    def _read_window(self, windows: Windows, guesses: list[tuple[Part, Piece]]) -> pa.Table:
        """Read what was gathered; more of that is read at a time as it goes on."""
        self._files *= _MORE
        table = windows.read(self._next_edge())
        if not _are_right(guesses, table):
            self._give_up_guessing()
        return table

    def _read(self, part: Part, piece: Piece) -> pa.Table:
        self._source.looked_at.add(part.path)
        table, damaged = read(part, piece, FIXED)
        self._source.tell_damaged_lines(part.path, damaged)
        return self._chosen(table)

    def _chosen(self, table: Any) -> pa.Table:
        found: pa.Table = self._where.apply(table)
        return found

    # ------------------------------------------------------------------ order

    def rows(self) -> Iterator[Row]:
        for table in self.tables():
            for start in range(0, table.num_rows, _STRIDE):
                check()
                yield from rows_of_table(table.slice(start, _STRIDE))

    def tables(self) -> Iterator[pa.Table]:
        """Yield sorted tables, each of which comes after the one before."""
        pool, fewest = _nothing(), self._fewest
        while self._units or pool.num_rows or (self._windows and self._windows.unread()):
            pool = self._sorted(pa.concat_tables([pool, *self._gather(max(fewest, len(pool)))]))
            ready = self._count_ready(pool)
            yield pool.slice(0, ready)
            pool = pool.slice(ready)
            fewest = min(2 * fewest, _MOST)

    def _sorted(self, table: pa.Table) -> pa.Table:
        """Sort rows, and keep as many as can still be wanted."""
        direction = "ascending" if self._sign > 0 else "descending"
        keys: Any = [(name, direction) for name in _KEYS]
        order = pc.sort_indices(table.select(_KEYS), sort_keys=keys)
        return table.take(order.slice(0, self._limit))

    def _next_edge(self) -> float:
        return self._units[0].edge if self._units else math.inf

    def _count_ready(self, pool: pa.Table) -> int:
        """Count the rows that come before everything that is still to be read."""
        edge = self._next_edge()
        if self._windows is not None and self._windows.unread():
            edge = min(edge, self._windows.edge)
        if math.isinf(edge):
            return pool.num_rows if edge > 0 else 0
        times = pool.column("timestamp").cast(pa.int64())
        limit = make_scalar(int(edge) * self._sign, "int64")
        before = pc.less(times, limit) if self._sign > 0 else pc.greater(times, limit)
        return pc.sum(before).as_py() or 0


def _needs_engine(snapshot: Snapshot, where: Filter, limit: int | None) -> bool:
    """Return whether Parquet files are better read by the engine than one after another."""
    if not any(map(_is_parquet, snapshot.parts)):
        return False
    return bool(where) or (limit is None and any(p.segment.compacted for p in snapshot.parts))


def _are_right(guesses: list[tuple[Part, Piece]], found: pa.Table) -> bool:
    """Return whether what was found of files is as old as was guessed of these."""
    if not guesses or not found.num_rows:
        return True
    limits: dict[str, list[tuple[int, float]]] = {}
    for part, piece in guesses:
        limits.setdefault(part.segment.producer, []).append((part.segment.first, piece.high))
    for known in limits.values():
        known.sort()
    columns: list[Any] = [found.column(name) for name in ("producer", "sequence")]
    names, numbers = (column.to_pylist() for column in columns)
    times: list[Any] = found.column("timestamp").cast(pa.int64()).to_pylist()
    for at, producer, sequence in zip(times, names, numbers, strict=True):
        known = limits.get(producer, [])
        index = bisect_right(known, (sequence, math.inf)) - 1
        if index >= 0 and at > known[index][1]:
            return False
    return True


def _is_long(unit: _Unit) -> bool:
    """Return whether a file is so large that its end should be looked at before it is read."""
    return unit.guessed and unit.part is not None and size_of(unit.part) > _LONG


def _in_order(times: list[int]) -> bool:
    """Return whether the clock was never set back between times."""
    return all(after >= before - SLACK for before, after in pairwise(times))


def _is_parquet(part: Part) -> bool:
    return part.segment.ext == "parquet"


def _nothing() -> pa.Table:
    return pa.Table.from_batches([], FIXED)
