"""Where the lines of a journal are that were not settled: in files, or with this process only."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from logbatch.journal.segment import Segment
from logbatch.journal.segments import Segments
from logbatch.journal.state import Position


class Left(NamedTuple):
    """Where the lines are that were not settled.

    Attributes:
        in_files: How many are in files, from which another process can deliver them.
        in_memory: How many are in no file, and end with this process.
        owner: The user that the files belong to; None where that is not known.
    """

    in_files: int = 0
    in_memory: int = 0
    owner: int | None = None


def count_in_files(
    segments: Segments, settled: Position, counted: Callable[[Segment], Position]
) -> int:
    """Return how many unsettled lines are in files that a later process finds.

    Args:
        segments: Those of the journal.
        settled: The first line that is not settled.
        counted: Returns how far the lines of a segment are counted.
    """
    lines = 0
    for segment in segments:
        if segment.index >= settled.segment and segment.kept():
            first = settled.sequence if segment.index == settled.segment else segment.first or 0
            lines += max(counted(segment).sequence - first, 0)
    return lines


def describe_place(segments: Segments, *, in_memory: bool) -> str:
    """Describe in a few words where the lines of a journal wait.

    Args:
        segments: Those of the journal.
        in_memory: Whether it has no files by choice.
    """
    found = [segment.path is None for segment in segments]
    if in_memory or (found and all(found)):
        return "memory"
    return "the journal and in memory" if any(found) else "the journal"
