"""Read one file of a snapshot, whole or in pieces.

A piece is some row groups of a Parquet file, a stretch of a JSONL file, or a whole compressed one.
Its bounds, the earliest and latest time in it, let a reader leave it out or put it off.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch.dataset.footers import FIXED, ROWS, Piece, reading
from logbatch.dataset.listing import cut_identity, find_moved, find_runs
from logbatch.dataset.snapshot import Part, Spans, Tail, Taken
from logbatch.dataset.stopping import check
from logbatch.epoch import to_microseconds
from logbatch.identity import Ranges
from logbatch.storage.arrays import make_scalar
from logbatch.storage.arrow import PROMOTED_TYPES, table_from_lines
from logbatch.storage.arrow import schema as make_schema
from logbatch.storage.columns import COLUMNS

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

SLACK = 2_000_000  # microseconds that the time of a file may be too early: some are coarse
_BLOCK = 1 << 22  # bytes of a JSONL file that are decoded in one go
_EDGE = 1 << 16  # bytes in which a line is looked for
_SECONDS = re.compile(rb'\n\{"timestamp":"([0-9-]{10}T[0-9:]{8})(?:\.[0-9]+)?(?:Z|\+00:00)"')
_UNDECODABLE = re.compile(r'[\\"\x00-\x1f]')  # msgspec gives no field a name with one of these
_CODECS: dict[str, Literal["zstd", "gzip"]] = {".zst": "zstd", ".gz": "gzip"}


def pieces(part: Part) -> tuple[Piece, ...]:
    """Divide a JSONL file into pieces, each with its bounds.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    found, at = [], 0
    for block in blocks(part):
        stop = at + len(block)
        found.append(Piece(at, stop, *_bounds(block)))
        at = stop
    if found and (part.path.suffix in _CODECS or not part.whole):
        low, high = min(piece.low for piece in found), max(piece.high for piece in found)
        return (Piece(0, None, low, high),)  # from the beginning only; repeated lines count once
    return tuple(found)


def written_at(part: Part) -> int:
    """Return when a file was written to last, in microseconds since 1970.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    with reading(part.path):
        return os.stat(part.path).st_mtime_ns // 1000


def size_of(part: Part) -> int:
    """Return how many bytes a file has.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    with reading(part.path):
        return os.stat(part.path).st_size


def guess_pieces(part: Part, written: int) -> tuple[Piece, ...]:
    """Divide a file into pieces whose latest times are guessed, so that hardly anything is read.

    A record is not newer than the last write to its file, and in a JSONL file not much newer than
    the one behind it: unless the program made its time up, or the clock was set back.

    Args:
        part: The file.
        written: When it was written to last.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    latest = written + SLACK
    starts = [(0, -math.inf)]
    if part.segment.ext == "jsonl" and part.whole:
        starts += _starts(part)
    stops = [*(start for start, _ in starts[1:]), part.stop if len(starts) > 1 else None]
    guesses = [first + SLACK for _, first in starts[1:]]
    guesses.append(max([latest, *guesses]))
    return tuple(
        Piece(start, stop, high=guess)
        for (start, _), stop, guess in zip(starts, stops, guesses, strict=True)
    )


def _starts(part: Part) -> Iterator[tuple[int, float]]:
    """Yield where pieces of a JSONL file may begin, and the time of their first records."""
    with reading(part.path), _open(part) as file:
        if not file.seekable():
            return  # it was compressed meanwhile
        size = file.size() if part.stop is None else part.stop
        for at in range(_BLOCK, size, _BLOCK):
            file.seek(at)
            data = file.read(_EDGE)
            start = data.find(b"\n") + 1
            first = _SECONDS.match(data, start - 1)
            if start and first and at + start < size:
                yield at + start, _micros(first[1]) + 999_999


def bounds_of(part: Part, piece: Piece) -> Piece:
    """Find out the true bounds of a piece of a JSONL file.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    low, high = math.inf, -math.inf
    for block in _stretch(part, piece):
        bounds = _bounds(block)
        low, high = min(low, bounds[0]), max(high, bounds[1])
    return piece._replace(low=low, high=high)


