"""A piece of what a child process has printed."""

from __future__ import annotations

from typing import NamedTuple

STREAMS = ("stdout", "stderr")


class Chunk(NamedTuple):
    """What was read at one time from one stream.

    Attributes:
        stream: `stdout` or `stderr`.
        time: When it was read, in seconds since 1970.
        offset: Of its first byte in its own stream.
        data: The bytes.
        end: The position in the spool behind it; it only grows, over all segments of a run.
    """

    stream: str
    time: float
    offset: int
    data: bytes
    end: int
