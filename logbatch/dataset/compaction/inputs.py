"""What is in a day's folder, and what of it is to be written anew.

Each record is taken from one file, as readers take it (`logbatch.dataset.snapshot`).  A file that
is torn or contradicts itself takes part in nothing; it is told, and never removed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from logbatch.dataset.compaction.task import Count
from logbatch.dataset.footers import FIXED, reading
from logbatch.dataset.keeping import KEPT
from logbatch.dataset.listing import (
    NOWHERE,
    Damaged,
    Vanished,
    find_runs,
    find_segment,
    is_foreign,
    leads_nowhere,
)
from logbatch.dataset.pieces import blocks
from logbatch.dataset.runs import read_runs
from logbatch.dataset.snapshot import Part, Taken, choose, make_part
from logbatch.identity import Ranges
from logbatch.storage.arrow import PROMOTED_TYPES
from logbatch.storage.arrow import schema as make_schema
from logbatch.storage.columns import COLUMNS
from logbatch.storage.coverage import KEY, NoCoverage, decode_coverage
from logbatch.storage.segments import Segment, list_files, segments_of

_ENOUGH = 3  # times as many files as the target size asks for are few enough: it is estimated
_SETTLED = 2  # a file of at least the target size divided by this stays, whatever comes beside it

_KINDS = {make_schema({"x": kind}).field("x").type: kind for kind in PROMOTED_TYPES}


def count_names(folder: Path) -> Count:
    """Count the files of a folder, as far as listing it tells."""
    found = Count()
    for segment in segments_of(folder, list_files(folder)):
        with contextlib.suppress(OSError):
            rows = 0 if segment.last is None else segment.last - segment.first + 1
            found += Count(1, os.stat(segment.path).st_size, rows)
    return found


class Unfit(Exception):
    """A file cannot take part in a compaction.

    Args:
        path: The file.
        reason: What is wrong with it.
        torn: Whether nobody can read it, so that it is put aside under another name.
    """

    def __init__(self, path: Path, reason: str, *, torn: bool) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = " ".join(reason.split())
        self.torn = torn


class Wanted(NamedTuple):
    """How the compacted files are to be.

    Attributes:
        cluster_by: What records are ordered by, before their time.
        promote: The rule for typed columns.
        target_size: About how many bytes a file has.
        jsonl: Whether files of JSON Lines take part.
    """

    cluster_by: tuple[str, ...]
    promote: str
    target_size: int
    jsonl: bool


class Input(NamedTuple):
    """A file that takes part.

    Attributes:
        part: The file, and which of its records are taken.
        held: All records that it holds.
        size: Its bytes.
        modified: When it was written, in nanoseconds since 1970.
        columns: The typed columns it has, and their types.
        retired: How many of its records were taken out of it on purpose.
        settled: Whether it is a compacted file as it is wanted.
    """

    part: Part
    held: Taken
    size: int
    modified: int
    columns: Mapping[str, str] = {}
    retired: int = 0
    settled: bool = False

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.part.path

    @property
    def rows(self) -> int:
        """How many records are taken of it."""
        return count(self.part)


class Found(NamedTuple):
    """A folder.

    Attributes:
        inputs: The files that are written anew; of some of them, perhaps, nothing is taken.
        kept: Compacted files that stay as they are.
        unfit: Files that take no part, and why.
        foreign: Files that are not ours.
        lines: How many files of JSON Lines there are that were not asked for.
    """

    inputs: list[Input]
    kept: list[Input]
    unfit: Mapping[Path, Unfit]
    foreign: list[Path]
    lines: int

    @property
    def covered(self) -> dict[str, Ranges]:
        """Which records the files hold, those that are written anew and those that stay."""
        return union([*self.inputs, *self.kept])

    def columns(self) -> dict[str, str]:
        """Return the typed columns that there are.

        Where files give one name different types it is float64 if these are numbers, or a text.
        Names that differ in case only are one, as in SQL.
        """
        names: dict[str, str] = {}
        found: dict[str, str] = {}
        for each in (*self.inputs, *self.kept):
            for spelt, kind in each.columns.items():
                name = names.setdefault(spelt.lower(), spelt)
                if found.setdefault(name, kind) != kind:
                    numbers = {found[name], kind} <= {"int64", "float64"}
                    found[name] = "float64" if numbers else "string"
        return found


def count(part: Part) -> int:
    """Count the records that are taken of a file."""
    return sum(last - first + 1 for _, spans in part.taken for first, last in spans)


def union(inputs: Iterable[Input]) -> dict[str, Ranges]:
    """Return which records are taken of all of these files."""
    found: dict[str, Ranges] = {}
    for each in inputs:
        for producer, spans in each.part.taken:
            for span in spans:
                found.setdefault(producer, Ranges()).add(*span)
    return found


def find_inputs(folder: Path, wanted: Wanted, unfit: Mapping[Path, Unfit]) -> Found:
    """Look at a folder.

    Args:
        folder: The folder of a day.
        wanted: How its files are to be.
        unfit: Files of which it is known that they cannot take part.

    Raises:
        Vanished: A file went away meanwhile.
        OSError: A file may not be read, or the disk has a fault.
    """
    known = dict(unfit)
    foreign, candidates, lines = [], [], 0
    looker = _Looker(wanted)
    for path in sorted(map(folder.joinpath, list_files(folder))):
        segment = find_segment(path)
        if segment is None:
            foreign += [path] if is_foreign(path) else []
        elif segment.ext != "parquet" and not (wanted.jsonl or segment.growing):
            lines += 1
        elif not segment.growing and path not in known:
            try:
                if (found := looker.look(segment)) is not None:
                    candidates.append(found)
            except Unfit as error:
                known[path] = error
    inputs = _choose(candidates)
    kept, rest = _settle(inputs, wanted)
    return Found(rest, kept, known, foreign, lines)


def _choose(candidates: list[Input]) -> list[Input]:
    """Take each record from one of the files."""
    chosen = {part.path: part for part in choose([each.part for each in candidates], {})}
    found = []
    for each in candidates:
        part = chosen.get(each.path)
        if part is None:
            part = each.part._replace(taken=(), whole=not each.part.taken)
        found.append(each if part.whole and each.part.whole else each._replace(part=part))
    return found


def _settle(inputs: list[Input], wanted: Wanted) -> tuple[list[Input], list[Input]]:
    """Split files into those that stay, because they are as they are wanted, and the others."""
    good = [each for each in inputs if each.settled and each.part.whole]
    if len({tuple(each.columns.items()) for each in good}) > 1:
        return [], inputs  # all files of a date have the same columns
    size = sum(each.size for each in good)
    if len(good) == len(inputs) and len(good) <= max(1, _ENOUGH * size / wanted.target_size):
        return inputs, []
    kept = [each for each in good if each.size * _SETTLED >= wanted.target_size]
    paths = {each.path for each in kept}
    return kept, [each for each in inputs if each.path not in paths]


class _Looker:
    """Looks whether files can take part."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._schemas: list[tuple[Any, dict[str, str]]] = []

    def look(self, segment: Segment) -> Input | None:
        """Look at one; None where it stays as it is, whatever is wanted.

        Raises:
            Unfit: It cannot.
            Vanished: It is gone.
            OSError: It may not be read.
        """
        if leads_nowhere(segment.path):
            raise Unfit(segment.path, NOWHERE, torn=False)
        try:
            status = os.stat(segment.path)
            if segment.ext == "parquet":
                return self._look_at_parquet(segment, status)
            part = _scan(segment)
            return Input(part, part.taken, status.st_size, status.st_mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            raise Vanished(str(segment.path)) from None
        except pa.ArrowException as error:
            raise Unfit(segment.path, str(error), torn=True) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise Unfit(segment.path, str(error), torn=True) from error

    def _look_at_parquet(self, segment: Segment, status: os.stat_result) -> Input | None:
        metadata = pq.read_metadata(segment.path)
        if KEPT in (metadata.metadata or {}):
            return None  # retention made it, and would make it anew
        columns = self._columns(segment.path, metadata)
        retired, settled = 0, False
        try:
            part = make_part(segment)
            if KEY in (metadata.metadata or {}):
                coverage = decode_coverage(metadata.metadata)
                retired = coverage.retired
                made = (coverage.cluster_by, coverage.promote)
                settled = segment.compacted and made == self._wanted[:2]
        except (Damaged, NoCoverage) as error:
            raise Unfit(segment.path, str(error), torn=False) from error
        said = count(part) - retired
        if metadata.num_rows != said:
            reason = f"it holds {metadata.num_rows:,} records, not the {said:,} that it says"
            raise Unfit(segment.path, reason, torn=False)
        return Input(
            part, part.taken, status.st_size, status.st_mtime_ns, columns, retired, settled
        )

    def _columns(self, path: Path, metadata: pq.FileMetaData) -> dict[str, str]:
        """Return the typed columns of a file; nearly all files have the same schema."""
        for schema, columns in self._schemas:
            if metadata.schema.equals(schema):
                return columns
        arrow = metadata.schema.to_arrow_schema()
        found = {}
        for field in arrow:
            if field.name in COLUMNS:
                continue
            if field.type not in _KINDS:
                reason = f"it has a column {field.name!r} of a type that logbatch does not write"
                raise Unfit(path, reason, torn=False)
            found[field.name] = _KINDS[field.type]
        names = set(arrow.names)
        if not all(f.name in names and arrow.field(f.name).type == f.type for f in FIXED):
            raise Unfit(path, "it was not written by logbatch", torn=False)
        self._schemas.append((metadata.schema, found))
        return found


def _scan(segment: Segment) -> Part:
    """Look which records a file of JSON Lines holds.

    Raises:
        Unfit: Lines of it are damaged.
        Vanished: It is gone.
    """
    found, lines = Ranges(), 0
    try:
        part = make_part(segment)
        for block in blocks(part):
            lines += block.count(b"\n")
            for run in find_runs(block, segment.producer):
                found.add(run.first, run.last)
    except Damaged as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            raise error.__cause__ from None  # the disk, or a lack of rights, and not what is in it
        raise Unfit(segment.path, error.reason, torn=True) from error
    if tuple(found) != part.spans or lines != found.count():
        reason = f"of its {lines:,} lines {found.count():,} are whole records"
        raise Unfit(segment.path, reason, torn=False)
    return part


def check_content(inputs: Iterable[Input]) -> Iterator[Unfit]:
    """Read files, and yield those that are torn or hold other records than they say."""
    for each in inputs:
        try:
            held = {
                name: Ranges(runs) for name, runs in read_runs(make_part(each.part.segment)).items()
            }
            if each.part.segment.ext == "parquet":
                _read_through(each.path)
        except Damaged as error:
            yield Unfit(each.path, error.reason, torn=True)
            continue
        said = {producer: Ranges(spans) for producer, spans in each.held}
        missing = sum(map(Ranges.count, said.values())) - sum(map(Ranges.count, held.values()))
        if missing != each.retired or not is_within(held.items(), said):
            yield Unfit(each.path, "it holds other records than it says", torn=False)


def _read_through(path: Path) -> None:
    with reading(path), pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group)


def is_within(
    held: Iterable[tuple[str, Iterable[tuple[int, int]]]], covered: Mapping[str, Ranges]
) -> bool:
    """Return whether all of some records are among others."""
    return not any(
        covered.get(producer, Ranges()).missing(*span) for producer, spans in held for span in spans
    )
