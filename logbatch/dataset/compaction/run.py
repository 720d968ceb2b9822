"""Compact the folder of one day: a plain function of a plain value, safe to repeat."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from logbatch.dataset.compaction.bundles import Bundles
from logbatch.dataset.compaction.inputs import (
    Found,
    Input,
    Unfit,
    Wanted,
    check_content,
    find_inputs,
    is_within,
    union,
)
from logbatch.dataset.compaction.promote import choose_columns
from logbatch.dataset.compaction.sorter import Sorter, attribute_of, order_by
from logbatch.dataset.compaction.staging import Change, Place, change_folder
from logbatch.dataset.compaction.task import CompactTask, Count, Outcome, Progress
from logbatch.dataset.compaction.writing import CompactedFile
from logbatch.dataset.listing import Damaged, Vanished
from logbatch.dataset.snapshot import Taken
from logbatch.errors import LogbatchError
from logbatch.identity import Ranges
from logbatch.storage.columns import COLUMNS
from logbatch.storage.coverage import Coverage, compacted_name
from logbatch.storage.segments import clean_folder, list_names

_TRIES = 5  # for a folder in which files go away
_LEAST_ROWS = 1_000  # of a file on average, however small files are to be
_RANGES = 50_000  # in the footers of a date's files, beyond which these are not divided
_EVERY = 0.2  # seconds between two looks whether to stop
_CONTRADICTION = "its files contradict themselves"
_NO_MEMORY = "it takes more memory than the limit that was set"
_FULL = "No space left on device"
_NO_SPACE = f"{_FULL}, which temporary files in .journal need"
_FOREIGN = "its name is not one that logbatch gives"
_STAYS = "it was left as it is"


class Stopped(Exception):
    """Somebody asked for the end of a compaction."""


def compact_folder(task: CompactTask) -> Outcome:
    """Compact the folder of a day.  Whatever fails, no record is lost, and it may be run again."""
    folder = Path(task.folder)
    if task.dry_run:
        return _Compaction(task, None).plan()
    try:
        with Place(Path(task.place), folder) as place:
            return _Compaction(task, place).run()
    except Stopped:
        return Outcome(folder.name, failure="it was stopped before it was done")
    except (OSError, LogbatchError) as error:
        return Outcome(folder.name, failure=_explain(error))


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


class _Compaction:
    """One run."""

    def __init__(self, task: CompactTask, place: Place | None) -> None:
        self._task = task
        self._folder = Path(task.folder)
        self._place = place
        rule = task.promote if not task.names else ",".join(("names", *sorted(task.names)))
        self._wanted = Wanted(task.cluster_by, rule, task.target_size, task.jsonl)
        self._unfit: dict[Path, Unfit] = {}
        self._stopped = threading.Event()
        self._seen: dict[str, Taken] = {}  # what was in files, by their names, in an earlier try
        self._odd: list[str] = []

    # -------------------------------------------------------------- what is to be done

    def plan(self) -> Outcome:
        """Return what would be done."""
        try:
            found = find_inputs(self._folder, self._wanted, {})
        except (OSError, Vanished) as error:
            return Outcome(self._folder.name, failure=_explain(error))
        size, rows = _sum(found.inputs)
        files = max(1, round(size / self._task.target_size)) if rows else 0
        changed = bool(found.inputs) or any(each.torn for each in found.unfit.values())
        return self._tell(found, Count(files, size, rows), changed)

    def run(self) -> Outcome:
        """Do it; where a file turns out to be unfit, or goes away, begin again without it."""
        assert self._place is not None
        clean_folder(self._folder)
        left = _TRIES
        while True:
            try:
                return self._run(self._place)
            except Unfit as error:
                self._unfit[error.path] = error
            except Damaged as error:
                self._unfit[error.path] = Unfit(error.path, error.reason, torn=True)
            except Vanished as error:
                left -= 1
                if not left:
                    raise LogbatchError(_gone(str(error))) from None
            for path in (*self._place.work.iterdir(), *self._place.staged.iterdir()):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _run(self, place: Place) -> Outcome:
        names = list_names(self._folder)
        found = find_inputs(self._folder, self._wanted, self._unfit)
        covered = found.covered
        for name, held in self._seen.items():
            if name not in names and not is_within(held, covered):
                raise LogbatchError(_gone(str(self._folder / name)))
        self._seen = consumed = {each.path.name: each.held for each in found.inputs}
        self._unfit.update(found.unfit)
        torn = {path.name for path, each in found.unfit.items() if each.torn}
        if not found.inputs and not torn:
            return self._tell(found, Count(), False)
        made, after = self._make(found, place)
        stay = names - consumed.keys() - torn
        change_folder(self._folder, place.staged, Change(made, consumed, stay, torn, covered))
        return self._tell(found, after, True)

    def _tell(self, found: Found, made: Count, changed: bool) -> Outcome:
        inputs = Count(len(found.inputs), *_sum(found.inputs))
        kept = Count(len(found.kept), *_sum(found.kept))
        unfit = sorted({**self._unfit, **found.unfit}.items())
        aside = "it would be put aside" if self._task.dry_run else "it was put aside"
        fates = {True: aside, False: _STAYS}
        problems = [f"{path}: {each.reason}; {fates[each.torn]}" for path, each in unfit]
        problems += [f"{path}: {_FOREIGN}; {_STAYS}" for path in found.foreign]
        return Outcome(
            self._folder.name,
            inputs + kept,
            made + kept,
            changed,
            (*problems, *self._odd),
            found.lines,
        )

    # -------------------------------------------------------------- the work

    def _make(self, found: Found, place: Place) -> tuple[list[Path], Count]:
        """Write the new files into the staged folder."""
        progress = Progress(place.path)
        with (
            Sorter(place.work / "spill", self._task.memory, self._task.threads) as sorter,
            self._watched(place, sorter),
        ):
            try:
                files = Bundles(sorter, place.work, progress.read).prepare(found.inputs)
                if not files:
                    return [], Count()
                sorter.use(files)
                written = list(self._write(sorter, files, found, place.work, progress))
            except (sorter.error, pa.ArrowException, OSError) as error:
                if self._stopped.is_set():
                    raise Stopped from error
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                if isinstance(error, sorter.no_memory):
                    full = "offload" in str(error)  # it found no room on the disk either
                    raise LogbatchError(_NO_SPACE if full else _NO_MEMORY) from error
                raise self._blame(error, found) from error
        made = [place.staged / path.stem for path, _ in written]
        for (path, _), target in zip(written, made, strict=True):
            os.rename(path, target)
        return made, sum((each for _, each in written), Count())

    def _write(
        self, sorter: Sorter, files: list[Path], found: Found, work: Path, progress: Progress
    ) -> Iterator[tuple[Path, Count]]:
        slices, ranges = self._divide(sorter, files)
        expected = union(found.inputs)
        retired = self._check(sorter, found, expected, ranges)
        self._odd = []
        columns = self._columns(sorter, found)
        cluster = [
            order_by(name, columns.get(attribute_of(name))) for name in self._task.cluster_by
        ]
        self._odd += [
            f"{self._folder}: no record has {name!r}, so nothing was clustered by it"
            for name, each in zip(self._task.cluster_by, cluster, strict=True)
            if sorter.is_unknown(each)
        ]
        modified = max(each.modified for each in found.inputs)
        for at in range(slices):
            gone = {} if at else retired  # they have no time any more: the first file tells them
            own = _join(ranges.get(at, {}), gone)
            if not own:
                continue
            path = work / f"{compacted_name()}.tmp"
            with CompactedFile(path, columns, self._order(columns, found)) as file:
                for batch in sorter.stream(at, cluster):
                    if self._stopped.is_set():
                        raise Stopped
                    file.append(batch)
                    progress.wrote(len(batch))
                missing = sum(map(Ranges.count, gone.values()))
                if file.rows != sum(map(Ranges.count, own.values())) - missing:
                    raise LogbatchError(_CONTRADICTION)
                cluster_by, promote = self._wanted[:2]
                coverage = Coverage(own, missing, cluster_by=cluster_by, promote=promote)
                size = file.finish(coverage, modified)
                yield path, Count(1, size, file.rows)

    def _divide(
        self, sorter: Sorter, files: list[Path]
    ) -> tuple[int, Mapping[int, Mapping[str, Ranges]]]:
        """Divide the records by time, if they are too many for a file; return what is where.

        Where time says little of who logged what, the ranges in the footers would be endless:
        then there is one large file.
        """
        size = sum(path.stat().st_size for path in files)
        slices = max(1, round(size / self._task.target_size))
        if slices > 1 and (slices := min(slices, sorter.rows() // _LEAST_ROWS)) > 1:
            slices = sorter.divide(slices)
            ranges = sorter.identities(_RANGES)
            if ranges is not None:
                return slices, ranges
            sorter.stay_whole()
        return 1, sorter.identities(None) or {}

    def _check(
        self,
        sorter: Sorter,
        found: Found,
        expected: Mapping[str, Ranges],
        ranges: Mapping[int, Mapping[str, Ranges]],
    ) -> dict[str, Ranges]:
        """See that the records are those that the files say; return those that were retired.

        Raises:
            Unfit: A file holds others.
        """
        there: dict[str, Ranges] = {}
        for held in ranges.values():
            there = _join(there, held)
        gone = {
            producer: Ranges(
                hole for span in spans for hole in there.get(producer, Ranges()).missing(*span)
            )
            for producer, spans in expected.items()
        }
        may_be = union(each for each in found.inputs if each.retired)
        good = sorter.rows() == sum(map(Ranges.count, there.values()))
        if good and is_within(there.items(), expected) and is_within(gone.items(), may_be):
            return {producer: spans for producer, spans in gone.items() if spans}
        raise self._blame(LogbatchError(_CONTRADICTION), found)

    def _columns(self, sorter: Sorter, found: Found) -> dict[str, str]:
        """Return the typed columns, which are the same in all files of a date."""
        if found.kept:
            return dict(found.kept[0].columns)
        task, known = self._task, found.columns()
        names = [*task.names, *map(attribute_of, task.cluster_by)]
        columns = choose_columns(sorter, task.promote, names, known, sorter.rows())
        self._odd = [
            f"{self._folder}: {name!r} did not become a column: there it has no values of one type"
            for name in task.names
            if name not in columns
        ]
        return columns

    def _order(self, columns: Mapping[str, str], found: Found) -> list[str] | None:
        """Return by which columns records are ordered; None where it is by something else."""
        sure = columns.keys() - found.columns().keys() if not found.kept else set()
        keys = self._task.cluster_by
        known = all(key in COLUMNS or attribute_of(key) in sure for key in keys)
        return [attribute_of(key) for key in keys] if known else None

    def _blame(self, error: Exception, found: Found) -> Exception:
        """Return what is wrong, after something went wrong: a file that is gone, or torn."""
        used = [each for each in found.inputs if each.part.taken]
        for each in used:
            if not each.path.exists():
                return Vanished(str(each.path))
        if _FULL in str(error):
            return LogbatchError(_NO_SPACE)
        bad = list(check_content(used))
        self._unfit.update((each.path, each) for each in bad)
        return bad[0] if bad else LogbatchError(_explain(error))

    @contextlib.contextmanager
    def _watched(self, place: Place, sorter: Sorter) -> Iterator[None]:
        """Interrupt the sorter when somebody asks for the end."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_EVERY):
                if place.is_stopped():
                    self._stopped.set()
                    sorter.interrupt()

        watcher = threading.Thread(target=watch, name="logbatch-compact", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def _join(one: Mapping[str, Ranges], other: Mapping[str, Ranges]) -> dict[str, Ranges]:
    return {name: Ranges([*one.get(name, ()), *other.get(name, ())]) for name in {**one, **other}}


def _gone(path: str) -> str:
    return f"{path} went away while it was compacted; nothing was changed: run it again"


def _sum(inputs: list[Input]) -> tuple[int, int]:
    return sum(each.size for each in inputs), sum(each.rows - each.retired for each in inputs)
