r"""The lines of one stream, however its bytes were cut into pieces.

A line ends with `\n`, `\r\n`, or where the stream ends; only these count as lines.  Of texts that
`\r` has overwritten, the last that is not blank stays: of `10%\r20%\r30%\n` the line is `30%`.
What of an unfinished line is kept in memory is bounded: its first `keep` bytes, and those of what
it overwrites.  A line of `most` bytes is ended there by force, so that its bytes may be given up
where they wait; what follows is a line of its own.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import NamedTuple

from logbatch.capture.escapes import as_text, clean, is_blank

MOST_BYTES = 1 << 28
BOM = "\ufeff"
_RECENT = 16  # overwritten texts that are remembered for their progress
_RECENT_BYTES = 1024  # of each, from its beginning and its end


class Line(NamedTuple):
    """One whole line.

    Attributes:
        text: What a terminal shows of it last; the beginning, if it is long.
        size: How many bytes that has in all, if `text` is only its beginning.
        began: When its first byte was read, in seconds since 1970.
        overwritten: What it has shown before, newest first; some of it.
    """

    text: str
    size: int | None
    began: float
    overwritten: tuple[str, ...]


class Splitter:
    """Splits one stream into lines.

    Args:
        keep: Most bytes of a line that are kept.
        offset: Of the first byte in the stream.
        number: Of the first line, from 1.
        most: Bytes after which a line is ended by force.

    Attributes:
        offset: Of the first byte of the line that is not whole yet.
        number: Of that line.
    """

    def __init__(self, keep: int, offset: int, number: int, most: int = MOST_BYTES) -> None:
        self.offset = offset
        self.number = number
        self._keep = max(keep, 1)
        self._most = most
        self._size = 0
        self._began = 0.0
        self._open = self._new()

    def feed(self, data: bytes, time: float) -> Iterator[Line | bytes]:
        """Take what was read, at most `most` bytes, and yield the lines that are whole now.

        Several lines come as one piece of bytes, without the last line's end.  When something is
        yielded, `offset` and `number` are still those of its first line.
        """
        while data:
            if self._size == 0:
                self._began = time
                end = data.rfind(b"\n")
                if end >= 0:
                    body = data[:end]
                    yield body
                    self.offset += end + 1
                    self.number += body.count(b"\n") + 1
                    data = data[end + 1 :]
                    self._open = self._new()
                    continue
            end = data.find(b"\n")
            room = self._most - self._size
            if end < 0 and len(data) < room:
                self._add(data)
                return
            is_forced = end < 0 or end >= room
            taken = room if is_forced else end
            self._add(data[:taken])
            skipped = taken if is_forced else taken + 1
            yield self._finish()
            self._next(self._size + skipped - taken)
            data = data[skipped:]

    def end(self) -> Iterator[Line]:
        """Yield what is left at the end of the stream, if anything is."""
        if self._size:
            yield self._finish()
            self._next(self._size)

    def read_to(self) -> int:
        """Return the offset of the first byte that was not fed yet."""
        return self.offset + self._size

    def one(self, data: bytes, began: float) -> Line:
        """Make a line of its bytes; they are not the first of the stream."""
        texts = _Overwritten(self._keep, is_first=False)
        texts.add(data)
        return texts.line(began)

    def unfinished(self) -> tuple[str, ...]:
        """Return what the line that is not whole yet shows, newest first; some of it."""
        return self._open.newest() if self._size else ()

    def _new(self) -> _Overwritten:
        return _Overwritten(self._keep, self.offset == 0)

    def _add(self, data: bytes) -> None:
        self._open.add(data)
        self._size += len(data)

    def _finish(self) -> Line:
        return self._open.line(self._began)

    def _next(self, size: int) -> None:
        self.offset += size
        self.number += 1
        self._size = 0
        self._open = self._new()


class _Overwritten:
    r"""The texts of one line that `\r` separates, of which the last one is shown."""

    __slots__ = ("_head", "_is_first", "_keep", "_recent", "_shown", "_size")

    def __init__(self, keep: int, is_first: bool) -> None:
        self._keep = keep
        self._is_first = is_first
        self._head = bytearray()  # of the text that is not overwritten yet
        self._size = 0
        self._shown: tuple[str, int | None] | None = None
        self._recent: list[bytes] = []

    def add(self, data: bytes) -> None:
        if b"\r" not in data:
            self._extend(data)
            return
        first, *others, last = data.split(b"\r")
        self._extend(first)
        shown = self._show(bytes(self._head), self._size)
        if self._shown is None or not is_blank(shown[0]):
            self._shown = shown
        self._is_first = False
        for piece in reversed(others):
            shown = self._show(piece, len(piece))
            if not is_blank(shown[0]):
                self._shown = shown
                break
        recent = (*self._recent, bytes(self._head), *others[-_RECENT:])
        self._recent = [_ends_of(piece) for piece in recent[-_RECENT:]]
        self._head = bytearray(last[: self._keep])
        self._size = len(last)

    def _extend(self, data: bytes) -> None:
        room = self._keep - len(self._head)
        if room > 0:
            self._head += data[:room]
        self._size += len(data)

    def line(self, began: float) -> Line:
        shown = self._show(bytes(self._head), self._size)
        if self._shown is not None and is_blank(shown[0]):
            shown = self._shown
        return Line(*shown, began, self._overwritten())

    def newest(self) -> tuple[str, ...]:
        text = self._show(_ends_of(self._head), 0)[0]
        overwritten = self._overwritten()
        self._recent = []
        return (text, *overwritten)

    def _overwritten(self) -> tuple[str, ...]:
        return tuple(self._show(piece, 0)[0] for piece in reversed(self._recent))

    def _show(self, data: bytes, size: int) -> tuple[str, int | None]:
        if size <= self._keep:
            text = data.decode("utf-8", "surrogateescape")
        else:  # it must not end within a character
            decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
            text = decoder.decode(data[: self._keep])
        if self._is_first:
            text = text.removeprefix(BOM)
        return as_text(clean(text)), (size if size > self._keep else None)


def _ends_of(data: bytes | bytearray) -> bytes:
    if len(data) <= 2 * _RECENT_BYTES:
        return bytes(data)
    return bytes(data[:_RECENT_BYTES] + data[-_RECENT_BYTES:])
