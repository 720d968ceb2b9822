"""The task of a compaction, what comes of it, and what it tells meanwhile: plain values.

A task may run in this process, in another one, or on another machine that has the same directory.
So what it tells, and what it is asked, goes by files in its place (`staging`).
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec

from logbatch.dataset.compaction.promote import AUTO

_EVERY = 0.2  # seconds between two reports
_PROGRESS = "progress"


class CompactTask(msgspec.Struct, frozen=True):
    """The folder of a day, and how it is to be.

    Attributes:
        folder: The folder.
        place: A directory for it alone, in the journal's directory: see `staging`.
        cluster_by: What records are ordered by before their time: columns or attributes.
        target_size: About how many bytes a file has.
        promote: `auto`, `none`, or `names`.
        names: With `names`, attributes that become typed columns.
        jsonl: Whether files of JSON Lines become Parquet.
        memory: Bytes of memory that may be taken.
        threads: How many threads may work.
        dry_run: Whether nothing is to be changed.
    """

    folder: str
    place: str
    cluster_by: tuple[str, ...] = ()
    target_size: int = 128_000_000
    promote: str = AUTO
    names: tuple[str, ...] = ()
    jsonl: bool = False
    memory: int = 1_000_000_000
    threads: int = 1
    dry_run: bool = False


class Count(msgspec.Struct, frozen=True):
    """Some files: how many there are, their bytes, and the records in them."""

    files: int = 0
    bytes: int = 0
    rows: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.files + other.files, self.bytes + other.bytes, self.rows + other.rows)


class Outcome(msgspec.Struct, frozen=True):
    """What became of a folder.

    Attributes:
        folder: Its name.
        before: The files that could be compacted.
        after: Those that are there instead; of a dry run, those that would be written, of which
            the bytes are an estimate.
        changed: Whether there was, or would be, something to do.
        problems: Files that took no part, and why.
        lines: How many files of JSON Lines were not asked for.
        failure: Why the folder is as it was; empty where it is as it is to be.
    """

    folder: str
    before: Count = Count()
    after: Count = Count()
    changed: bool = False
    problems: tuple[str, ...] = ()
    lines: int = 0
    failure: str = ""


def read_progress(place: Path) -> tuple[int, int, int, int]:
    """Return how many files, bytes and rows a task has read, and how many rows it has written."""
    try:
        files, size, read, written = map(int, (place / _PROGRESS).read_bytes().split())
    except (OSError, ValueError):
        return 0, 0, 0, 0
    return files, size, read, written


class Progress:
    """Tells in a file how far a task is, a few times a second.

    Args:
        place: The task's.
    """

    def __init__(self, place: Path) -> None:
        self._path = place / _PROGRESS
        self._figures = [0, 0, 0, 0]
        self._due = time.monotonic() + _EVERY

    def read(self, files: int, size: int, rows: int) -> None:
        """Note what was read."""
        self._add(files, size, rows, 0)

    def wrote(self, rows: int) -> None:
        """Note how many rows were written."""
        self._add(0, 0, 0, rows)

    def _add(self, *figures: int) -> None:
        self._figures = [a + b for a, b in zip(self._figures, figures, strict=True)]
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _EVERY
            with contextlib.suppress(OSError):  # it is only told
                self._path.write_bytes(b" ".join(b"%d" % figure for figure in self._figures))
