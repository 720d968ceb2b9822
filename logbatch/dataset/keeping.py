"""Take out of files all but the records that are worth keeping longer.

The files of one date are rewritten into one compacted file (`logbatch.storage.coverage`), which
accounts for all that was in them: each record is in it, or was taken out on purpose.  It takes
their place at one instant, as that of a compaction does (`logbatch.dataset.compaction.staging`).
Where that cannot be, it is on the disk before they go, and a reader that meets both takes each
record from one of them; if it is killed then, the next run joins what was left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from logbatch.dataset.filter.language import Filter
from logbatch.dataset.pieces import pieces, read
from logbatch.dataset.snapshot import Part, Snapshot, snapshot_of
from logbatch.dataset.source import Source
from logbatch.dataset.verify import LOSSES
from logbatch.disk import replacing, sync_directory
from logbatch.identity import Ranges
from logbatch.storage.coverage import KEY, Coverage, compacted_name, encode_coverage
from logbatch.storage.removal import ranges_of
from logbatch.storage.retention import File, disk_usage

pc: Any = pyarrow.compute  # its stubs do not know which arrays and scalars go together

KEPT = b"logbatch-kept"
"""The key of a footer's metadata under which stands the filter that all its records match."""

_SMALL = 16 << 20  # bytes of a kept file up to which it is joined with others of its date
_GATHERED = 64 << 20  # bytes of rows that are sorted and written together


class Spoiled(Exception):
    """A file has damaged lines; what is in them cannot be judged, so it stays as it is."""

    def __init__(self, path: Path, lines: int) -> None:
        self.path = path
        super().__init__(f"{path}: {lines} damaged lines; it stays as it is")


class Kept(NamedTuple):
    """What became of the files of one date.

    Attributes:
        made: The new file; None where nothing in them is worth keeping, or nothing was written.
        rows: How many records are kept.
        retired: How many are not.
        bytes: What the new file takes, or would take.
    """

    made: Path | None
    rows: int
    retired: int
    bytes: int


def choose_inputs(old: Sequence[File], where: str) -> list[File]:
    """Choose which files of one date are rewritten: those that are old and not yet rewritten.

    With them go small ones that were rewritten before, and those that overlap.

    Args:
        old: Those of one date that are too old.
        where: The text of the filter.
    """
    done = {file.path: file for file in old if read_kept(file) == where}
    fresh = [file for file in old if file.path not in done and not file.segment.growing]
    if not fresh:
        return []
    held = _join(map(ranges_of, fresh))
    joined = [
        file for file in done.values() if file.bytes <= _SMALL or _overlap(held, ranges_of(file))
    ]
    return [*fresh, *joined]


def find_superseded(files: Sequence[File], where: str) -> list[File]:
    """Find files that were rewritten into another of their date, which was killed before they went.

    Args:
        files: The files of a directory.
        where: The text of the filter: all that match it are in the other file as well.
    """
    kept = [(file, ranges_of(file)) for file in files if read_kept(file) == where]
    kept.sort(key=lambda each: (sum(map(Ranges.count, each[1].values())), each[0].path))
    return [
        file
        for at, (file, ranges) in enumerate(kept)
        if any(
            other.path.parent == file.path.parent and _is_within(ranges, held)
            for other, held in kept[at + 1 :]
        )
    ]


def _is_within(ranges: dict[str, Ranges], held: dict[str, Ranges]) -> bool:
    return all(
        not held.get(producer, Ranges()).missing(*span)
        for producer, spans in ranges.items()
        for span in spans
    )


def leave_out_covered(inputs: Sequence[File], others: Sequence[File]) -> list[File]:
    """Leave out files whose records all are in one that stays: a merge was made of them.

    Whoever cleans up after it removes them.
    """
    held = _join(map(ranges_of, others)) if inputs else {}
    return [file for file in inputs if not _is_within(ranges_of(file), held)]


