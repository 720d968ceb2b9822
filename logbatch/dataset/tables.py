"""Read records into tables, many files at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.listing import Damaged
from logbatch.dataset.pieces import FIXED, pieces, read, read_tail
from logbatch.dataset.snapshot import Part, Snapshot
from logbatch.dataset.source import Source

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_T = TypeVar("_T")


def scan(
    source: Source, snapshot: Snapshot, fields: Sequence[pa.Field[Any]], where: Filter
) -> pa.Table:
    """Read the records of a snapshot that match.

    Args:
        source: Told about damage.
        snapshot: What to read.
        fields: The columns, in order; the types of fixed ones need not be right.
        where: Which records.

    Raises:
        Vanished, Damaged: A file cannot be read.
    """
    names = [field.name for field in fields]
    types = {field.name: field for field in [*fields, *FIXED]}
    schema = pa.schema([types[name] for name in dict.fromkeys([*names, *sorted(where.columns)])])
    whole, others = split(snapshot.parts)
    tables = [pa.Table.from_batches([], schema), *_scan_whole(source, whole, schema, where)]
    rest = read_rest(source, snapshot._replace(parts=others), schema)
    tables += [where.apply(table) for table in rest]
    return pa.concat_tables(tables).select(names)


def read_rest(source: Source, snapshot: Snapshot, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield what is in JSONL files, in the journals, and in parts of Parquet files.

    A table holds some megabytes, or as much as a compressed file or a journal.

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
    """Split parts into the Parquet files that are taken whole, and all others."""
    whole = [part for part in parts if part.whole and part.segment.ext == "parquet"]
    return whole, [part for part in parts if not (part.whole and part.segment.ext == "parquet")]


def arrow_dataset(paths: Iterable[Path], schema: pa.Schema) -> ds.Dataset:
    """Make an Arrow dataset of Parquet files, without looking into any."""
    import pyarrow.dataset as ds  # it imports pandas where that is installed; rows need neither

    return ds.FileSystemDataset.from_paths(
        list(map(str, paths)),
        schema=schema,
        format=ds.ParquetFileFormat(),
        filesystem=fs.LocalFileSystem(),
    )


def _scan_whole(
    source: Source, parts: Sequence[Part], schema: pa.Schema, where: Filter
) -> list[pa.Table]:
    """Let Arrow read files side by side; where it cannot, read one after the other."""
    if not parts:
        return []
    try:
        scanner = arrow_dataset([part.path for part in parts], schema).scanner(
            filter=where.expression()
        )
        if not where:
            return [scanner.to_table()]
        batches = (pa.Table.from_batches([batch]) for batch in scanner.to_batches())
        return [where.apply(table) for table in batches]
    except (OSError, pa.ArrowException):
        return [where.apply(table) for table in read_singly(source, parts, schema)]


def read_singly(source: Source, parts: Sequence[Part], schema: pa.Schema) -> list[pa.Table]:
    """Read Parquet files one by one, and take note of all that are damaged.

    Raises:
        Vanished, Damaged: One cannot be read.
    """
    _note_damaged(source, parts, source.footer)  # quick, and most damage shows there
    return _note_damaged(source, parts, lambda part: read(part, None, schema)[0])


def _note_damaged(source: Source, parts: Sequence[Part], look: Callable[[Part], _T]) -> list[_T]:
    found: list[_T] = []
    damaged: Damaged | None = None
    for part in parts:
        try:
            found.append(look(part))
        except Damaged as error:
            source.note(error, 1)
            damaged = error
    if damaged is not None:
        raise damaged
    return found
