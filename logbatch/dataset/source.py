"""What reading a directory again and again needs to remember: what is bad, and what never changes.

A file that is gone when it is opened (rotated, compressed) makes a new snapshot
necessary.  A file that cannot be read, or that is not ours, counts as not there, so that the rest
can be read; it is told once, as a warning and in `problems`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from logbatch.dataset.footers import FIXED, Footer, footer
from logbatch.dataset.listing import (
    JOURNAL,
    NOWHERE,
    Damaged,
    Grown,
    Vanished,
    leads_nowhere,
)
from logbatch.dataset.snapshot import Part, ReadPending, Snapshot, take_snapshot
from logbatch.dataset.stopping import check
from logbatch.errors import DatasetError, DatasetWarning
from logbatch.journal import read_pending

_T = TypeVar("_T")

_SPARE = 1000  # footers of files that went away that are kept at least
TRIES = 20  # snapshots in a row that are out of date before a reader gives up


class Source:
    """A directory to read from.

    Args:
        directory: Where it is.
        read_pending: Reads what the journals of a directory hold.

    Attributes:
        problems: What was left out, and why.
        growing: What was in growing files when they were looked at.
        looked_at: The files that were read so far.
        files: How many there were in the newest snapshot.
        unlike: Whether files were met whose columns are others than those looked at promised.
    """

    def __init__(self, directory: Path, read_pending: ReadPending = read_pending) -> None:
        self.directory = directory
        self.read_pending = read_pending
        self.problems: list[str] = []
        self.growing: dict[Path, Grown] = {}
        self.looked_at: set[Path] = set()
        self.files = 0
        self.unlike = False
        self._excluded: set[Path] = set()
        self._holes: set[tuple[str, int, int]] = set()
        self._footers: dict[Path, Footer] = {}

    def snapshot(self) -> Snapshot:
        """Look at the directory.

        Where a producer's records have a hole, files were perhaps published while the names were
        read, of which only a later one was met; so a new hole is believed the second time.

        Raises:
            DatasetError: The directory cannot be read, or changes faster than it can be.
        """
        self._look_for_journals()
        left = TRIES
        while True:
            try:
                found = take_snapshot(
                    self.directory, self.read_pending, self._excluded, self.growing
                )
            except (Vanished, Damaged) as error:
                left = self.note(error, left)
                continue
            holes = found.holes()
            if holes <= self._holes or left == 1:
                break
            self._holes = holes
            left -= 1
        if len(self._footers) > 2 * len(found.parts) + _SPARE:
            self._footers.clear()  # most are of files that went away
        if len(self.looked_at) > len(found.parts):
            self.looked_at.intersection_update(part.path for part in found.parts)
        self.files = len(found.parts)
        for path in found.foreign:
            self._exclude(path, "its name is not one that logbatch gives; it was left out")
        return found

    def _look_for_journals(self) -> None:
        """Tell where there are journals that may not be read, as by another user."""
        path = self.directory / JOURNAL
        try:
            os.listdir(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._tell_once(f"{path}: {error.strerror}; what is not published yet was left out")

    def retry(
        self, read: Callable[[Snapshot], _T], take: Callable[[], Snapshot] | None = None
    ) -> _T:
        """Read a snapshot, and a new one as often as that turns out to be out of date.

        Args:
            read: Reads it.
            take: Takes one, where several threads have to do that in turn.

        Raises:
            DatasetError: The directory cannot be read, or changes faster than it can be.
        """
        take = take or self.snapshot
        left = TRIES
        while True:
            try:
                return read(take())
            except (Vanished, Damaged) as error:
                left = self.note(error, left)

    def note(self, error: Vanished | Damaged, left: int) -> int:
        """Take note of why a snapshot could not be read; a new one may be.

        Args:
            error: Why.
            left: How many tries are left for files that go away.

        Returns:
            How many tries are left now.  A damaged file costs none: there are only so many.

        Raises:
            DatasetError: None is left.
        """
        try:
            self.leave_out(error)
        except Vanished:
            if left > 1:
                return left - 1
            changes = "changes faster than it can be read"
            raise DatasetError(f"{self.directory} {changes}") from error
        return left

    def leave_out(self, error: Vanished | Damaged) -> None:
        """Take note of a file that is damaged, or a link to nothing: it counts as not there.

        Raises:
            Vanished: It went away meanwhile.
        """
        if isinstance(error, Vanished):
            path = Path(str(error))
            if not leads_nowhere(path):
                raise error
            error = Damaged(path, NOWHERE)
        self._exclude(error.path, f"{error.reason}; it was left out")

    def _exclude(self, path: Path, reason: str) -> None:
        if path not in self._excluded:
            self._excluded.add(path)
            self._tell(f"{path}: {reason}")

    def tell_damaged_lines(self, path: Path, count: int) -> None:
        """Report that some lines of a file are damaged and were left out."""
        if count:
            self._tell_once(f"{path}: {count} damaged lines were left out")

    def _tell_once(self, problem: str) -> None:
        if problem not in self.problems:
            self._tell(problem)

    def _tell(self, problem: str) -> None:
        self.problems.append(problem)
        warnings.warn(problem, DatasetWarning, stacklevel=2)

    def footer(self, part: Part) -> Footer:
        """Return what the end of a Parquet file tells; it is read once.

        Raises:
            Vanished, Damaged: It cannot be read.
        """
        check()
        found = self._footers.get(part.path)
        if found is None:
            found = footer(part.path)
            self._footers[part.path] = found
        return found

    def knows(self, part: Part) -> bool:
        """Return whether `footer` has been asked of a file."""
        return part.path in self._footers

    def promoted(self, parts: Iterable[Part]) -> list[dict[str, pa.DataType]]:
        """Return the columns beyond the fixed ones, in each of the ways that files have them.

        A process promotes the same columns all the time, and what it left may be published by one
        that promotes others; so of each producer the first and the last file are looked at, and
        those that were before.

        Raises:
            Vanished, Damaged: A file cannot be read.
        """
        chosen: dict[str, Part] = {}  # parts come in the order of sequences
        for part in parts:
            if part.segment.ext == "parquet":
                key = part.segment.producer or part.path.name  # each compacted file has its own
                known = self.knows(part)
                chosen.setdefault(f"first {key}", part)
                chosen[part.path.name if known else f"last {key}"] = part
        found: list[dict[str, pa.DataType]] = []
        for part in {part.path: part for part in chosen.values()}.values():
            columns = {field.name: field.type for field in self.footer(part).promoted}
            if columns not in found:
                found.append(columns)
        return found

    def schema(self, parts: Iterable[Part]) -> pa.Schema:
        """Return the fixed columns and the promoted ones; see `columns`."""
        return self.columns(parts)[0]

    def columns(self, parts: Iterable[Part]) -> tuple[pa.Schema, bool]:
        """Return the fixed columns and the promoted ones, and whether all files have these alike.

        Where files give one name different types it is float64 if these are numbers, or a text.
        Names that differ in case only are one, as in SQL.

        Raises:
            Vanished, Damaged: A file cannot be read.
        """
        promoted = self.promoted(parts)
        names: dict[str, str] = {}
        types: dict[str, set[pa.DataType]] = {}
        for columns in promoted:
            for name, kind in columns.items():
                types.setdefault(names.setdefault(name.lower(), name), set()).add(kind)
        fields = [pa.field(name, _common_type(kinds)) for name, kinds in types.items()]
        return pa.schema([*FIXED, *fields]), len(promoted) <= 1 and not self.unlike


def _common_type(types: set[pa.DataType]) -> pa.DataType:
    if len(types) == 1:
        return next(iter(types))
    return pa.float64() if types <= {pa.int64(), pa.float64()} else pa.string()