def _bounds(block: bytes) -> tuple[float, float]:
    """Return the bounds of whole lines; none where one is not as we write it, or is damaged."""
    seconds = _SECONDS.findall(b"\n" + block)
    if not seconds or len(seconds) < block.count(b"\n"):
        return -math.inf, math.inf
    return _micros(min(seconds)), _micros(max(seconds)) + 999_999


def _micros(second: bytes) -> float:
    try:
        return to_microseconds(datetime.fromisoformat(second.decode()))
    except ValueError:
        return 0


def _open(part: Part) -> pa.NativeFile:
    """Open a JSONL file, also under a name that it was given meanwhile: the lines are the same."""
    try:
        return _open_path(part.path)
    except FileNotFoundError:
        moved = find_moved(part.segment)
        if moved is None:
            raise
        return _open_path(moved.path)


def _open_path(path: Path) -> pa.NativeFile:
    codec = _CODECS.get(path.suffix)
    return pa.input_stream(str(path), compression=codec) if codec else pa.OSFile(str(path), "rb")


def blocks(part: Part, start: int = 0) -> Iterator[bytes]:
    """Yield a JSONL file in blocks of whole lines; what follows the last newline is left out."""
    with reading(part.path), _open(part) as file:
        _skip(file, start)
        rest, left = b"", None if part.stop is None else part.stop - start
        while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
            check()
            left = None if left is None else left - len(block)
            whole = block.rfind(b"\n") + 1
            if whole:
                yield rest + block[:whole]
                rest = b""
            rest += block[whole:]


def read(part: Part, piece: Piece | None, schema: pa.Schema) -> tuple[pa.Table, int]:
    """Read records.

    Args:
        part: Which of which file.
        piece: Which piece of it; None takes all.
        schema: The columns, and their types.

    Returns:
        The table, and how many lines of a JSONL file were damaged and are left out.

    Raises:
        Vanished, Damaged: The file cannot be read.
    """
    if part.segment.ext == "parquet":
        return _read_parquet(part, piece, schema), 0
    return _read_jsonl(part, piece, schema)


def _read_parquet(part: Part, piece: Piece | None, schema: pa.Schema) -> pa.Table:
    wanted = set(schema.names) if part.whole else {*schema.names, "producer", "sequence"}
    with reading(part.path), pq.ParquetFile(part.path) as file:
        start, stop = (piece.start, piece.stop) if piece else (0, None)
        groups = list(range(start, file.num_row_groups if stop is None else stop))
        names = [name for name in file.schema_arrow.names if name in wanted]
        threads = piece is not None and piece.rows > ROWS
        table = file.read_row_groups(groups, columns=names, use_threads=threads)
        if not part.whole:
            table = _only_taken(table, part)
        return conform(table, schema)


def read_tail(tail: Tail, schema: pa.Schema) -> pa.Table:
    """Make a table of what is taken from a journal."""
    found = tail.pieces()
    tables = [read_lines(ls, tail.producer, at, schema) for at, ls in found]
    return pa.concat_tables(tables)


def read_lines(lines: Sequence[bytes], producer: str, first: int, schema: pa.Schema) -> pa.Table:
    """Make a table of consecutive lines, each without its newline; a row of each."""
    return _from_lines(b"\n".join([*lines, b""]), producer, first, schema)


def _from_lines(lines: bytes, producer: str, first: int, schema: pa.Schema) -> pa.Table:
    return conform(table_from_lines(lines, producer, first, _promoted(schema)), schema)


