"""Which records there are, and which there must be, by their identity."""

from __future__ import annotations

from pathlib import Path

from logbatch import Dataset


def found(directory: Path) -> list[tuple[str, int]]:
    """Return which records a reader sees, in order."""
    return sorted((row["producer"], row["sequence"]) for row in Dataset(directory).rows())


def all_of(*ranges: tuple[str, int, int]) -> list[tuple[str, int]]:
    """Return the records of ranges, in order."""
    return sorted((who, n) for who, first, last in ranges for n in range(first, last + 1))