def read_kept(file: File) -> str | None:
    """Return the filter that all records of a file match; None where it does not say."""
    if not file.segment.compacted:
        return None
    try:
        metadata: Any = pq.read_metadata(file.path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    found = metadata.get(KEPT)
    return None if found is None else found.decode(errors="replace")


def _join(all_ranges: Any) -> dict[str, Ranges]:
    found: dict[str, Ranges] = {}
    for each in all_ranges:
        for producer, ranges in each.items():
            known = found.setdefault(producer, Ranges())
            for span in ranges:
                known.add(*span)
    return found


def _overlap(one: dict[str, Ranges], other: dict[str, Ranges]) -> bool:
    return any(
        one[producer].missing(first, last) != [(first, last)]
        for producer, ranges in other.items()
        if producer in one
        for first, last in ranges
    )


# ------------------------------------------------------------------ counting and writing


def count_kept(source: Source, files: Sequence[File], where: Filter) -> Kept:
    """Say what would become of the files of one date.

    Raises:
        Vanished, Damaged: A file cannot be read.
        Spoiled: A file has damaged lines.
    """
    snapshot = snapshot_of(file.segment for file in files)
    rows = sum(len(table) for table in _matching(source, snapshot, where))
    total = sum(map(Ranges.count, snapshot.covered.values()))
    size = sum(file.bytes for file in files)
    return Kept(None, rows, total - rows, size * rows // max(total, 1))


def rewrite(source: Source, files: Sequence[File], where: Filter, text: str, folder: Path) -> Kept:
    """Write what matches of the files of one date into a new one; they are left as they are.

    Args:
        source: Told about damage.
        files: The files, all of one folder.
        where: What to keep.
        text: The same, as it was written.
        folder: Where the new file is made; nobody else writes there.

    Raises:
        Vanished, Damaged: A file cannot be read.
        Spoiled: A file has damaged lines.
        OSError: The new file cannot be written.
    """
    snapshot = snapshot_of(file.segment for file in files)
    total = sum(map(Ranges.count, snapshot.covered.values()))
    groups = _gather(_matching(source, snapshot, where))
    first = next(groups, None)
    if first is None:
        return Kept(None, 0, total, 0)
    newest = max(file.identity[3] for file in files)
    path = folder / compacted_name()
    rows = 0
    with replacing(path) as descriptor:
        with (
            open(descriptor, "wb", closefd=False) as file,
            pq.ParquetWriter(file, first.schema, compression="zstd", store_schema=False) as writer,
        ):
            for group in chain([first], groups):
                writer.write_table(group)
                rows += len(group)
            coverage = encode_coverage(Coverage(snapshot.covered, total - rows))
            metadata: Any = {KEY: coverage, KEPT: text.encode()}
            writer.add_key_value_metadata(metadata)
        os.utime(descriptor, ns=(newest, newest))  # readers guess from it how new records can be
    sync_directory(folder)
    return Kept(path, rows, total - rows, disk_usage(os.lstat(path)))


def _gather(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Join tables to larger ones, each in the order of time."""
    gathered: list[pa.Table] = []
    for table in tables:
        if len(table):
            gathered.append(table)
        if sum(each.nbytes for each in gathered) > _GATHERED:
            yield _sorted(gathered)
            gathered = []
    if gathered:
        yield _sorted(gathered)


def _sorted(tables: Sequence[pa.Table]) -> pa.Table:
    keys: Any = [(name, "ascending") for name in ("timestamp", "producer", "sequence")]
    return pa.concat_tables(tables).sort_by(keys)


def _matching(source: Source, snapshot: Snapshot, where: Filter) -> Iterator[pa.Table]:
    schema = source.schema(snapshot.parts)
    for part in snapshot.parts:
        for piece in _divide(source, part):
            table, damaged = read(part, piece, schema)
            if damaged:
                raise Spoiled(part.path, damaged)
            yield _chosen(table, where)
        source.looked_at.add(part.path)


def _chosen(table: pa.Table, where: Filter) -> pa.Table:
    """Return what is worth keeping; a note of a loss is, as it accounts for what is missing."""
    return table.filter(pc.or_(where.mask(table), Filter.parse(LOSSES).mask(table)))


def _divide(source: Source, part: Part) -> Sequence[Any]:
    if part.segment.ext == "parquet":
        return source.footer(part).pieces
    return pieces(part) if part.segment.ext == "jsonl" and part.whole else (None,)
