"""What the end of a Parquet file tells, and how one that is gone is told from a bad one."""

from __future__ import annotations

import errno
import functools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from logbatch.dataset.listing import Damaged, Vanished
from logbatch.descriptors import Identity, identify
from logbatch.storage.arrow import schema as make_schema
from logbatch.storage.columns import COLUMNS

ROWS = 1 << 14  # rows from which on row groups make a piece
_REMEMBERED = 4096  # files of which it is kept in memory what their ends tell
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)

FIXED = make_schema()
"""The fixed columns."""


class Piece(NamedTuple):
    """Some consecutive records of a file.

    Attributes:
        start: The first row group; in a JSONL file the offset it begins at.
        stop: The row group or offset behind it; None reads to the end.
        low: Microseconds since 1970 before which there is none of them.
        high: The same, after which there is none.
        rows: How many there are, where that is known.
    """

    start: int
    stop: int | None
    low: float = -math.inf
    high: float = math.inf
    rows: int = 0


class Footer(NamedTuple):
    """What the end of a Parquet file tells.

    Attributes:
        pieces: Its row groups.
        promoted: The columns beyond the fixed.
        loggers: Bounds of the names of loggers in it; None where they are not known.
    """

    pieces: tuple[Piece, ...]
    promoted: tuple[pa.Field[Any], ...]
    loggers: tuple[bytes, bytes] | None

    def may_have_logger(self, name: str) -> bool:
        """Return whether a record of a logger may be in the file."""
        return self.loggers is None or self.loggers[0] <= name.encode() <= self.loggers[1]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate what goes wrong with a file."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Vanished(str(path)) from error
    except (OSError, pa.ArrowException, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.ESTALE:
            raise Vanished(str(path)) from error
        if number in _SHORT or isinstance(error, MemoryError):
            raise  # that is no fault of the file
        said = isinstance(error, OSError) and error.strerror
        raise Damaged(path, said or str(error)) from error


def footer(path: Path) -> Footer:
    """Read what the end of a Parquet file tells.

    Raises:
        Vanished, Damaged: It cannot be read.
    """
    with reading(path):
        return _footer(path, identify(os.stat(path)))


@functools.lru_cache(maxsize=_REMEMBERED)
def _footer(path: Path, _identity: Identity) -> Footer:
    metadata = pq.read_metadata(path)
    columns = metadata.schema
    if columns.names[:1] != ["timestamp"] or "sequence" not in columns.names:
        raise Damaged(path, "it was not written by logbatch")
    exact = '"microseconds"' in columns.column(0).logical_type.to_json()
    pieces = tuple(_group(metadata, exact))
    promoted: tuple[pa.Field[Any], ...] = ()
    if len(columns) > len(FIXED):
        promoted = tuple(f for f in columns.to_arrow_schema() if f.name not in COLUMNS)
    return Footer(pieces, promoted, _loggers(metadata))


def _group(metadata: pq.FileMetaData, exact: bool) -> Iterator[Piece]:
    """Yield the row groups, several as one piece where they are small."""
    start, rows, low, high = 0, 0, math.inf, -math.inf
    for group in range(metadata.num_row_groups):
        described = metadata.row_group(group)
        statistics: Any = described.column(0).statistics
        known = exact and statistics is not None and statistics.has_min_max
        low = min(low, statistics.min_raw if known else -math.inf)
        high = max(high, statistics.max_raw if known else math.inf)
        rows += described.num_rows
        if rows >= ROWS or group + 1 == metadata.num_row_groups:
            yield Piece(start, group + 1, low, high, rows)
            start, rows, low, high = group + 1, 0, math.inf, -math.inf


def _loggers(metadata: pq.FileMetaData) -> tuple[bytes, bytes] | None:
    names = metadata.schema.names
    if "logger" not in names or metadata.num_row_groups == 0:
        return None
    column = names.index("logger")
    groups = range(metadata.num_row_groups)
    found: list[Any] = [metadata.row_group(group).column(column).statistics for group in groups]
    if not all(each is not None and each.has_min_max for each in found):
        return None
    return min(each.min_raw for each in found), max(each.max_raw for each in found)
