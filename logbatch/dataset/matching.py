"""What matches a filter in a snapshot, as one relation that DuckDB is asked about.

Most of it are the Parquet files, with the filter as a condition.  Beside them stands a table of
what DuckDB cannot read or decide: records in JSON Lines and journals, and those rows of which the
filter itself was asked.  Where it is large it is a temporary Parquet file.  If few rows match they
are all kept, and the files are read once, however much is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch.dataset.blame import blame, is_too_much
from logbatch.dataset.engine import Engine, Reading, is_installed
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_name
from logbatch.dataset.footers import FIXED
from logbatch.dataset.period import Range
from logbatch.dataset.pieces import conform
from logbatch.dataset.snapshot import Part, Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.stopping import check
from logbatch.dataset.tables import UNSURE, Search, names_of, read_rest, split, with_columns
from logbatch.errors import DatasetError, QueryError
from logbatch.storage.columns import COLUMNS

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

_FEW = 100_000  # rows that are kept, where a filter leaves no more
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
        keeps: Whether few rows are kept.  It costs more than it saves for who has many columns, of
            which a question reads some: then all of each row are read.

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
        keeps: bool = True,
    ) -> None:
        if not is_installed():
            raise QueryError('this needs DuckDB: pip install "logbatch[tools]"')
        self._source = source
        self._snapshot = snapshot
        self._where = where
        self._columns = list(columns)
        self._given = engine
        self._range = Range.build(start, end).within(Range.of_filter(where))
        self._timeout = timeout
        self._keeps = keeps
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._stack = ExitStack()
        self._parquet, self._others = split(snapshot.parts)
        self._search: Search | None = None
        self._undecided: pa.Schema | None = None  # what the filter needs to decide rows
        self._beside: list[str] = []  # queries for what was kept
        self._kept: list[Range] = []  # when that was

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
                self._prepare()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def table(self, query: str, start: int | None = None, end: int | None = None) -> pa.Table:
        """Answer a query.

        Args:
            query: `{matches}` in it is the relation of the columns.
            start: Only what is not before, of which only the files are read then.
            end: Only what is before.

        Raises:
            Vanished, Damaged: A file cannot be read.
            QueryError: It took too long.
        """
        with self._blaming():
            return self._engine.table(self._put_into(query, start, end), self._left())

    def batches(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield the answer to a query as it comes; raise as `table` does."""
        with self._blaming():
            yield from self._engine.batches(self._put_into(query), self._left)

    def keep(self, query: str, start: int | None = None, end: int | None = None) -> str:
        """Keep the answer to a query until the end, as a table that other queries may read.

        Returns its name; takes and raises what `table` does.
        """
        with self._blaming():
            name = self._engine.keep(self._put_into(query, start, end), self._left())
        self._stack.callback(self._engine.drop, name)
        return name

    def keep_counted(self, make: Callable[[str], str]) -> str:
        """Keep the answer to a query that counts all, and learn from it what is unsure.

        Where the engine can decide all rows, as is usual, files are read once instead of twice.

        Args:
            make: Makes the query, as for `keep`.  It is given what is true for the rows that only
                may match; `unsure` in the answer is how many these are.  If it is given an empty
                text all rows do match.

        Returns:
            The name of the table.

        Raises:
            Vanished, Damaged: A file cannot be read.
            QueryError: It took too long.
        """
        if self._undecided is not None:
            with self._blaming():
                query = make(quoted_name(UNSURE))
                marked = query.replace("{matches}", f"({self._possible()})")
                name = self._engine.keep(marked, self._left())
                unsure = f"SELECT 1 FROM {name} WHERE unsure > 0 LIMIT 1"
                if not self._engine.table(unsure, self._left()).num_rows:
                    self._undecided = None
                    self._stack.callback(self._engine.drop, name)
                    return name
                self._engine.drop(name)
        return self.keep(make(""))

    def bounds(self) -> tuple[int, int] | None:
        """Return two times between which all are, in microseconds since 1970; None if none are.

        Raises:
            Vanished, Damaged: A file cannot be read.
            QueryError: It took too long.
        """
        files = self._ranges_of_files() if self._search else ()
        ranges = [*map(self._range.within, files), *self._kept]
        found = [each for each in ranges if each.start < each.stop]
        if not found:
            return None
        whole = Range(min(each.start for each in found), max(each.stop for each in found))
        if not whole.is_finite:
            times = "min(epoch_us(timestamp)) AS first, max(epoch_us(timestamp)) AS last"
            (row,) = self.table(f"SELECT {times} FROM {{matches}}").to_pylist()
            return None if row["first"] is None else (row["first"], row["last"])
        return int(whole.start), int(whole.stop) - 1

    def _ranges_of_files(self) -> Iterator[Range]:
        for part in self._parquet:
            check()
            for piece in self._source.footer(part).pieces:
                yield Range(piece.low, piece.high + 1)

    def _put_into(self, query: str, start: int | None = None, end: int | None = None) -> str:
        if self._undecided is not None:
            schema, self._undecided = self._undecided, None
            self._decide(schema)
        return query.replace("{matches}", f"({self._relation(Range.build(start, end))})")

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
            if is_too_much(error):
                raise QueryError(
                    "this needs more memory than there is for it; ask for less: a range of time,"
                    " or fewer fields"
                ) from error
            raise DatasetError(f"{self._source.directory} cannot be read: {error}") from error

    # ------------------------------------------------------------------ the relation

    def _relation(self, within: Range) -> str:
        names = names_of(self._schema)
        both = self._range.within(within)
        parts = self._parts(both)
        reads = []
        if parts and self._search is not None:
            reads.append(self._search.sure(parts, self._schema, both.condition()))
        for each in self._beside:
            reads.append(f"SELECT {names} FROM ({each}) WHERE {within.condition()}")
        return " UNION ALL ".join(reads)

    def _possible(self) -> str:
        """Return a query for all rows that may match, of which some are marked."""
        names = names_of(self._schema)
        reads = [f"SELECT {names}, FALSE AS {quoted_name(UNSURE)} FROM ({b})" for b in self._beside]
        if self._search is not None:
            parts = self._parts(self._range)
            reads.append(self._search.query(parts, self._range.condition(), self._schema))
        return " UNION ALL ".join(reads)

    def _parts(self, within: Range) -> list[Part]:
        """Leave out files that have nothing in a range, as far as that is known."""
        if not within.is_limited:
            return self._parquet
        return [part for part in self._parquet if self._may_be_in(part, within)]

    def _may_be_in(self, part: Part, within: Range) -> bool:
        if not self._source.knows(part):
            return True
        pieces = self._source.footer(part).pieces
        return any(each.low < within.stop and each.high >= within.start for each in pieces)

    # ------------------------------------------------------------------ what stands beside files

    def _prepare(self) -> None:
        fixed = COLUMNS.keys() >= set(self._columns)
        known = FIXED if fixed else self._source.schema(self._snapshot.parts)
        self._schema = pa.schema([known.field(name) for name in self._columns])
        stored = with_columns(self._schema, ["timestamp"])
        wider = with_columns(stored, self._where.columns)
        tables = [self._read_rest(wider)]
        parts = self._parts(self._range)
        if parts:
            search = Search(self._engine, self._source, parts, wider, self._where)
            if (few := self._hold(search, parts, wider)) is not None:
                tables.append(iter([few]))
            else:
                self._search = search
                self._undecided = None if search.is_sure else wider
        self._keep_beside(chain.from_iterable(tables), stored)

    def _hold(self, search: Search, parts: Sequence[Part], schema: pa.Schema) -> pa.Table | None:
        """Keep all rows that match, if there are so few that files need not be read again.

        Returns:
            Those of which the filter itself was asked; None where there are too many rows.
        """
        if not self._keeps or self._where.columns <= {"timestamp"}:
            return None  # it leaves out little of what is read
        query = search.query(parts, self._range.condition())
        name = self._engine.keep(f"{query} LIMIT {_FEW + 1}", self._left())
        times = "min(epoch_us(timestamp)) AS first, max(epoch_us(timestamp)) AS last"
        (row,) = self._engine.table(f"SELECT count(*) AS n, {times} FROM {name}").to_pylist()
        if row["n"] > _FEW:
            self._engine.drop(name)
            return None
        self._stack.callback(self._engine.drop, name)
        if row["n"]:
            self._kept.append(Range(row["first"], row["last"] + 1))
        unsure = "FALSE" if search.is_sure else quoted_name(UNSURE)
        rows = f"SELECT {names_of(schema)} FROM {name} WHERE"
        self._beside.append(f"{rows} NOT {unsure}")
        asked = self._engine.table(f"{rows} {unsure}", self._left())
        return self._where.apply(conform(asked, schema))

    def _read_rest(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield what matches in JSON Lines and in journals."""
        for table in read_rest(self._source, self._snapshot._replace(parts=self._others), schema):
            self._left()
            yield self._where.apply(self._range.apply(table))

    def _decide(self, schema: pa.Schema) -> None:
        """Keep those rows that match of which the engine cannot tell."""
        if self._search is not None:
            query = self._search.unsure(self._parts(self._range), self._range.condition())
            stored = with_columns(self._schema, ["timestamp"])
            self._keep_beside(self._decided(query, schema), stored)

    def _decided(self, query: str, schema: pa.Schema) -> Iterator[pa.Table]:
        for batch in self._engine.batches(query, self._left):
            yield self._where.apply(conform(pa.Table.from_batches([batch]), schema))

    def _keep_beside(self, tables: Iterator[pa.Table], schema: pa.Schema) -> None:
        """Keep rows beside the files; an empty table where there is nothing else to ask."""
        kept: list[pa.Table] = []
        size = 0
        for table in map(self._noted, tables):
            if table.num_rows:
                kept.append(table.select(schema.names))
                size += kept[-1].nbytes
            if size > _SPOOL:
                self._beside.append(self._spool(kept, map(self._noted, tables), schema))
                return
        table = pa.concat_tables([pa.Table.from_batches([], schema), *kept])
        name = self._engine.name_table(table)
        self._stack.callback(self._engine.forget, name)
        self._beside.append(f"FROM {name}")

    def _noted(self, table: pa.Table) -> pa.Table:
        """Note when the rows were."""
        times = table.column("timestamp").cast(pa.int64())
        if len(times):
            found = pc.min_max(times).as_py()
            self._kept.append(Range(found["min"], found["max"] + 1))
        return table

    def _spool(self, kept: Iterable[pa.Table], more: Iterable[pa.Table], schema: pa.Schema) -> str:
        folder = self._stack.enter_context(TemporaryDirectory(prefix="logbatch-"))
        path = Path(folder, "rest.parquet")
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for table in chain(kept, more):
                writer.write_table(table.select(schema.names))
        return Reading(schema, alike=True).files([path], names_of(schema))
