"""The records for other engines: the exact files, a stream of batches, or a view over both.

An engine that globs reads a record twice while files are merged, and none that is in a journal.  It
is given the files of a snapshot here, and which of their records, and as tables what no other
engine can read: journals, and JSONL files as they are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch.dataset.engine import Reading
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_name
from logbatch.dataset.footers import reading
from logbatch.dataset.listing import Damaged, Vanished, find_runs
from logbatch.dataset.pieces import blocks, size_of, taken_of
from logbatch.dataset.query import select_of
from logbatch.dataset.snapshot import Part, Snapshot, without
from logbatch.dataset.source import TRIES, Source
from logbatch.dataset.tables import Scanner, read_rest, split
from logbatch.errors import DatasetError
from logbatch.identity import Ranges
from logbatch.storage.arrays import find_true

if TYPE_CHECKING:
    import duckdb
    import polars as pl

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

_TOGETHER = 1 << 23  # bytes of files that are read before any of their records are handed on


class TakenFile(NamedTuple):
    """A file, and which of its records are taken.

    Attributes:
        path: The file: Parquet, or JSON Lines, which may be compressed.
        rows: The first and last of each range of its rows (lines), counted from 0; None for all.
    """

    path: Path
    rows: tuple[tuple[int, int], ...] | None


def list_taken(snapshot: Snapshot) -> list[TakenFile]:
    """Return the files of a snapshot.

    Raises:
        Vanished, Damaged: One that is only partly taken cannot be read.
    """
    return [TakenFile(part.path, _rows(part)) for part in snapshot.parts]


def _rows(part: Part) -> tuple[tuple[int, int], ...] | None:
    if part.whole and part.stop is None:
        return None
    taken = _find_rows(part)
    edges = [0, *(at for at, (a, b) in enumerate(pairwise(taken), 1) if b != a + 1), len(taken)]
    return tuple((taken[a], taken[b - 1]) for a, b in pairwise(edges) if a < b)


def _find_rows(part: Part) -> list[int]:
    """Return which rows of a file, or lines, are taken, counted from 0.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    if part.segment.ext == "parquet":
        with reading(part.path), pq.ParquetFile(part.path) as file:
            found: list[int] = find_true(
                taken_of(file.read(["producer", "sequence"]), part)
            ).to_pylist()
        return found
    wanted, rows, lines = Ranges(part.spans), [], 0
    for block in blocks(part):
        for run in find_runs(block, part.segment.producer):
            start = lines + block.count(b"\n", 0, run.start) - run.first
            rows += [n + start for n in range(run.first, run.last + 1) if n in wanted]
            left = [hole for span in wanted for hole in Ranges([run[:2]]).missing(*span)]
            wanted = Ranges(left)  # a line that is repeated counts once
        lines += block.count(b"\n")
    return rows


# ------------------------------------------------------------------ batches


def stream(source: Source, snapshot: Snapshot, schema: pa.Schema, where: Filter) -> Any:
    """Return a reader of the records that match, which reads files as it gets to them."""
    batches = _batches(source, snapshot, schema, where)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _batches(
    source: Source, snapshot: Snapshot, schema: pa.Schema, where: Filter
) -> Iterator[pa.RecordBatch]:
    """Yield the records of a snapshot; those of files that went away are found in others."""
    wanted, left = snapshot.covered, TRIES
    with Scanner(source, schema, where) as scanner:
        while True:
            try:
                for some in _some_at_a_time(snapshot.within(wanted)):
                    for table in _read(scanner, some):
                        yield from table.to_batches()
                    wanted, left = without(wanted, some), TRIES
                return
            except (Vanished, Damaged) as error:
                left = source.note(error, left)
                snapshot = source.snapshot()


def _read(scanner: Scanner, some: Snapshot) -> Iterable[pa.Table]:
    """Read files whole before anything is handed on, so that they can be read again elsewhere."""
    if len(some.parts) != 1:
        return list(scanner.read(some))
    return _read_large(scanner, some)


