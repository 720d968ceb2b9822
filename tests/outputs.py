"""Output of runs: made by chance, as it would be read from a program, and stored."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from logbatch.capture.chunk import Chunk
from logbatch.storage.executions import Execution


def execution(run_id: str, command: str = "make all", at: float = 1000.0) -> Execution:
    """A run that begins."""
    return Execution(run_id, command, at, "web-1", 4711)


class Output:
    """What a program prints, piece by piece; it remembers all of it."""

    def __init__(self, seed: int = 0) -> None:
        self.chance = random.Random(seed)
        self.streams = {"stdout": bytearray(), "stderr": bytearray()}
        self.all = bytearray()
        self.end = 0
        self.time = 1000.0

    def print(self, data: bytes, stream: str = "stdout") -> Chunk:
        """Print something."""
        self.time += 0.01
        self.end += len(data) + 24  # as if it were framed
        chunk = Chunk(stream, self.time, len(self.streams[stream]), data, self.end)
        self.streams[stream] += data
        self.all += data
        return chunk

    def some(self, pieces: int) -> list[Chunk]:
        """Print this and that, to both streams."""
        kinds = (b"line\n", "é€😀\n".encode() * 9, b"\xe2\x82", b"\xac\xff\0", b"x" * 300)
        return [
            self.print(
                self.chance.choice(kinds)[: self.chance.randrange(1, 301)],
                self.chance.choice(("stdout", "stdout", "stderr")),
            )
            for _ in range(pieces)
        ]

    def of(self, stream: str | None) -> bytearray:
        """All that was printed to a stream, or to both."""
        return self.all if stream is None else self.streams[stream]


def joined(parts: Iterable[Any]) -> bytes:
    """The bytes of parts."""
    return b"".join(part.data for part in parts)


def query(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Ask a file of SQLite, as any other program would."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, values).fetchall()
