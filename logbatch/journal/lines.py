"""Find, count and cut lines in the bytes of a segment.

A *loose* segment may hold blank lines between its lines, where something that was no line was
overwritten; they are neither counted nor handed out.
"""

from __future__ import annotations

from logbatch.journal.segment import Segment

CHUNK = 1 << 16  # bytes copied and looked at in one go, while the interpreter lock is held


def whole_lines(segment: Segment, start: int, stop: int) -> bytes:
    """Read about `CHUNK` bytes, ending with a line; `stop` is the end of a line."""
    length = CHUNK
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