def _read_large(scanner: Scanner, some: Snapshot) -> Iterator[pa.Table]:
    begun = False
    try:
        for table in scanner.read(some):
            yield table
            begun = True
    except (Vanished, Damaged) as error:
        if begun:
            raise DatasetError(f"{error}: part of it was read before; scan again") from error
        raise


def _some_at_a_time(snapshot: Snapshot) -> Iterator[Snapshot]:
    """Divide a snapshot: files that are small together, a large one, the journals."""
    some: list[Part] = []
    size = 0
    for part in snapshot.parts:
        more = size_of(part)
        if some and size + more > _TOGETHER:
            yield snapshot._replace(parts=some, tails=[])
            some, size = [], 0
        some = [*some, part]
        size += more
    yield snapshot._replace(parts=some)


# ------------------------------------------------------------------ views


def _read_now(source: Source, snapshot: Snapshot, schema: pa.Schema) -> pa.Table:
    tables = read_rest(source, snapshot, schema)
    return pa.concat_tables([pa.Table.from_batches([], schema), *tables])


def make_view(
    source: Source, snapshot: Snapshot, connection: duckdb.DuckDBPyConnection, name: str
) -> duckdb.DuckDBPyRelation:
    """Make a view over the records of a snapshot in somebody's connection.

    Raises:
        Vanished, Damaged: A file cannot be read.
    """
    parquet, others = split(snapshot.parts)
    schema, alike = source.columns(parquet)
    rest = _read_now(source, snapshot._replace(parts=others), schema)
    select = select_of(schema)
    reads = [Reading(schema, alike).parts(parquet, select)] if parquet else []
    if rest.num_rows or not parquet:
        connection.register(f"{name} not in Parquet", rest)
        reads.append(f"SELECT {select} FROM {quoted_name(f'{name} not in Parquet')}")
    view = f"CREATE OR REPLACE TEMPORARY VIEW {quoted_name(name)} AS {' UNION ALL '.join(reads)}"
    connection.execute(view)
    return connection.sql(f"FROM {quoted_name(name)}")


def make_lazy(source: Source, snapshot: Snapshot) -> pl.LazyFrame:
    """Make a Polars LazyFrame over the records of a snapshot.

    Raises:
        Vanished, Damaged: A file cannot be read.
    """
    import polars as pl

    schema, alike = source.columns(snapshot.parts)
    whole = [part for part in snapshot.parts if part.whole and part.segment.ext == "parquet"]
    others = [part for part in snapshot.parts if part not in whole]
    table: Any = pl.from_arrow(_read_now(source, snapshot._replace(parts=others), schema))
    groups: dict[tuple[pa.Field[Any], ...], list[Path]] = {}
    for part in whole:
        groups.setdefault(() if alike else source.footer(part).promoted, []).append(part.path)
    scans = [_scan(paths, _as_stored(schema, own), table.schema) for own, paths in groups.items()]
    lazy: pl.LazyFrame = pl.concat([*scans, table.lazy()])
    return lazy


def _as_stored(schema: pa.Schema, own: Iterable[pa.Field[Any]]) -> pa.Schema:
    """Return a schema with the types that some of its columns have in a file."""
    types = {field.name: field.type for field in own}
    return pa.schema([field.with_type(types.get(field.name, field.type)) for field in schema])


def _scan(paths: Sequence[Path], stored: pa.Schema, schema: Any) -> pl.LazyFrame:
    """Scan files whose columns have the same types, which Polars does not change by itself."""
    import polars as pl

    empty: Any = pl.from_arrow(pa.Table.from_batches([], stored))
    lazy = pl.scan_parquet(
        list(paths),
        schema=empty.schema,
        glob=False,
        hive_partitioning=False,
        missing_columns="insert",
        extra_columns="ignore",
    )
    other = {name: kind for name, kind in schema.items() if empty.schema[name] != kind}
    return lazy.cast(other) if other else lazy
