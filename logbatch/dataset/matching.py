"""What matches a filter in a snapshot, as one relation that DuckDB is asked about.

Most of it are the Parquet files, with the filter as a condition.  Beside them stands a table of
what DuckDB cannot read or decide: records in JSON Lines and journals, and those rows of which the
filter itself was asked.  Where it is large it is a temporary Parquet file.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch import epoch
from logbatch.dataset.engine import Engine, Reading, blame, is_installed
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_name, quoted_time
from logbatch.dataset.footers import FIXED
from logbatch.dataset.pieces import conform
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.tables import Search, names_of, read_rest, split, with_columns
from logbatch.errors import DatasetError, QueryError
from logbatch.storage.arrays import make_scalar
from logbatch.storage.columns import COLUMNS

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

_SPOOL = 1 << 25  # bytes of a table from which on it is put into a temporary file


class Matches:
    """The records of a snapshot that match; to be used in a `with`.

    Args:
        source: Told about damage.
        snapshot: What to read.
        where: Which records.
        columns: The columns that are asked about: fixed or promoted ones.
        engine: Is asked, and left open; None for one of its own.
        start: Microseconds since 1970 before which none is wanted.
        end: The same, from which on none is wanted.
        timeout: Seconds that all questions may take together; None for any number.

    Raises:
        QueryError: DuckDB is not installed.
    """

    def __init__(
        self,
        source: Source,
        snapshot: Snapshot,
        where: Filter,
        columns: Sequence[str],
        engine: Engine | None = None,
        *,
        start: int | None = None,
        end: int | None = None,
        timeout: float | None = None,
    ) -> None:
        if not is_installed():
            raise QueryError('this needs DuckDB: pip install "logbatch[tools]"')
        self._source = source
        self._snapshot = snapshot
        self._where = where
        self._columns = list(columns)
        self._given = engine
        self._range = start, end
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._stack = ExitStack()
        self._parquet, self._others = split(snapshot.parts)

    def __enter__(self) -> Matches:
        """Find out what DuckDB cannot.

        Raises:
            Vanished, Damaged: A file cannot be read.
            QueryError: It took too long.
        """
        try:
            given, files = self._given, len(self._parquet)
            self._engine = given or self._stack.enter_context(Engine(files=files))
            with self._blaming():
                self._relation = self._make_relation()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def table(self, query: str) -> pa.Table:
        """Answer a query; `{matches}` in it is the relation of the columns.

        Raises:
            Vanished, Damaged: A file cannot be read.
            QueryError: It took too long.
        """
        with self._blaming():
            return self._engine.table(self._put_into(query), self._left())

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield the answer to a query as it comes; raise as `table` does."""
        with self._blaming():
            for batch in self._engine.batches(self._put_into(query)):
                self._left()
                yield batch

    def _put_into(self, query: str) -> str:
        return query.replace("{matches}", f"({self._relation})")

    def _left(self) -> float | None:
        """Return the seconds that are left.

        Raises:
            TimeoutError: None are.
        """
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise QueryError(f"the query was stopped after {self._timeout:g} s") from None
        except self._engine.errors as error:
            blame(self._source, error, self._parquet)
            raise DatasetError(f"{self._source.directory} cannot be read: {error}") from error

    # ------------------------------------------------------------------ the relation

    def _make_relation(self) -> str:
        schema = self._schema()
        wider = with_columns(schema, {*self._where.columns, "timestamp"})
        reads, tables = [], [self._read_rest(wider)]
        if self._parquet:
            search = Search(self._engine, self._source, self._parquet, wider, self._where)
            within = self._within()
            reads.append(search.sure(self._parquet, schema, within))
            if not search.is_sure:
                tables.append(self._decide(search.unsure(self._parquet, within), wider))
        beside = self._keep((table for each in tables for table in each), schema)
        return " UNION ALL ".join([*reads, *beside] or [self._name_table([], schema)])

    def _schema(self) -> pa.Schema:
        fixed = COLUMNS.keys() >= set(self._columns)
        known = FIXED if fixed else self._source.schema(self._snapshot.parts)
        return pa.schema([known.field(name) for name in self._columns])

    def _within(self) -> str:
        """Return the condition that a row is in the range of time."""
        start, end = self._range
        tests = []
        if start is not None and start > epoch.FIRST:
            late = start > epoch.LAST
            tests.append("FALSE" if late else f"timestamp >= {quoted_time(start)}")
        if end is not None and end <= epoch.LAST:
            early = end <= epoch.FIRST
            tests.append("FALSE" if early else f"timestamp < {quoted_time(end)}")
        return " AND ".join(tests) or "TRUE"

    def _read_rest(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield what matches in JSON Lines and in journals."""
        for table in read_rest(self._source, self._snapshot._replace(parts=self._others), schema):
            self._left()
            yield self._where.apply(_between(table, *self._range))

    def _decide(self, query: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield what matches of the rows of which the engine cannot tell."""
        for batch in self._engine.batches(query):
            self._left()
            yield self._where.apply(conform(pa.Table.from_batches([batch]), schema))

    def _keep(self, tables: Iterator[pa.Table], schema: pa.Schema) -> list[str]:
        """Keep rows beside the files, and return a query for them, if there are any."""
        kept: list[pa.Table] = []
        size = 0
        for table in tables:
            if table.num_rows:
                kept.append(table.select(schema.names))
                size += kept[-1].nbytes
            if size > _SPOOL:
                return [self._spool(kept, tables, schema)]
        return [self._name_table(kept, schema)] if kept else []

    def _spool(self, kept: Iterable[pa.Table], more: Iterable[pa.Table], schema: pa.Schema) -> str:
        folder = self._stack.enter_context(TemporaryDirectory(prefix="logbatch-"))
        path = Path(folder, "rest.parquet")
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for tables in (kept, more):
                for table in tables:
                    writer.write_table(table.select(schema.names))
        return Reading(schema, alike=True).files([path], names_of(schema))

    def _name_table(self, tables: list[pa.Table], schema: pa.Schema) -> str:
        """Make a table known to the engine."""
        table = pa.concat_tables([pa.Table.from_batches([], schema), *tables])
        name = self._engine.name_table(table)
        self._stack.callback(self._engine.forget, name)
        return f"SELECT {names_of(schema)} FROM {quoted_name(name)}"


def _between(table: pa.Table, start: int | None, end: int | None) -> pa.Table:
    """Keep the rows of a range of time."""
    times = table.column("timestamp").cast(pa.int64())
    masks = []
    if start is not None:
        masks.append(pc.greater_equal(times, make_scalar(_clip(start), "int64")))
    if end is not None:
        masks.append(pc.less(times, make_scalar(_clip(end), "int64")))
    for mask in masks[1:]:
        masks[0] = pc.and_(masks[0], mask)
    return table.filter(masks[0]) if masks else table


def _clip(edge: int) -> int:
    return min(max(edge, -(1 << 63)), (1 << 63) - 1)
