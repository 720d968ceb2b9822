"""Read records into tables, many files at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch.dataset.blame import blame
from logbatch.dataset.engine import Engine, Reading, is_installed
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_name
from logbatch.dataset.filter.sql import condition
from logbatch.dataset.filter.sql_attributes import TYPED
from logbatch.dataset.footers import FIXED
from logbatch.dataset.pieces import conform, pieces, read, read_tail
from logbatch.dataset.snapshot import Part, Snapshot
from logbatch.dataset.source import Source
from logbatch.errors import DatasetError
from logbatch.storage.arrays import arrow_type, find_true, make_array
from logbatch.storage.columns import COLUMNS

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

UNSURE = "is it unsure?"
"""The column of an answer that `decide` looks at; no attribute is called so."""

_KINDS = {arrow_type(kind): kind for kind in TYPED}


def scan(source: Source, snapshot: Snapshot, schema: pa.Schema, where: Filter) -> pa.Table:
    """Read the records of a snapshot that match.

    Args:
        source: Told about damage.
        snapshot: What to read.
        schema: The columns, in order.
        where: Which records.

    Raises:
        Vanished, Damaged: A file cannot be read.
    """
    with Scanner(source, schema, where) as scanner:
        tables = [pa.Table.from_batches([], schema), *scanner.read(snapshot)]
    return pa.concat_tables(tables)


class Scanner:
    """Reads the records that match, file by file; to be used in a `with`.

    Args:
        source: Told about damage.
        schema: The columns, in order.
        where: Which records.
    """

    def __init__(self, source: Source, schema: pa.Schema, where: Filter) -> None:
        self._source = source
        self._schema = schema
        self._where = where
        self._engine: Engine | None = None

    def __enter__(self) -> Scanner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine is not None:
            self._engine.close()

    def read(self, snapshot: Snapshot) -> Iterator[pa.Table]:
        """Yield what matches.

        Raises:
            Vanished, Damaged: A file cannot be read.
        """
        parquet, others = split(snapshot.parts)
        if parquet and not is_installed():
            parquet, others = [], snapshot.parts
        if parquet:
            self._engine = self._engine or Engine(files=len(parquet))
            yield from search(self._engine, self._source, parquet, self._schema, self._where)
        wider = with_columns(self._schema, self._where.columns)
        for table in read_rest(self._source, snapshot._replace(parts=others), wider):
            yield self._where.apply(table).select(self._schema.names)


def with_columns(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    """Add the fixed columns of these names."""
    return pa.unify_schemas([schema, pa.schema([FIXED.field(name) for name in sorted(names)])])


# ------------------------------------------------------------------ Parquet files


def search(
    engine: Engine, source: Source, parts: Sequence[Part], schema: pa.Schema, where: Filter
) -> Iterator[pa.Table]:
    """Yield what matches in Parquet files, file by file.

    Raises:
        Vanished, Damaged: A file cannot be read.
    """
    wider = with_columns(schema, where.columns)
    try:
        query = Search(engine, source, parts, wider, where).query(parts)
        for batch in engine.batches(query):
            table = decide(
                conform(pa.Table.from_batches([batch]), flagged(wider, batch.schema)), where
            )
            yield table.select(schema.names)
    except engine.errors as error:
        blame(source, error, parts)
        raise DatasetError(f"{source.directory} cannot be read: {error}") from error
    source.looked_at.update(part.path for part in parts)


def flagged(schema: pa.Schema, answer: pa.Schema) -> pa.Schema:
    """Add to a schema the column of an answer that `decide` looks at, if it has it."""
    if UNSURE not in answer.names:
        return schema
    return schema.append(answer.field(UNSURE))


class Search:
    """A query for the records of Parquet files that match, or may match.

    Args:
        engine: Is going to be asked.
        source: Told about damage.
        parts: The files, and what is taken of them.
        schema: The columns that are wanted, and those of the filter.
        where: Which records.
    """

    def __init__(
        self,
        engine: Engine,
        source: Source,
        parts: Sequence[Part],
        schema: pa.Schema,
        where: Filter,
    ) -> None:
        promoted = source.promoted(parts) if where.paths or not _is_fixed(schema) else []
        typed = _typed_columns(promoted, where)
        extra = pa.schema([pa.field(name, arrow_type(kind)) for name, kind in typed.items()])
        self._names = names_of(schema)
        full = pa.schema([*schema, *(f for f in extra if f.name not in schema.names)])
        alike = not source.unlike and (_is_fixed(full) or len(promoted) == 1)
        self._reading = Reading(full, alike, engine.list_files)
        self._where, self._unsure = condition(where.root, typed)

    @property
    def is_sure(self) -> bool:
        """Whether the engine decides all rows."""
        return not self._unsure

    def sure(self, parts: Sequence[Part], schema: pa.Schema, within: str = "TRUE") -> str:
        """Return SQL for the rows that match for certain, of these columns."""
        if self._unsure:
            within = f"{within} AND NOT {self._unsure}"
        return self._reading.parts(parts, names_of(schema), f"{within} AND {self._where}")

    def unsure(self, parts: Sequence[Part], within: str = "TRUE") -> str:
        """Return SQL for the rows of which `where` must be asked; there may be such."""
        where = f"{within} AND {self._where} AND {self._unsure}"
        return self._reading.parts(parts, self._names, where)

    def query(
        self,
        parts: Sequence[Part],
        within: str = "TRUE",
        schema: pa.Schema | None = None,
        *,
        mark: bool = True,
    ) -> str:
        """Return it as SQL.

        Args:
            parts: Some of the files.
            within: What must hold besides.
            schema: The columns; None for all that are wanted and those of the filter.
            mark: Whether to mark the rows that only may match, for `decide`.
        """
        names = self._names if schema is None else names_of(schema)
        flag = f", {self._unsure} AS {quoted_name(UNSURE)}" if mark and self._unsure else ""
        where = f"{within} AND {self._where}"
        return self._reading.parts(parts, names + flag, where)


def names_of(schema: pa.Schema) -> str:
    """Return the columns of a schema as they stand behind a SELECT."""
    return ", ".join(map(quoted_name, schema.names))


def _is_fixed(schema: pa.Schema) -> bool:
    return COLUMNS.keys() >= set(schema.names)


def _typed_columns(promoted: Sequence[dict[str, pa.DataType]], where: Filter) -> dict[str, str]:
    """Return the columns that a filter may read instead of an attribute, and their types.

    The engine ignores the case of names, attributes do not.
    """
    found: dict[str, str] = {}
    every = [(name, kind) for columns in promoted for name, kind in columns.items()]
    for path in where.paths:
        alike = {(name, kind) for name, kind in every if name.lower() == path.lower()}
        names, kinds = {name for name, _ in alike}, {kind for _, kind in alike}
        if names == {path} and len(kinds) == 1 and kinds <= _KINDS.keys():
            found[path] = _KINDS[kinds.pop()]
    return found


def decide(table: pa.Table, where: Filter) -> pa.Table:
    """Leave out the rows that only may match, and do not."""
    if UNSURE not in table.column_names:
        return table
    flag = table.column(UNSURE)
    table = table.drop_columns([UNSURE])
    if not pc.any(flag).as_py():
        return table
    rows = find_true(flag)
    wrong = rows.filter(pc.invert(where.mask(table.take(rows))))
    everything = make_array(range(table.num_rows), "int64").cast(pa.uint64())
    return table.filter(pc.invert(pc.is_in(everything, value_set=wrong)))


# ------------------------------------------------------------------ all else


def read_rest(source: Source, snapshot: Snapshot, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield what is in JSONL files and in the journals, and in Parquet files one by one.

    A table holds some megabytes, or as much as a compressed file, a Parquet file or a journal.

    Raises:
        Vanished, Damaged: A file cannot be read.
    """
    for part in snapshot.parts:
        total = 0
        divided = part.segment.ext == "jsonl" and part.whole
        for piece in pieces(part) if divided else (None,):
            table, damaged = read(part, piece, schema)
            total += damaged
            yield table
        source.looked_at.add(part.path)
        source.tell_damaged_lines(part.path, total)
    for tail in snapshot.tails:
        yield read_tail(tail, schema)


def spool(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> None:
    """Write tables into one Parquet file, so that memory holds one of them at a time."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)


def split(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """Split parts into Parquet files and all others."""
    parquet = [part for part in parts if part.segment.ext == "parquet"]
    return parquet, [part for part in parts if part.segment.ext != "parquet"]
