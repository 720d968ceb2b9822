"""The size of the files of a log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from logbatch.storage.segments import list_segments


class Size(NamedTuple):
    """The files of one kind.

    Attributes:
        name: `parquet`, `jsonl`, `jsonl.zst`, `jsonl.gz`, or `jsonl (growing)`.
        files: How many there are.
        bytes: How long they are, together.
        records: How many records they hold; None where only reading them would tell.
    """

    name: str
    files: int
    bytes: int
    records: int | None


def measure(directory: Path) -> list[Size]:
    """Measure the published files of a directory, kind by kind."""
    found: dict[str, Size] = {}
    for segment in list_segments(directory):
        try:
            size = os.stat(segment.path).st_size
        except OSError:  # it has another name by now
            continue
        name = "jsonl (growing)" if segment.last is None else segment.ext
        known = found.get(name, Size(name, 0, 0, None if segment.last is None else 0))
        records = None if segment.last is None else segment.last - segment.first + 1
        found[name] = Size(
            name,
            known.files + 1,
            known.bytes + size,
            None if known.records is None or records is None else known.records + records,
        )
    return sorted(found.values())


def readable(number: float) -> str:
    """Format a number of bytes in three or four digits: `8.6 kB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.{0 if unit == 'B' else 1}f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
