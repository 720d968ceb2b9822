"""What the same thread of the same process logged around one record.

A producer numbers its records in the order in which they are logged, so it is looked at those with
the numbers around: a few first, then more, at last all.
"""

from __future__ import annotations

from contextlib import ExitStack

from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.footers import FIXED
from logbatch.dataset.matching import Matches
from logbatch.dataset.pieces import conform
from logbatch.dataset.rows import Row, rows_of_table
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.errors import DatasetError
from logbatch.identity import Ranges
from logbatch.storage.columns import COLUMNS

_NEAR = 8  # times as many numbers as records are wanted are looked at first
_FAR = 4096  # times as many, then


def find_context(
    source: Source,
    snapshot: Snapshot,
    place: tuple[str, int],
    before: int,
    after: int,
    engine: Engine | None = None,
) -> list[Row]:
    """Return a record and those around it; see `Dataset.context`.

    Raises:
        Vanished, Damaged: A file cannot be read.
        DatasetError: The record is not there.
        QueryError: DuckDB is not installed.
    """
    producer, sequence = place
    with ExitStack() as stack:
        around = _Around(source, snapshot, producer, engine or stack.enter_context(Engine()))
        found = around.read(sequence, sequence, Filter())
        if not found:
            raise DatasetError(
                f"there is no record {sequence} of {producer} in {source.directory} (any more):"
                " it was removed, or never there"
            )
        same = Filter.equals("process", found[0]["process"])
        same &= Filter.equals("thread", found[0]["thread"])
        earlier = around.gather(sequence, -1, before, same)
        later = around.gather(sequence, 1, after, same)
    return [*reversed(earlier), *found, *later]


class _Around:
    """Reads records of one producer by their numbers."""

    def __init__(self, source: Source, snapshot: Snapshot, producer: str, engine: Engine) -> None:
        self._source = source
        self._snapshot = snapshot
        self._producer = producer
        self._engine = engine
        self._spans = list(snapshot.covered.get(producer, ()))

    def gather(self, sequence: int, step: int, wanted: int, where: Filter) -> list[Row]:
        """Return the nearest records on one side of a number, the nearest first.

        Args:
            sequence: The number.
            step: 1 for the greater ones, -1 for the smaller.
            wanted: The most that are wanted.
            where: Which records.
        """
        edge = self._spans[-1][1] if step > 0 else self._spans[0][0]
        found: list[Row] = []
        for factor in (_NEAR, _FAR, None):
            if sequence == edge or not wanted:
                break
            far = edge if factor is None else sequence + step * factor * wanted
            reach = min(far, edge) if step > 0 else max(far, edge)
            low, high = sorted((sequence + step, reach))
            found = self.read(low, high, where, "ASC" if step > 0 else "DESC", wanted)
            if len(found) == wanted or reach == edge:
                break
        return found

    def read(
        self, low: int, high: int, where: Filter, direction: str = "ASC", limit: int = 1
    ) -> list[Row]:
        """Return records with these numbers, and no others."""
        near = self._snapshot.within({self._producer: Ranges([(low, high)])})
        where &= Filter.equals("producer", self._producer)
        where &= Filter.parse(f"sequence>={low} sequence<={high}")
        with Matches(self._source, near, where, list(COLUMNS), self._engine) as matches:
            query = f"SELECT * FROM {{matches}} ORDER BY sequence {direction} LIMIT {limit}"
            return list(rows_of_table(conform(matches.table(query), FIXED)))
