"""Pieces of a run's output as rows: joined where they are small, cut where they are large.

A row is TEXT where it can be, for whoever looks at it with SQL, and a BLOB where the bytes are not
UTF-8 or hold a NUL, at which SQLite's functions end a text.  Both give back the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

LARGEST = 1 << 17  # bytes of a row
_TOGETHER = 1.0  # seconds: what was read within them may be one row, with one time
_LONGEST = 4  # bytes of a character


class Piece(Protocol):
    """What was read of a stream at once."""

    @property
    def stream(self) -> str:
        """Its stream, `stdout` or `stderr`."""

    @property
    def time(self) -> float:
        """When it was read, in seconds since 1970."""

    @property
    def offset(self) -> int:
        """The place of its first byte in its stream."""

    @property
    def data(self) -> bytes:
        """Its bytes."""

    @property
    def end(self) -> int:
        """The position in the spool behind it."""


class Row(NamedTuple):
    """A row of output.

    Attributes:
        stream: `stdout` or `stderr`.
        start: The place of its first byte in its stream.
        time: When that was read, in seconds since 1970.
        data: Its bytes.
    """

    stream: str
    start: int
    time: float
    data: bytes

    @property
    def end(self) -> int:
        """The place in its stream behind it."""
        return self.start + len(self.data)


def lay_out(pieces: Iterable[Piece], sizes: dict[str, int]) -> Iterator[Row]:
    """Make rows of pieces, in their order.

    Args:
        pieces: What was read.
        sizes: How far each stream is stored; what lies before that is left out.  It is changed.
    """
    for joined in _join(_new(pieces, sizes)):
        at = joined.start
        for part in cut(joined.data):
            yield joined._replace(start=at, data=part)
            at += len(part)


def _new(pieces: Iterable[Piece], sizes: dict[str, int]) -> Iterator[Row]:
    for piece in pieces:
        known = max(sizes[piece.stream] - piece.offset, 0)
        if data := piece.data[known:]:
            row = Row(piece.stream, piece.offset + known, piece.time, data)
            sizes[piece.stream] = row.end
            yield row


def _join(rows: Iterable[Row]) -> Iterator[Row]:
    """Join what follows one another in one stream, until it is large."""
    waiting: list[Row] = []
    size = 0
    for row in rows:
        if waiting and not (size < LARGEST and _belongs(row, waiting[0], waiting[-1])):
            yield _joined(waiting)
            waiting, size = [], 0
        waiting.append(row)
        size += len(row.data)
    if waiting:
        yield _joined(waiting)


def _belongs(row: Row, first: Row, last: Row) -> bool:
    follows = row.stream == last.stream and row.start == last.end
    return follows and abs(row.time - first.time) < _TOGETHER


def _joined(rows: list[Row]) -> Row:
    return rows[0]._replace(data=b"".join(row.data for row in rows))


def cut(data: bytes) -> Iterator[bytes]:
    """Cut bytes into parts for a row each, so that as much as can be is text.

    Where only the rest of a character, or the beginning of one, makes them no text, that stands in
    a row of its own.
    """
    at = 0
    while at < len(data):
        end = len(data) if len(data) - at <= LARGEST else boundary(data, at + LARGEST)
        yield from _part(data[at:end])
        at = end


def _part(data: bytes) -> Iterator[bytes]:
    first, last = _rest(data), boundary(data, len(data))
    if (first or last < len(data)) and isinstance(as_value(data[first:last]), str):
        yield from filter(None, (data[:first], data[first:last], data[last:]))
    else:
        yield data


def as_value(data: bytes) -> str | bytes:
    """Return what SQLite is given for these bytes: a text where they are one."""
    if b"\0" in data:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def boundary(data: bytes, end: int) -> int:
    """Return the last place up to `end` at which no character is cut; `end` where there is none."""
    for back in range(1, min(_LONGEST, end) + 1):
        byte = data[end - back]
        if byte & 0xC0 != 0x80:  # a character begins here
            return end - back if back < _length(byte) else end
    return end


def _length(byte: int) -> int:
    """Return how many bytes a character has that begins with this one."""
    return 1 + (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)


def _rest(data: bytes) -> int:
    """Return how many bytes at the beginning are the rest of a character."""
    count = 0
    while count < min(_LONGEST - 1, len(data)) and data[count] & 0xC0 == 0x80:
        count += 1
    return count