def _promoted(schema: pa.Schema) -> dict[str, str]:
    """Name the types of the columns beyond the fixed, as far as they are ours."""
    kinds = {make_schema({"x": kind}).field("x").type: kind for kind in PROMOTED_TYPES}
    extra = (field for field in schema if field.name not in COLUMNS and field.type in kinds)
    return {f.name: kinds[f.type] for f in extra if not _UNDECODABLE.search(f.name)}


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring a table to a schema: columns that are missing are null, other types are cast."""
    columns = []
    for field in schema:
        at = table.schema.get_field_index(field.name)
        if at < 0:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        else:
            column = table.column(at)
            columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _within(spans: Spans, sequences: Any) -> Any:
    masks = [
        pc.and_(
            pc.greater_equal(sequences, make_scalar(first, "int64")),
            pc.less_equal(sequences, make_scalar(last, "int64")),
        )
        for first, last in spans
    ]
    return functools.reduce(pc.or_, masks, pa.repeat(make_scalar(False, "bool"), len(sequences)))


def _read_jsonl(part: Part, piece: Piece | None, schema: pa.Schema) -> tuple[pa.Table, int]:
    tables, damaged = [pa.Table.from_batches([], schema)], 0
    for table, bad in _decode(_stretch(part, piece), part, schema):
        tables.append(table)
        damaged += bad
    return pa.concat_tables(tables), damaged


def read_on(part: Part, start: int, schema: pa.Schema) -> Iterator[tuple[pa.Table, int]]:
    """Yield what `read` returns, some megabytes of a JSONL file at a time.

    Args:
        part: Which records of which file.
        start: The bytes that are left out at its beginning: whole lines.
        schema: The columns, and their types.

    Raises:
        Vanished, Damaged: The file cannot be read.
    """
    yield from _decode(blocks(part, start), part, schema)


def _decode(
    stretch: Iterator[bytes], part: Part, schema: pa.Schema
) -> Iterator[tuple[pa.Table, int]]:
    """Yield of each block of lines the records that are taken, and how many lines are damaged."""
    producer = part.segment.producer
    wanted = schema if "sequence" in schema.names else schema.append(FIXED.field("sequence"))
    seen = Ranges()
    for block in stretch:
        tables, damaged = [pa.Table.from_batches([], wanted)], block.count(b"\n")
        for run in find_runs(block, producer):
            damaged -= run.last - run.first + 1
            lines = cut_identity(block[run.start : run.end], producer)
            table = _from_lines(lines, producer, run.first, wanted)
            spans = tuple(seen.missing(run.first, run.last))
            whole = spans == ((run.first, run.last),)
            tables.append(table if whole else _only(table, spans))
            seen.add(run.first, run.last)
        table = pa.concat_tables(tables)
        table = table if part.whole else _only(table, part.spans)
        yield table.select(schema.names), damaged


def stream(part: Part, groups: list[int], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Yield what is taken of some row groups of a Parquet file, so many rows at a time at most.

    Raises:
        Vanished, Damaged: The file cannot be read.
    """
    wanted = {*schema.names, "producer", "sequence"}
    with reading(part.path), pq.ParquetFile(part.path, buffer_size=_EDGE) as file:
        names = [name for name in file.schema_arrow.names if name in wanted]
        for batch in file.iter_batches(rows, groups, names, use_threads=False):
            table = _only_taken(pa.Table.from_batches([batch]), part)
            if table.num_rows:
                yield conform(table, schema)


def _only_taken(table: pa.Table, part: Part) -> pa.Table:
    return table.filter(taken_of(table, part))


def taken_of(table: pa.Table, part: Part) -> Any:
    """Tell the rows that are taken; of a compacted file either they or the others may be few."""
    left = part.left_out()
    if len(left) < len(part.taken):
        return pc.invert(_is_among(table, left))
    return _is_among(table, part.taken)


def _is_among(table: pa.Table, taken: Taken) -> Any:
    names, sequences = table.column("producer"), table.column("sequence")
    masks = (
        pc.and_(pc.equal(names, make_scalar(producer, "string")), _within(spans, sequences))
        for producer, spans in taken
    )
    nothing: Any = pa.repeat(make_scalar(False, "bool"), table.num_rows)
    return functools.reduce(pc.or_, masks, nothing)


def _only(table: pa.Table, spans: Spans) -> pa.Table:
    return table.filter(_within(spans, table.column("sequence")))


def _stretch(part: Part, piece: Piece | None) -> Iterator[bytes]:
    if piece is None or (piece.start == 0 and piece.stop is None):
        yield from blocks(part)
        return
    with reading(part.path), _open(part) as file:
        _skip(file, piece.start)
        data = file.read() if piece.stop is None else file.read(piece.stop - piece.start)
        yield data[: data.rfind(b"\n") + 1]


def _skip(file: pa.NativeFile, size: int) -> None:
    """Go on behind some bytes."""
    if file.seekable():
        file.seek(size)
    else:  # it was compressed meanwhile
        file.read(size)
