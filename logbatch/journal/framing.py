"""Find, count and cut lines in the bytes of a segment.

A *loose* segment may hold blank lines between its lines, where something that was no line was
overwritten; they are neither counted nor returned.
"""

from __future__ import annotations

from logbatch.journal.segment import Segment
from logbatch.journal.state import Position

CHUNK = 1 << 20  # bytes copied and searched in one go, while the interpreter lock is held
_LEAST = 1 << 12


def whole_lines(segment: Segment, start: int, stop: int, about: int = CHUNK) -> bytes:
    """Read whole lines of about so many bytes, from `start` to `stop`, which both end a line."""
    length = max(min(about, CHUNK), _LEAST)
    while True:
        chunk = segment.read(start, min(start + length, stop))
        whole = chunk.rfind(b"\n") + 1
        if whole or start + length >= stop:
            return chunk[:whole] if whole else chunk
        length *= 4


def count_lines(chunk: bytes, loose: bool) -> int:
    """Return the number of lines, without the blank ones."""
    if loose and (chunk.startswith(b"\n") or b"\n\n" in chunk):
        return sum(map(bool, chunk.split(b"\n")))
    return chunk.count(b"\n")


def without_blanks(chunk: bytes) -> bytes:
    """Return the lines without the blank ones."""
    if chunk.startswith(b"\n") or b"\n\n" in chunk:
        return b"".join(line + b"\n" for line in chunk.split(b"\n") if line)
    return chunk


def count_leading_blanks(chunk: bytes) -> int:
    """Return the number of blank lines before the first line."""
    return len(chunk) - len(chunk.lstrip(b"\n"))


def cut_bytes(chunk: bytes, room: int, *, must: bool) -> bytes:
    """Return the lines that fit; with `must`, the first line if none does."""
    if len(chunk) <= room:
        return chunk
    whole = chunk.rfind(b"\n", 0, max(room, 0)) + 1
    if not whole and must:
        whole = chunk.find(b"\n") + 1
    return chunk[:whole]


def cut_lines(chunk: bytes, most: int) -> bytes:
    """Return the first `most` lines that are not blank, and the blank ones between them."""
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
    """Return the start of a segment, whose first line has this sequence if it is not known."""
    if segment.first is None:  # it is known where segments before it were dropped
        segment.first = sequence
    return Position(segment.index, 0, segment.first)


def past_blanks(position: Position, segment: Segment) -> Position:
    """Return the position behind blank lines, of which there may be megabytes."""
    offset, stop = position.offset, segment.end()
    while segment.loose and offset < stop and segment.read(offset, offset + 1) == b"\n":
        offset += count_leading_blanks(segment.read(offset, min(offset + CHUNK, stop)))
    return position if offset == position.offset else position._replace(offset=offset)


def advance(position: Position, segment: Segment, chunk: bytes) -> Position:
    """Return the position behind lines that begin at `position`."""
    return Position(
        segment.index,
        position.offset + len(chunk),
        position.sequence + count_lines(chunk, segment.loose),
    )


def collect(
    segment: Segment, start: Position, stop: int, max_bytes: int, max_lines: int
) -> tuple[Position, bytes]:
    """Read lines within the limits; return the position behind them, and the lines."""
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
