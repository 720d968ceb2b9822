"""Files that a merge was made of, and that still stand beside what was made of them.

They are there for a moment while files are merged, or until the next process cleans up what a crash
left.  Readers take each record from one file; who counts what is there twice leaves them out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from logbatch.dataset.snapshot import Part, Taken
from logbatch.identity import Ranges
from logbatch.storage.coverage import NoCoverage, read_coverage


def find_leftovers(parts: Iterable[Part]) -> set[Path]:
    """Find the files that were merged into another of their folder, or compacted there."""
    by_folder = groupby(sorted(parts, key=lambda part: part.path), lambda part: part.path.parent)
    return {path for _, found in by_folder for path in _find_in_folder(list(found))}


def _find_in_folder(parts: Sequence[Part]) -> Iterable[Path]:
    compacted = [part for part in parts if part.segment.compacted]
    covered: dict[str, Ranges] = {}
    for part in sorted(compacted, key=lambda part: -_count(part.taken)):
        if not _add(covered, part.taken):
            yield part.path
    singles = [part for part in parts if not part.segment.compacted]
    for producer, found in groupby(singles, lambda part: part.segment.producer):
        within = covered.get(producer, Ranges())
        longest: Part | None = None
        for part in sorted(found, key=lambda part: (_first(part), -_last(part))):
            if not any(within.missing(*span) for span in part.spans):
                yield part.path
            elif longest is not None and _last(part) <= _last(longest):
                if (_first(part), _last(part)) in _merged(longest):
                    yield part.path
            else:
                longest = part


def _merged(part: Part) -> Collection[tuple[int, int]]:
    """Return the ranges of the files that one was merged of."""
    if part.segment.ext != "parquet":
        return ()
    try:
        return read_coverage(part.path).merged
    except (NoCoverage, OSError):  # it was written as it is; or it is gone, and so is what it was
        return ()


def _first(part: Part) -> int:
    return part.spans[0][0] if part.spans else 0


def _last(part: Part) -> int:
    return part.spans[-1][1] if part.spans else -1


def _count(taken: Taken) -> int:
    return sum(last - first + 1 for _, spans in taken for first, last in spans)


def _add(covered: dict[str, Ranges], taken: Taken) -> bool:
    """Add to what is covered; return whether there was anything new."""
    new = False
    for producer, spans in taken:
        ranges = covered.setdefault(producer, Ranges())
        for first, last in spans:
            new = new or bool(ranges.missing(first, last))
            ranges.add(first, last)
    return new
