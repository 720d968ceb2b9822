"""Separate the lines of a damaged segment from what is no line any more.

A line is a JSON object that begins with its timestamp, has the right types in the fixed columns,
holds no NUL and no raw newline, and ends with a newline.  Damage costs the lines that it touches:
each bad piece is copied aside, then overwritten with newlines where it stands, so that the offsets
of all others stay as they were.  Files are read piece by piece, for they may be large.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from logbatch.disk import make_directory, open_file, publish, sync_directory, sync_file
from logbatch.storage.columns import COLUMNS, FIELDS, JSON_TYPES

_CHUNK = 1 << 20
_PAGE = 4096
_TYPES = {"timestamp": JSON_TYPES["timestamp"], "string": str, "int32": int, "int64": int}
_Line = msgspec.defstruct(
    "_Line",
    [
        ("timestamp", _TYPES["timestamp"]),
        *((name, _TYPES[COLUMNS[name].type] | None, None) for name in FIELDS[1:-1]),
        ("attributes", dict[str, msgspec.Raw] | None, None),
    ],
    gc=False,
)
_decode = msgspec.json.Decoder(_Line).decode

# Within a JSON text the quotes would be escaped, so this is the start of a line wherever it stands.
_BEGIN = b'{"timestamp":"'
_START = re.compile(rb'(?=\{"timestamp":")')


def is_line(piece: bytes) -> bool:
    """Return whether a piece, without its newline, is a whole line."""
    if not piece.startswith(_BEGIN) or not piece.endswith(b"}") or b"\r" in piece:
        return False  # JSON allows a return between two values; for many readers it ends the line
    try:
        _decode(piece)
        piece.decode()  # what is only skipped above may still hold bytes that are no text
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def content_end(descriptor: int) -> int:
    """Return where the lines end: behind the last newline.  What follows is half a line."""
    stop = os.fstat(descriptor).st_size
    while stop > 0:
        start = max(stop - _CHUNK, 0)
        found = os.pread(descriptor, stop - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        stop = start
    return 0


def read_chunks(descriptor: int, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) in pieces that end with a newline; `stop` is behind one."""
    rest = b""
    while start + len(rest) < stop:
        at = start + len(rest)
        more = os.pread(descriptor, min(_CHUNK, stop - at), at)
        if not more:
            return  # cut off meanwhile
        whole = more.rfind(b"\n") + 1
        if whole:
            yield start, rest + more[:whole]
            start, rest = at + whole, more[whole:]
        else:
            rest += more


def find_damage(descriptor: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Yield the (start, stop) of what is no line; neighbours are one."""
    last: tuple[int, int] | None = None
    for begin, end in _bad_pieces(read_chunks(descriptor, start, stop)):
        if last is not None and begin - last[1] <= 1:  # nothing but a newline is between them
            last = (last[0], end)
            continue
        if last is not None:
            yield last
        last = (begin, end)
    if last is not None:
        yield last


def _bad_pieces(chunks: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, int]]:
    for offset, chunk in chunks:
        at = offset
        for piece in chunk.split(b"\n"):
            if piece and not is_line(piece):
                yield from _bad_parts(at, piece)
            at += len(piece) + 1


def _bad_parts(at: int, piece: bytes) -> Iterator[tuple[int, int]]:
    """Look for lines that are glued to something, where a newline was lost."""
    parts = _START.split(piece)
    bad = [not is_line(part) for part in parts]
    for index in range(len(parts) - 2, -1, -1):
        # Of two lines with nothing between them one must make room for a newline.
        bad[index] = bad[index] or not bad[index + 1]
    for part, is_bad in zip(parts, bad, strict=True):
        if part and is_bad:
            yield at, at + len(part)
        at += len(part)


class Repaired(NamedTuple):
    """What was found in a segment: where its lines end, and how many places were bad."""

    end: int
    damaged: int


def repair(path: Path, aside: Path) -> Repaired:
    """Copy the bad pieces of a segment aside, and blank them out.

    It may be interrupted at any point and done again.

    Args:
        path: The segment; its owner is gone and this process has its lock.
        aside: The directory for the bad pieces, created when it is needed.

    Raises:
        OSError: The segment cannot be read, or the pieces cannot be kept.
    """
    descriptor = open_file(path, os.O_RDWR)
    try:
        end = content_end(descriptor)
        spans = list(find_damage(descriptor, 0, end))
        if spans and spans[-1][1] == end - 1 and _was_being_copied(descriptor, *spans[-1]):
            end = spans.pop()[0]
        rest = _find_rest(descriptor, end)
        if spans or rest:
            _keep_aside(descriptor, [*spans, *rest], aside / path.name)
        for start, stop in spans:
            # The newline that a damaged line lost becomes one again.
            _overwrite(descriptor, start, stop)
        if spans:
            sync_file(descriptor)
    finally:
        os.close(descriptor)
    return Repaired(end, len(spans) + len(rest))


def _was_being_copied(descriptor: int, start: int, stop: int) -> bool:
    """Return whether a piece looks as if it was being copied in when the process died.

    `memcpy` copies the end of a line before its middle, and sometimes its start last.  What a power
    failure takes away is whole pages, in which there were other lines.
    """
    missing = 0
    for at in range(start, stop, _CHUNK):
        part = os.pread(descriptor, min(_CHUNK, stop - at), at)
        if b"\n" in part:
            return False  # more than one line
        missing += part.count(b"\0")
    return 0 < missing < _PAGE


def _find_rest(descriptor: int, end: int) -> list[tuple[int, int]]:
    """Find what stands behind the last line, unless it is a line that was being copied in.

    A copy that was interrupted looks like the start of a line, or has holes.
    """
    stop = os.fstat(descriptor).st_size
    while stop > end:
        start = max(stop - _CHUNK, end)
        content = os.pread(descriptor, stop - start, start).rstrip(b"\0")
        if content:
            stop = start + len(content)
            rest = os.pread(descriptor, stop - end, end)
            broken_off = b"\0" in rest or _BEGIN.startswith(rest[: len(_BEGIN)])
            complete = is_line(rest) or is_line(rest[:-1])
            return [] if broken_off and not complete else [(end, stop)]
        stop = start
    return []


def _keep_aside(descriptor: int, spans: list[tuple[int, int]], prefix: Path) -> None:
    """Copy pieces into a file of their own, which an interrupted call may have written already."""
    make_directory(prefix.parent, sync=True)
    publish(prefix.with_name(f"{prefix.name}-{spans[0][0]}"), _copy(descriptor, spans))
    sync_directory(prefix.parent)


def _copy(descriptor: int, spans: list[tuple[int, int]]) -> Iterator[bytes]:
    for start, stop in spans:
        for at in range(start, stop, _CHUNK):
            yield os.pread(descriptor, min(_CHUNK, stop - at), at)
        yield b"\n"


def _overwrite(descriptor: int, start: int, stop: int) -> None:
    for at in range(start, stop, _CHUNK):
        size = min(_CHUNK, stop - at)
        if os.pwrite(descriptor, b"\n" * size, at) < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
