"""The output of one run, in one transaction: what stands in its row, and its chunks.

A place is that of a byte in its stream or, where both are read, in all that came.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

_STEP = 1 << 20  # bytes that are read at once


_CHUNKS = (
    "SELECT place, size, stream, start, rowid FROM execution_output_chunks WHERE execution_id = ?"
)
_CHUNKS_OF_STREAM = (
    "SELECT start, size, stream, start, rowid FROM execution_output_chunks"
    " WHERE execution_id = ? AND stream = ?"
)
_PIECES = "SELECT place, size, stream, start, 0 FROM execution_inline_pieces WHERE execution_id = ?"


class Part(NamedTuple):
    """Some bytes of output.

    Attributes:
        stream: Where they were printed to.
        place: Of the first one.
        data: The bytes.
    """

    stream: str
    place: int
    data: bytes

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.place + len(self.data)


class _Stored(NamedTuple):
    """Bytes of output that stand together: in a chunk, or in the row of the run."""

    place: int
    size: int
    stream: str
    start: int  # in its stream
    chunk: int  # its row; 0 for the row of the run

    @property
    def end(self) -> int:
        return self.place + self.size


class Output:
    """What is stored of a run's output.

    Args:
        connection: In a transaction, so that nothing moves meanwhile.
        run_id: The run.
        stream: `stdout` or `stderr`; None means both, in the order in which they came.
    """

    def __init__(
        self, connection: sqlite3.Connection, run_id: str, stream: str | None = None
    ) -> None:
        self._connection = connection
        self._run_id = run_id
        self._stream = stream
        self._blobs: dict[str, sqlite3.Blob | None] = {}

    def read(self, first: int, last: int | None = None) -> list[Part]:
        """Read the next mebibyte, or what there is.

        Args:
            first: The place of the first byte; where there is none, the next one.
            last: The place behind the last one.
        """
        parts: list[Part] = []
        left = _STEP
        while left and (last is None or first < last):
            stored = self._at(first)
            if stored is None or (last is not None and stored.place >= last):
                break
            first = max(first, stored.place)
            end = min(stored.end, first + left, stored.end if last is None else last)
            parts.append(self._load(stored, first, end))
            left -= end - first
            first = end
        return parts

    def read_before(self, place: int) -> Part | None:
        """Read what stands before a place, a mebibyte at the most; None at the beginning."""
        stored = max(self._nearest("<", place), default=None)
        if stored is None:
            return None
        end = min(stored.end, place)
        return self._load(stored, max(stored.place, end - _STEP), end)

    def _at(self, place: int) -> _Stored | None:
        """Return what holds a byte; if nothing does, what comes first behind it."""
        near = [*self._nearest("<", place + 1), *self._nearest(">", place)]
        return min((each for each in near if each.end > place), default=None)

    def _nearest(self, side: str, place: int) -> list[_Stored]:
        """Find what begins next before a place (`<`), or behind it (`>`): chunk and inline."""
        order = f"{side} ? ORDER BY 1 {'DESC' if side == '<' else ''} LIMIT 1"
        if self._stream is None:
            found = [
                self._row(f"{_CHUNKS} AND place {order}", self._run_id, place),
                self._row(f"{_PIECES} AND place {order}", self._run_id, place),
            ]
        else:
            chunk = f"{_CHUNKS_OF_STREAM} AND start {order}"
            found = [self._row(chunk, self._run_id, self._stream, place)]
            if side == "<" and place > 0:
                found.append(self._beginning(self._stream))
        return [each for each in found if each is not None]

    def _row(self, query: str, *values: object) -> _Stored | None:
        row = self._connection.execute(query, values).fetchone()
        return None if row is None else _Stored(*row)

    def _beginning(self, stream: str) -> _Stored | None:
        """Return the beginning of a stream, where it stands in the row of the run."""
        blob = self._open(stream)
        return _Stored(0, len(blob), stream, 0, 0) if blob is not None and len(blob) else None

    def _load(self, stored: _Stored, first: int, end: int) -> Part:
        begin, size = first - stored.place, end - first
        if stored.chunk:
            query = "SELECT CAST(text AS BLOB) FROM execution_output_chunks WHERE rowid = ?"
            (data,) = self._connection.execute(query, (stored.chunk,)).fetchone()
        else:
            blob = self._open(stored.stream)
            assert blob is not None
            blob.seek(stored.start + begin)
            data, begin = blob.read(size), 0
        return Part(stored.stream, first, data[begin : begin + size])

    def _open(self, stream: str) -> sqlite3.Blob | None:
        """Open the beginning of a stream in the row of the run, whose bytes are read singly."""
        if stream not in self._blobs:
            query = f"SELECT rowid FROM executions WHERE id = ? AND {stream} IS NOT NULL"
            row = self._connection.execute(query, (self._run_id,)).fetchone()
            self._blobs[stream] = (
                self._connection.blobopen("executions", stream, row[0], readonly=True)
                if row
                else None
            )
        return self._blobs[stream]
