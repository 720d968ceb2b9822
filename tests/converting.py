"""Output of programs, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from logbatch.capture.chunk import Chunk
from logbatch.capture.convert import Converter, Made
from logbatch.events.event import LineEncoder

NOW = 1795305600.5  # 2026-11-22T00:00:00.5Z
RUN = "01m7y4mnsn285g6hxmhvdgyfrf"

Piece = tuple[str, float, bytes]
"""Some bytes of a stream, and when they were read."""


def make(encoder: LineEncoder | None = None, **options: Any) -> Converter:
    """Make a converter of a command `make all` with the process 7."""
    encoder = encoder or LineEncoder(service="logbatch", host="here")
    return Converter(encoder, RUN, "make all", 7, **options)


def chunks(pieces: Iterable[Piece]) -> list[Chunk]:
    """Make chunks of pieces, one behind the other."""
    offsets = {"stdout": 0, "stderr": 0}
    made, end = [], 0
    for stream, time, data in pieces:
        end += len(data)
        made.append(Chunk(stream, time, offsets[stream], data, end))
        offsets[stream] += len(data)
    return made


def feed(converter: Converter, pieces: Iterable[Piece]) -> list[Made]:
    """Feed pieces, and then the end."""
    made = [event for chunk in chunks(pieces) for event in converter.feed(chunk)]
    return made + converter.end()


def rows(made: Sequence[Made]) -> list[dict[str, Any]]:
    """Read events."""
    return [json.loads(line) for line, _, _ in made]


def convert(output: bytes | str, stream: str = "stdout", **options: Any) -> list[dict[str, Any]]:
    """Make events of some output."""
    data = output.encode() if isinstance(output, str) else output
    return rows(feed(make(**options), [(stream, NOW, data)]))


def convert_one(output: bytes | str, stream: str = "stdout", **options: Any) -> dict[str, Any]:
    """Make the one event of some output."""
    (row,) = convert(output, stream, **options)
    return row


def messages(output: bytes | str, **options: Any) -> list[str]:
    """Make the messages of some output."""
    return [row["message"] for row in convert(output, **options)]
