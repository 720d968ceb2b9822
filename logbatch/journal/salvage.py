"""Tell the lines of a damaged segment from what is no line any more.

A line is a JSON object that begins with its timestamp, holds no NUL and no raw newline, and ends
with a newline.  Damage costs the lines that it touches: each bad piece is copied aside, then
overwritten with newlines where it stands, so that the offsets of all others stay as they were.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from logbatch.journal.segment import create_file

# Within a JSON text the quotes would be escaped, so this is the start of a line wherever it stands.
_START = re.compile(rb'(?=\{"timestamp":")')
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def is_line(piece: bytes) -> bool:
    """Tell whether a piece, without its newline, is a whole line."""
    if b"\0" in piece:
        return False
    try:
        return "timestamp" in _decode(piece)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def content_end(content: bytes) -> int:
    """Return where the lines end: behind the last newline.  What follows is half a line."""
    return content.rfind(b"\n") + 1


def damaged_spans(content: bytes) -> list[tuple[int, int]]:
    """List the (start, stop) of what is no line, up to the last newline."""
    spans: list[tuple[int, int]] = []
    for start, piece in _pieces(content[: content_end(content)]):
        if piece and not is_line(piece):
            spans.append((start, start + len(piece)))
    return spans


def _pieces(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, text) of each piece between newlines; cut a glued one at every line start."""
    offset = 0
    for piece in content.split(b"\n"):
        if not piece or is_line(piece):
            yield offset, piece
        else:
            at = offset
            for part in _START.split(piece):
                yield at, part
                at += len(part)
        offset += len(piece) + 1


def repair(path: Path, aside: Path) -> tuple[bytes, int]:
    """Read a segment of a process that died; copy bad pieces aside and blank them out.

    Args:
        path: The segment; its owner is gone and this process has its lock.
        aside: The directory for the bad pieces, made when it is needed.

    Returns:
        Its content up to the last whole line, bad pieces replaced by newlines; and the number of
        bad pieces.
    """
    content = path.read_bytes()
    content = content[: content_end(content)]
    if not _is_damaged(content):
        return content, 0
    spans = damaged_spans(content)
    keep_aside(content, spans, path, aside)
    repaired = bytearray(content)
    with path.open("r+b") as file:
        for start, stop in spans:
            # The last byte of a line that a damaged newline glued to the next becomes one again.
            repaired[start:stop] = b"\n" * (stop - start)
            file.seek(start)
            file.write(repaired[start:stop])
        file.flush()
        os.fsync(file.fileno())
    return bytes(repaired), len(spans)


def _is_damaged(content: bytes) -> bool:
    return b"\0" in content or not all(is_line(line) for line in content.split(b"\n") if line)


def keep_aside(content: bytes, spans: list[tuple[int, int]], path: Path, aside: Path) -> None:
    """Copy the bad pieces into a file of their own; a second call finds them there."""
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = create_file(aside / f"{path.name}-{spans[0][0]}")
    except FileExistsError:
        return
    with open(descriptor, "wb") as file:
        file.write(b"\n".join(content[start:stop] for start, stop in spans))
        file.flush()
        os.fsync(file.fileno())


def live_lines(content: bytes) -> bytes:
    """Return the whole lines of a segment that its owner may be writing to at this moment."""
    stop = content.find(b"\0")
    if stop >= 0:
        content = content[:stop]
    return content[: content_end(content)]
