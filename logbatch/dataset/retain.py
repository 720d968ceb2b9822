"""Retention: what is too old goes, what matters longer stays longer, and the directory stays small.

Whole files go, oldest first; see `logbatch.storage.retention`.  With a filter of what to keep, the
files that are too old are rewritten with only that; see `logbatch.dataset.keeping`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from logbatch.batching.report_file import remove_old
from logbatch.dataset.compaction.staging import PREFIX, Change, Place, change_folder, clean
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.keeping import (
    Kept,
    Spoiled,
    choose_inputs,
    count_kept,
    find_superseded,
    leave_out_covered,
    read_kept,
    rewrite,
)
from logbatch.dataset.listing import Damaged, Vanished, find_folders
from logbatch.dataset.snapshot import make_part
from logbatch.dataset.source import Source
from logbatch.epoch import to_datetime
from logbatch.identity import Ranges, new_producer
from logbatch.storage.bounds import finish
from logbatch.storage.coverage import NoCoverage, read_coverage
from logbatch.storage.maintenance import JOURNAL, maintaining
from logbatch.storage.policy import Policy
from logbatch.storage.removal import note_looks, ranges_of, remove, remove_empty_folders
from logbatch.storage.retention import File, Known, Plan, make_plan
from logbatch.storage.segments import list_names

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Retained:
    """What retention did, or would do.

    Attributes:
        directory: Where.
        dry_run: Whether it only says so.
        removed: Files that went as a whole.
        removed_records: How many records were in them.
        rewritten: Files that were rewritten.
        rewritten_into: How many files were made of them.
        kept_records: How many records of the rewritten files stay.
        retired_records: How many of them went.
        bytes_before: What all files took of the disk.
        bytes_after: What they take now; of a dry run with `keep`, about so much.
        files_after: How many files there are now.
        until: Up to which time age was counted.
        held_back: Files that are too old by the clock, but by nothing else; they stay.
        problems: What was left alone, and why.
    """

    directory: str
    dry_run: bool
    removed: int
    removed_records: int
    rewritten: int
    rewritten_into: int
    kept_records: int
    retired_records: int
    bytes_before: int
    bytes_after: int
    files_after: int
    until: datetime
    held_back: int
    problems: tuple[str, ...]


class Wanted(NamedTuple):
    """What a run is asked for.

    Attributes:
        policy: What may stay.
        keep: What of older files stays longer; None for nothing.
        dry_run: Only say what would be done.
        trust_clock: Count age up to what the clock says, whatever the records say.
    """

    policy: Policy
    keep: str | None = None
    dry_run: bool = False
    trust_clock: bool = False

    def check(self) -> Filter | None:
        """Return what to keep.

        Raises:
            ValueError: The wishes do not go together.
            FilterError: The filter has a mistake.
        """
        policy = self.policy
        if policy.max_age is None and policy.max_bytes is None:
            raise ValueError("max_age, max_bytes or both must say what may stay")
        if policy.keep_age is not None and self.keep is None:
            raise ValueError("keep_age needs keep: which records stay longer")
        if self.keep is None:
            return None
        if policy.max_age is None:
            raise ValueError("keep needs max_age: from when on only these records stay")
        if policy.keep_age is not None and policy.keep_age <= policy.max_age:
            raise ValueError("keep_age must be longer than max_age")
        where = Filter.parse(self.keep)
        if not where:
            raise ValueError("keep must choose records; it is empty")
        if where.period != (None, None):
            raise ValueError("keep must not name times; keep_age says how long records stay")
        return where


def retain(
    source: Source, wanted: Wanted, now: float | None = None, tell: Tell = lambda text: None
) -> Retained:
    """Run retention on a directory; see `Dataset.retain`.

    Args:
        source: The directory.
        wanted: What to do.
        now: What the clock says, in seconds since 1970; None looks at it.
        tell: Told what is being done.

    Raises:
        DatasetError: The directory cannot be read, or another process compacts it.
        OSError: It cannot be written to.
        ValueError: The wishes do not go together.
    """
    where = wanted.check()
    find_folders(source.directory)
    moment = int((time.time() if now is None else now) * 1_000_000)
    run = _Run(source, wanted, where, moment, tell)
    lock = maintaining(source.directory, "logbatch retain")
    with nullcontext() if wanted.dry_run else lock:
        return run.run()


class _Run:
    """One run."""

    def __init__(
        self, source: Source, wanted: Wanted, where: Filter | None, now: int, tell: Tell
    ) -> None:
        self._source = source
        self._root = source.directory
        self._wanted = wanted
        self._where = where
        self._now = now
        self._tell = tell
        self._known: Known = {}
        self._problems: list[str] = []
        self._removed: list[File] = []
        self._records = 0
        self._rewritten: list[File] = []
        self._kept: list[Kept] = []
        self._tried: set[Path] = set()  # files that were looked through to make room

    def run(self) -> Retained:
        policy = self._wanted.policy
        self._tell("looking at the files")
        plan = self._plan(policy)
        if self._wanted.keep is not None and not self._wanted.dry_run:
            plan = self._finish_earlier(plan, self._wanted.keep)
        self._problems += plan.survey.problems
        gone, aged = self._split(plan)
        if not self._wanted.dry_run:
            clean(self._root / JOURNAL)
            remove_old(self._root / JOURNAL)
            note_looks(self._root, plan)
            remove_empty_folders(self._root)
        self._remove(plan, gone)
        self._shrink_all(aged, plan)
        if policy.max_bytes is not None:
            self._fit(policy.max_bytes, plan)
        return self._report(plan)

    def _plan(self, policy: Policy) -> Plan:
        trust = self._wanted.trust_clock
        return finish(make_plan(self._root, policy, self._now, self._known, trust_clock=trust))

    def _finish_earlier(self, plan: Plan, keep: str) -> Plan:
        """Remove what a run that was killed has rewritten already."""
        files = find_superseded(plan.survey.files, keep)
        if not files:
            return plan
        self._problems += finish(remove(self._root, plan, files, noted=True)).problems
        return self._plan(self._wanted.policy)

    def _split(self, plan: Plan) -> tuple[list[File], list[File]]:
        """Divide what is too old into what goes, and what is looked through first."""
        if self._where is None:
            return plan.old, []
        keep_age = self._wanted.policy.keep_age
        last = None if keep_age is None else plan.until - keep_age
        gone = [file for file in plan.old if last is not None and file.newest < last]
        paths = {file.path for file in gone}
        return gone, [file for file in plan.old if file.path not in paths]

    def _fit(self, limit: int, plan: Plan) -> None:
        """Make room: of the oldest files what is worth keeping stays, as long as there are any."""
        while (over := self._usage(plan) - limit) > 0:
            files = self._oldest(self._shrinkable(plan), over)
            if not files:
                break
            self._tried.update(file.path for file in files)
            folders = {file.path.parent for file in files}
            joined = [file for file in plan.survey.files if file.path.parent in folders]
            self._shrink_all([*files, *filter(self._is_shrunk, joined)], plan)
            plan = self._look_again(plan)
        plan = self._look_again(plan)
        rest = [file for file in plan.survey.files if not file.segment.growing]
        self._remove(plan, self._oldest(self._remaining(rest), self._usage(plan) - limit))

    def _look_again(self, plan: Plan) -> Plan:
        return plan if self._wanted.dry_run else self._plan(Policy())

    def _usage(self, plan: Plan) -> int:
        """Return what all files take of the disk, or would after what was planned so far."""
        total = _total(plan.survey.files) + plan.survey.others
        if not self._wanted.dry_run:
            return total
        made = sum(kept.bytes for kept in self._kept)
        return total - _total([*self._removed, *self._rewritten]) + made

    def _shrinkable(self, plan: Plan) -> list[File]:
        """Return the files that were not looked through yet; none where nothing is kept longer."""
        if self._where is None:
            return []
        files = [file for file in plan.survey.files if file.path not in self._tried]
        return self._remaining(
            [file for file in files if not (file.segment.growing or self._is_shrunk(file))]
        )

    def _is_shrunk(self, file: File) -> bool:
        return read_kept(file) == self._wanted.keep

    def _remaining(self, files: Iterable[File]) -> list[File]:
        """Leave out what is gone by now."""
        gone = {file.path for file in (*self._removed, *self._rewritten)}
        return [file for file in files if file.path not in gone]

    @staticmethod
    def _oldest(files: Iterable[File], size: int) -> list[File]:
        """Return the oldest files, until they are so many bytes."""
        chosen = []
        for file in sorted(files, key=lambda each: each.newest):
            if size <= 0:
                break
            chosen.append(file)
            size -= file.bytes
        return chosen

    # ------------------------------------------------------------------ acting

    def _remove(self, plan: Plan, files: Sequence[File]) -> None:
        if not files:
            return
        self._tell(f"removing {len(files):,} files")
        records = {file.path: count_records(file) for file in files}
        if self._wanted.dry_run:
            done = list(files)
        else:
            found = finish(remove(self._root, plan, files))
            self._problems += found.problems
            done = found.files
        self._removed += done
        self._records += sum(records[file.path] for file in done)

    def _shrink_all(self, old: Sequence[File], plan: Plan) -> None:
        """Rewrite files, date by date."""
        ordered = sorted(old, key=lambda file: file.path)
        for folder, files in groupby(ordered, key=lambda file: file.path.parent):
            self._shrink(folder, list(files), plan)

    def _shrink(self, folder: Path, old: list[File], plan: Plan) -> None:
        """Rewrite the files of one date with what is to be kept."""
        assert self._where is not None and self._wanted.keep is not None
        files = choose_inputs(old, self._wanted.keep)
        paths = {file.path for file in (*files, *self._removed, *self._rewritten)}
        beside = (file for file in plan.survey.files if file.path.parent == folder)
        stay = [file for file in beside if file.path not in paths and not file.segment.growing]
        files = leave_out_covered(files, stay)
        while files:
            self._tell(f"looking through {folder.name}, {len(files):,} files")
            try:
                self._replace(files, plan)
                return
            except (Spoiled, Damaged) as error:
                self._problems.append(str(error))
                files = [file for file in files if file.path != error.path]
            except Vanished:
                return  # a process merges its files at this moment; the next run comes by
            except OSError as error:
                self._problems.append(f"{folder}: {error.strerror or error}; its files stay")
                return

    def _replace(self, files: list[File], plan: Plan) -> None:
        assert self._where is not None and self._wanted.keep is not None
        if self._wanted.dry_run:
            kept = count_kept(self._source, files, self._where)
        else:
            kept = self._exchange(files, self._where, self._wanted.keep)
        if not kept.rows:
            self._remove(plan, files)
            return
        self._rewritten += files
        self._kept.append(kept)

    def _exchange(self, files: list[File], where: Filter, keep: str) -> Kept:
        """Put a file with what is kept in the place of those of one date, at one instant."""
        folder = files[0].path.parent
        names = list_names(folder)
        with Place(self._root / JOURNAL / f"{PREFIX}{new_producer()}", folder) as place:
            kept = rewrite(self._source, files, where, keep, place.staged)
            if kept.made is not None:
                consumed = {file.path.name: make_part(file.segment).taken for file in files}
                stay = names - consumed.keys()
                covered = read_coverage(kept.made).ranges
                change_folder(
                    folder, place.staged, Change([kept.made], consumed, stay, (), covered)
                )
        return kept

    # ------------------------------------------------------------------ telling

    def _report(self, plan: Plan) -> Retained:
        before = _total(plan.survey.files) + plan.survey.others
        gone = _total([*self._removed, *self._rewritten])
        made = [kept for kept in self._kept if kept.rows]
        max_age = self._wanted.policy.max_age
        held = 0
        if max_age is not None and plan.until < self._now:
            old = {file.path for file in plan.old}
            limit = self._now - max_age
            held = sum(file.newest < limit and file.path not in old for file in plan.survey.files)
        return Retained(
            directory=str(self._root),
            dry_run=self._wanted.dry_run,
            removed=len(self._removed),
            removed_records=self._records,
            rewritten=len(self._rewritten),
            rewritten_into=len(made),
            kept_records=sum(kept.rows for kept in made),
            retired_records=sum(kept.retired for kept in made),
            bytes_before=before,
            bytes_after=before - gone + sum(kept.bytes for kept in made),
            files_after=len(plan.survey.files)
            - len(self._removed)
            - len(self._rewritten)
            + len(made),
            until=to_datetime(plan.until),
            held_back=held,
            problems=tuple(dict.fromkeys([*self._problems, *self._source.problems])),
        )


def _total(files: Iterable[File]) -> int:
    return sum(file.bytes for file in files)


def count_records(file: File) -> int:
    """Count the records of a file; of a compacted one those that are still in it."""
    if file.segment.compacted:
        try:
            found = read_coverage(file.path)
        except (NoCoverage, OSError):
            return 0
        return sum(map(Ranges.count, found.ranges.values())) - found.retired
    return sum(map(Ranges.count, ranges_of(file).values()))
