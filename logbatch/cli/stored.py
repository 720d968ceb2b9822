"""The files of a log: how many, how large, how old, and what upkeep would make of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from logbatch.dataset.compact import Options, compact
from logbatch.dataset.retain import Wanted, count_records, retain
from logbatch.dataset.source import Source
from logbatch.errors import DatasetError
from logbatch.storage.bounds import finish
from logbatch.storage.policy import Policy
from logbatch.storage.retention import File, survey

EXAMPLE = "14d"
"""The age for which is said what retention would do."""

_CLASSES = (
    ("up to 10 kB", 10_000),
    ("up to 1 MB", 1_000_000),
    ("up to 100 MB", 100_000_000),
    ("larger", 1 << 63),
)


class Size(NamedTuple):
    """The files of one kind, or of one size.

    Attributes:
        name: `parquet`, `jsonl`, `jsonl.zst`, `jsonl.gz`, `compacted` or `jsonl (growing)`; or
            how large they are.
        files: How many there are.
        bytes: How long they are, together.
        records: How many records they hold; None where only reading them would tell.
        oldest: The time of the newest record of the oldest file, in microseconds since 1970.
    """

    name: str
    files: int
    bytes: int
    records: int | None
    oldest: int


class Upkeep(NamedTuple):
    """What upkeep would do.

    Attributes:
        files: How many files compaction would take.
        merged: About how many it would make of them.
        removed: How many files retention would remove that are older than `EXAMPLE`.
        records: How many records are in those.
    """

    files: int
    merged: int
    removed: int
    records: int


def list_files(directory: Path) -> list[File]:
    """List the published files of a directory, with their sizes and times.

    Raises:
        OSError: The directory cannot be read.
    """
    return finish(survey(directory, {})).files


def measure(directory: Path) -> list[Size]:
    """Measure the published files of a directory, kind by kind."""
    return by_kind(list_files(directory))


def by_kind(files: Sequence[File]) -> list[Size]:
    """Add files up, kind by kind."""
    found: dict[str, list[File]] = {}
    for file in files:
        found.setdefault(_kind(file), []).append(file)
    return [_add_up(name, found[name]) for name in sorted(found)]


def by_size(files: Sequence[File]) -> list[Size]:
    """Add files up by how large they are."""
    found: dict[str, list[File]] = {name: [] for name, _ in _CLASSES}
    for file in files:
        name = next(name for name, most in _CLASSES if file.length <= most)
        found[name].append(file)
    return [_add_up(name, inside) for name, inside in found.items() if inside]


def _kind(file: File) -> str:
    if file.segment.compacted:
        return "compacted"
    return "jsonl (growing)" if file.segment.growing else file.segment.ext


def _add_up(name: str, files: Sequence[File]) -> Size:
    counted = [None if file.segment.growing else count_records(file) for file in files]
    known = [count for count in counted if count is not None]
    return Size(
        name,
        len(files),
        sum(file.length for file in files),
        sum(known) if len(known) == len(files) else None,
        min(file.newest for file in files),
    )


def plan_upkeep(directory: Path) -> Upkeep | None:
    """Find out what compaction and retention would do; None where that cannot be told.

    Args:
        directory: The dataset's, absolute.
    """
    try:
        compacted = compact(directory, Options(dry_run=True))
        retained = retain(Source(directory), Wanted(Policy.build(EXAMPLE, None), dry_run=True))
    except (DatasetError, OSError):
        return None
    changed = [each for each in compacted.outcomes if each.changed]
    return Upkeep(
        sum(each.before.files for each in changed),
        sum(each.after.files for each in changed),
        retained.removed,
        retained.removed_records,
    )
