"""Read back what is stored of a producer, and compare it with what came again.

Rows are compared, not bytes: what is stored may have been written as Parquet, or compressed
meanwhile.  Only the files that cover the range are opened, and of a Parquet or plain JSON Lines
file only the part that does.  What is read may be much more than what came, so it is charged first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch.dataset.footers import FIXED, Piece, reading
from logbatch.dataset.listing import Damaged, Vanished, find_segment
from logbatch.dataset.pieces import conform, read, stream
from logbatch.dataset.snapshot import Part, make_part
from logbatch.dataset.source import TRIES
from logbatch.errors import DatasetError
from logbatch.identity import Ranges
from logbatch.storage.arrays import make_array
from logbatch.storage.arrow import table_from_lines
from logbatch.storage.segments import Segment, list_segments, scan_growing

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

_STEP = 1 << 16  # bytes in which a line is looked for
_COPIES = 4  # of rows, while they are read, put in order and compared
_STREAMED = 1 << 18  # bytes of a file of many producers that are held at a time
_PACKED = 16  # bytes of lines for each byte of a compressed file, at the most as it is expected

_IDENTITY = pa.schema([FIXED.field("producer"), FIXED.field("sequence")])

Charge = Callable[[int], object]
"""Charges bytes that are about to be taken; it may refuse them."""


def differs(
    directory: Path,
    producer: str,
    first: int,
    lines: Sequence[bytes],
    undated: Collection[int],
    charge: Charge,
) -> bool:
    """Return whether records came with another content than what is stored of them.

    Args:
        directory: The dataset's.
        producer: Whose records.
        first: Sequence of the first one.
        lines: Their lines, without newlines.  Those that are not stored do not differ.
        undated: Indexes of those whose time was made up when they came: it does not count.
        charge: Charges what the lines and what is stored take while they are compared.

    Raises:
        DatasetError: What is stored cannot be read.
    """
    charge(_COPIES * sum(map(len, lines)))
    came = _sorted(table_from_lines(b"\n".join([*lines, b""]), producer, first, count=len(lines)))
    stored = _sorted(read_rows(directory, producer, first, first + len(lines) - 1, charge))
    if len(stored) != len(came):  # a file was removed since it was written
        came = came.filter(pc.is_in(came["sequence"], stored["sequence"]))
    if undated:
        made_up = make_array([first + index for index in sorted(undated)], "int64")
        mask = pc.is_in(came["sequence"], made_up)
        at = came.schema.get_field_index("timestamp")
        moments = pc.if_else(mask, stored["timestamp"], came["timestamp"])
        came = came.set_column(at, FIXED.field("timestamp"), moments)
    return not came.equals(stored)


def read_rows(directory: Path, producer: str, first: int, last: int, charge: Charge) -> pa.Table:
    """Read the records `first..last` of a producer, each once, as far as they are there.

    Raises:
        DatasetError: They cannot be read.
    """
    for _ in range(TRIES):
        try:
            return _read(directory, producer, first, last, charge)
        except Vanished:  # it was rotated or compressed: look again
            continue
        except Damaged as error:
            raise DatasetError(str(error)) from error
    raise DatasetError(f"{directory} changes faster than it can be read")


def _read(directory: Path, producer: str, first: int, last: int, charge: Charge) -> pa.Table:
    wanted, tables = Ranges([(first, last)]), [pa.Table.from_batches([], FIXED)]
    for segment in list_segments(directory, producer):
        near = segment.first <= last and (segment.last is None or segment.last >= first)
        if near and wanted and find_segment(segment.path) is not None:
            part = _choose(segment, {producer: wanted})
            if part is not None:
                tables += _read_part(part, charge)
                wanted = Ranges(h for a, b in wanted for h in Ranges(part.spans).missing(a, b))
    return pa.concat_tables(tables)


def _choose(segment: Segment, wanted: Mapping[str, Ranges]) -> Part | None:
    """Choose the wanted records of a file; None where it has none of them."""
    try:
        part = make_part(segment).only(wanted)
    except Damaged:  # a file that does not say what it holds counts as not there
        return None
    return part._replace(whole=False) if part.taken else None


def _read_part(part: Part, charge: Charge) -> list[pa.Table]:
    if part.segment.compacted:
        return list(_read_compacted(part, charge))
    first, last = part.spans[0][0], part.spans[-1][1]
    if part.segment.ext == "parquet":
        piece = _find_groups(part.path, first, last)
    elif part.segment.ext == "jsonl":
        piece = _find_stretch(part, first, last)
    else:
        piece = None
    charge(_COPIES * _measure(part, piece))
    return [conform(read(part, piece, FIXED)[0], FIXED)]


def _read_compacted(part: Part, charge: Charge) -> Iterator[pa.Table]:
    """Read the records from a file of many producers, where they stand among those of others."""
    with reading(part.path):
        metadata = pq.read_metadata(part.path)
        found = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    # A row group is large, and most of it is of others: it is not held as a whole.
    mean = max((-(-group.total_byte_size // max(group.num_rows, 1)) for group in found), default=1)
    rows = max(1, _STREAMED // max(mean, 1))
    charge(_COPIES * rows * mean)
    groups = [at for at in range(len(found)) if len(read(part, Piece(at, at + 1), _IDENTITY)[0])]
    for table in stream(part, groups, FIXED, rows) if groups else ():
        charge(_COPIES * table.nbytes)
        yield table


def _measure(part: Part, piece: Piece | None) -> int:
    """Return about how many bytes the rows of a piece are."""
    with reading(part.path):
        if part.segment.ext == "parquet":
            metadata = pq.read_metadata(part.path)
            groups = range(metadata.num_row_groups)
            wanted = groups if piece is None else groups[piece.start : piece.stop]
            return sum(metadata.row_group(group).total_byte_size for group in wanted)
        if piece is not None and piece.stop is not None:
            return piece.stop - piece.start
        size = os.stat(part.path).st_size
        return size if part.segment.ext == "jsonl" else _PACKED * size


def _sorted(table: pa.Table) -> pa.Table:
    return conform(table.sort_by("sequence"), FIXED).combine_chunks()


# ------------------------------------------------------------------ the part that covers a range


def _find_groups(path: Path, first: int, last: int) -> Piece | None:
    """Find the row groups of a Parquet file that may hold a range; None for all of them."""
    with reading(path):
        metadata = pq.read_metadata(path)
        at = metadata.schema.names.index("sequence")
        groups = []
        for group in range(metadata.num_row_groups):
            statistics: Any = metadata.row_group(group).column(at).statistics
            if statistics is None or not statistics.has_min_max:
                return None
            if statistics.min <= last and statistics.max >= first:
                groups.append(group)
        return Piece(groups[0], groups[-1] + 1) if groups else None


def _find_stretch(part: Part, first: int, last: int) -> Piece | None:
    """Find where in a plain JSON Lines file a range stands; None where its lines are not in order.

    A file of ours has each sequence once, in order and without holes; one that has not is read
    whole.
    """
    with reading(part.path), open(part.path, "rb") as file:
        size = os.fstat(file.fileno()).st_size if part.stop is None else part.stop
        start = _bisect(file, part.segment.producer, first, size)
        stop = _bisect(file, part.segment.producer, last + 1, size)
    return Piece(start, stop) if start is not None and stop is not None else None


def _bisect(file: Any, producer: str, sequence: int, size: int) -> int | None:
    """Find where the first line begins whose sequence is not less; None where that is not clear."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        found = _line_after(file, producer, middle, high)
        if found is None:
            return None
        begin, number = found
        if number is None or number >= sequence:  # none begins between here and `high`
            high = middle
        else:
            low = begin + 1
    found = _line_after(file, producer, low, size)
    return None if found is None else found[0]


def _line_after(file: Any, producer: str, at: int, stop: int) -> tuple[int, int | None] | None:
    """Return where the first line from a byte on begins, and its sequence; None where it is odd.

    Behind the last line there is none: that is the end of the file, and no sequence.
    """
    begin = at
    if at > 0:
        file.seek(at - 1)
        skipped = file.readline()
        begin = at - 1 + len(skipped)
    if begin >= stop:
        return begin, None
    file.seek(begin)
    runs = scan_growing([file.readline()], producer)
    return (begin, runs[0].first) if runs else None
