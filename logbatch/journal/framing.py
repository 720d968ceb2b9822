"""Find, count and cut lines in the bytes of a segment.

A *loose* segment may hold blank lines between its lines, where something that was no line was
overwritten; they are neither counted nor handed out.
"""

from __future__ import annotations

from logbatch.journal.segment import Segment
from logbatch.journal.state import Position

CHUNK = 1 << 20  # bytes copied and looked at in one go, while the interpreter lock is held
_LEAST = 1 << 12


def whole_lines(segment: Segment, start: int, stop: int, about: int = CHUNK) -> bytes:
    """Read about so many bytes, ending with a line; `stop` is the end of a line."""
    length = max(min(about, CHUNK), _LEAST)
    while True:
        chunk = segment.read(start, min(start + length, stop))
        whole = chunk.rfind(b"\n") + 1
        if whole or start + length >= stop:
            return chunk[:whole] if whole else chunk
        length *= 4


def count_lines(chunk: bytes, loose: bool) -> int:
    """Count the lines, but not the blank ones."""
    if loose and (chunk.startswith(b"\n") or b"\n\n" in chunk):
        return sum(map(bool, chunk.split(b"\n")))
    return chunk.count(b"\n")


def without_blanks(chunk: bytes) -> bytes:
    """Leave out the blank lines."""
    if chunk.startswith(b"\n") or b"\n\n" in chunk:
        return b"".join(line + b"\n" for line in chunk.split(b"\n") if line)
    return chunk


def count_leading_blanks(chunk: bytes) -> int:
    """Return how many blank lines stand before the first line."""
    return len(chunk) - len(chunk.lstrip(b"\n"))


def cut_bytes(chunk: bytes, room: int, *, must: bool) -> bytes:
    """Cut behind the last line that fits; with `must`, behind the first if none does."""
    if len(chunk) <= room:
        return chunk
    whole = chunk.rfind(b"\n", 0, max(room, 0)) + 1
    if not whole and must:
        whole = chunk.find(b"\n") + 1
    return chunk[:whole]


def cut_lines(chunk: bytes, most: int) -> bytes:
    """Cut behind the `most`-th line that is not blank."""
    if chunk.count(b"\n") <= most:
        return chunk
    end = 0
    while most > 0:
        stop = chunk.find(b"\n", end) + 1
        if not stop:
            return chunk
        most -= stop - end > 1
        end = stop
    return chunk[:end]


def enter(segment: Segment, sequence: int) -> Position:
    """Return the begin of a segment whose first line has this sequence, if it is not known."""
    if segment.first is None:  # it is known where segments before it were dropped
        segment.first = sequence
    return Position(segment.index, 0, segment.first)


def past_blanks(position: Position, segment: Segment) -> Position:
    """Step over blank lines, of which there may be megabytes."""
    offset, stop = position.offset, segment.end()
    while segment.loose and offset < stop and segment.read(offset, offset + 1) == b"\n":
        offset += count_leading_blanks(segment.read(offset, min(offset + CHUNK, stop)))
    return position if offset == position.offset else position._replace(offset=offset)


def advance(position: Position, segment: Segment, chunk: bytes) -> Position:
    """Return the place behind a piece that begins at `position`."""
    return Position(
        segment.index,
        position.offset + len(chunk),
        position.sequence + count_lines(chunk, segment.loose),
    )


def collect(
    segment: Segment, start: Position, stop: int, max_bytes: int, max_lines: int
) -> tuple[Position, bytes]:
    """Read lines within the limits; return the place behind them, and them."""
    pieces: list[bytes] = []
    position, room = start, max_bytes
    while position.offset < stop and position.sequence - start.sequence < max_lines:
        if (further := past_blanks(position, segment)) != position:
            position = further
            continue
        chunk = whole_lines(segment, position.offset, stop, room)
        chunk = cut_bytes(chunk, room, must=not pieces)
        further = advance(position, segment, chunk)
        if further.sequence - start.sequence > max_lines:
            chunk = cut_lines(chunk, max_lines - (position.sequence - start.sequence))
            further = advance(position, segment, chunk)
        if not chunk:
            break
        pieces.append(chunk)
        position, room = further, room - len(chunk)
    data = b"".join(pieces)
    return position, without_blanks(data) if segment.loose else data
