"""A piece of what a child process printed."""

from __future__ import annotations

from typing import NamedTuple

STREAMS = ("stdout", "stderr")


class Chunk(NamedTuple):
    """A piece of one stream, as it was read.

    Attributes:
        stream: `"stdout"` or `"stderr"`.
        time: When it was read, in seconds since the epoch.
        offset: Of its first byte in its stream.
        data: The bytes.
        end: The position in the spool behind it.
    """

    stream: str
    time: float
    offset: int
    data: bytes
    end: int
