"""Remove whole files that are too old, or too much: never what is not ours, never behind a link.

A file goes when its newest record is too old, or when all files together take too much and it is
the oldest; see `logbatch.storage.policy` for which time that is counted up to.  First it is noted
which records go (`logbatch.storage.retired`), then the files are unlinked, and a folder that has
become empty is removed.  Killed at any point, it leaves a directory in which each record is there
or noted; the next run goes on.

The parts that take long are generators that yield now and then, so that a process that logs can
run them in short steps.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from logbatch.disk import lock_file, open_file, sync_directory
from logbatch.identity import Ranges
from logbatch.journal.names import find_journals
from logbatch.storage.bounds import Bounds, Steps, Unreadable, estimate, measure
from logbatch.storage.coverage import covered_by
from logbatch.storage.folders import changing
from logbatch.storage.maintenance import JOURNAL
from logbatch.storage.policy import Policy, Weighed, believe, choose_excess, choose_old, extend
from logbatch.storage.retired import DamagedNote, note_retired, read_retired
from logbatch.storage.segments import (
    Segment,
    clean_folder,
    list_folders,
    list_names,
    parse_segment,
    read_ranges,
)

_EXTENSIONS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")
_TOGETHER = 256  # files that are noted and removed in one go
_SEEN_EVERY = 600_000_000  # microseconds between two notes of a look
_BLOCK = 512  # bytes that `st_blocks` counts in

Identity = tuple[int, int, int, int]
Known = MutableMapping[Path, tuple[Identity, Bounds]]
"""What was found out of files before; they do not change while they are the same."""


class File(NamedTuple):
    """A file of records.

    Attributes:
        segment: Its name, and what that says.
        identity: What tells it from another one under the same name.
        bytes: What it takes of the disk.
        bounds: From when to when its records are.
    """

    segment: Segment
    identity: Identity
    bytes: int
    bounds: Bounds

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.segment.path

    @property
    def length(self) -> int:
        """How long it is."""
        return self.identity[2]


class Survey(NamedTuple):
    """What there is in a directory.

    Attributes:
        files: The files that retention may decide upon.
        problems: Files that are left alone, and why.
        others: What those take of the disk, in bytes.
        journals: The producers that have a journal.
    """

    files: list[File]
    problems: list[str]
    others: int
    journals: set[str]


class Plan(NamedTuple):
    """What is to be done.

    Attributes:
        old: The files that are too old, oldest first.
        excess: Those that go because there are too many bytes, oldest first.
        rest: Those that stay.
        until: Up to which time age was counted, in microseconds since 1970.
        seen: From when to when there were looks, with this one.
        survey: What there is.
    """

    old: list[File]
    excess: list[File]
    rest: list[File]
    until: int
    seen: tuple[int, int]
    survey: Survey


class Removed(NamedTuple):
    """What was removed, and what could not be."""

    files: list[File]
    problems: list[str]


# ------------------------------------------------------------------ looking


def survey(root: Path, known: Known) -> Steps[Survey]:
    """Look at all files of a directory.

    Args:
        root: The directory.
        known: What was found out before; it is kept up to date.

    Raises:
        OSError: The directory cannot be read.
    """
    found = Survey([], [], 0, set(find_journals(root / JOURNAL)))
    others = 0
    for folder in list_folders(root):
        if not _is_folder(folder):
            continue
        for name in sorted(list_names(folder)):
            segment = parse_segment(folder / name)
            if segment is None or segment.ext not in _EXTENSIONS:
                continue
            try:
                status = os.lstat(segment.path)
                if not stat.S_ISREG(status.st_mode):
                    continue
                bounds = yield from _look(segment, _identify(status), known)
            except FileNotFoundError:
                continue  # it was merged, rotated or removed
            except (OSError, Unreadable) as error:
                found.problems.append(f"{segment.path}: {_reason(error)}; it stays")
                others += disk_usage(status)
                continue
            found.files.append(File(segment, _identify(status), disk_usage(status), bounds))
            yield
    there = {file.path for file in found.files}
    for path in [path for path in known if path not in there]:
        del known[path]
    return found._replace(others=others)


def _look(segment: Segment, identity: Identity, known: Known) -> Steps[Bounds]:
    before = known.get(segment.path)
    if before is not None and before[0] == identity:
        return before[1]
    bounds = yield from estimate(segment.path, segment.ext)
    known[segment.path] = identity, bounds
    return bounds


def _is_folder(path: Path) -> bool:
    """Return whether it is a directory itself, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _identify(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def disk_usage(status: os.stat_result) -> int:
    """Return what a file takes of the disk, as `du` counts it, but not less than it is long."""
    return max(status.st_size, getattr(status, "st_blocks", 0) * _BLOCK)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())


# ------------------------------------------------------------------ deciding


def make_plan(
    root: Path, policy: Policy, now: int, known: Known, *, trust_clock: bool = False
) -> Steps[Plan]:
    """Decide which files are too old, and which too much.

    Args:
        root: The directory.
        policy: What may stay.
        now: What the clock says, in microseconds since 1970.
        known: What was found out of files before; it is kept up to date.
        trust_clock: Whether its word is enough.

    Raises:
        OSError: The directory cannot be read.
    """
    found = yield from survey(root, known)
    until, gap = now, policy.max_age or 0
    seen = extend(_read_seen(root), now, gap)
    if policy.max_age is not None and not trust_clock:
        times = [at for file in found.files for at in file.bounds[:2]]
        until = believe(now, times, seen, gap)
    old = yield from _confirm(found.files, policy.max_age, until, known)
    gone = {file.path for file in old}
    staying = [file for file in found.files if file.path not in gone]
    budget = None if policy.max_bytes is None else max(policy.max_bytes - found.others, 0)
    excess = [staying[at] for at in choose_excess(list(map(weigh, staying)), budget)]
    gone.update(file.path for file in excess)
    rest = [file for file in staying if file.path not in gone]
    return Plan(old, excess, rest, until, seen, found)


def weigh(file: File) -> Weighed:
    """Return what decides about a file."""
    return Weighed(file.bounds.high, file.bytes, file.segment.growing)


def _read_seen(root: Path) -> tuple[int, int] | None:
    with contextlib.suppress(DamagedNote):
        return read_retired(root / JOURNAL).seen
    return None


def _confirm(
    files: Sequence[File], max_age: int | None, until: int, known: Known
) -> Steps[list[File]]:
    """List the files that are too old, having looked at all that is in them."""
    chosen = []
    for at in choose_old(list(map(weigh, files)), max_age, until):
        file = files[at]
        if not file.bounds.exact:
            try:
                bounds = yield from measure(file.path, file.segment.ext)
            except (OSError, Unreadable):
                continue  # it has another name by now, or grows at this moment
            known[file.path] = file.identity, bounds
            file = file._replace(bounds=bounds)
            if not choose_old([weigh(file)], max_age, until):
                continue
        chosen.append(file)
    return chosen


# ------------------------------------------------------------------ removing


def remove(root: Path, plan: Plan, files: Sequence[File], *, noted: bool = False) -> Steps[Removed]:
    """Note what goes, and remove it; whoever calls this has the maintenance lock.

    Args:
        root: The directory.
        plan: What there is.
        files: What goes.
        noted: Whether another file accounts for the records of these.

    Raises:
        OSError: It cannot be noted; nothing was removed then.
    """
    done = Removed([], [])
    gone: set[Path] = set()
    for start in range(0, len(files), _TOGETHER):
        chunk = files[start : start + _TOGETHER]
        gone.update(file.path for file in chunk)
        if not noted:
            present = find_present(plan.survey, gone)
            removed: dict[str, Ranges] = {}
            _add(removed, chunk)
            note_retired(root / JOURNAL, removed, present)
        for folder, group in groupby(chunk, lambda file: file.path.parent):
            _remove_from(folder, list(group), done)
            yield
    for folder in sorted({file.path.parent for file in done.files}):
        remove_if_empty(folder)
    return done


def note_looks(root: Path, plan: Plan) -> None:
    """Note that somebody looked, unless that was noted just before.

    Raises:
        OSError: It cannot be noted.
    """
    before = _read_seen(root)
    is_old = before is None or plan.seen[1] - before[1] > _SEEN_EVERY
    if is_old or before is None or before[0] != plan.seen[0]:
        note_retired(root / JOURNAL, {}, find_present(plan.survey, ()), plan.seen)


def find_present(found: Survey, gone: Iterable[Path]) -> dict[str, Ranges]:
    """Return the producers that have anything left in the directory, and their records in files."""
    without = set(gone)
    present = {producer: Ranges() for producer in found.journals}
    _add(present, (file for file in found.files if file.path not in without))
    return present


def _add(known: dict[str, Ranges], files: Iterable[File]) -> None:
    for file in files:
        for producer, ranges in ranges_of(file).items():
            there = known.setdefault(producer, Ranges())
            for span in ranges:
                there.add(*span)


def ranges_of(file: File) -> dict[str, Ranges]:
    """Return which records a file holds, or accounts for; none of one that has gone."""
    segment = file.segment
    try:
        if segment.compacted:
            return dict(covered_by(segment.path))
        return {segment.producer: read_ranges([segment], segment.producer)}
    except OSError:
        return {}


def _remove_from(folder: Path, files: Sequence[File], done: Removed) -> None:
    try:
        with changing(folder), _opened(folder) as descriptor:
            for file in files:
                try:
                    if _unlink(file, descriptor):
                        done.files.append(file)
                except OSError as error:
                    done.problems.append(f"{file.path}: {_reason(error)}; it stays")
        sync_directory(folder)
    except (FileNotFoundError, NotADirectoryError):
        pass  # somebody else removed the folder, with what was in it
    except OSError as error:
        done.problems.append(f"{folder}: {_reason(error)}; what is in it stays")


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """Open a folder that is no link; None where names cannot be looked up in an open one."""
    if os.unlink not in os.supports_dir_fd:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unlink(file: File, folder: int | None) -> bool:
    """Remove a file if it is still the one that was looked at, and nobody writes to it."""
    name = file.path if folder is None else file.path.name
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if _identify(status) != file.identity:
        return False
    with contextlib.ExitStack() as stack:
        if file.segment.growing:
            descriptor = open_file(file.path)
            stack.callback(os.close, descriptor)
            same = _identify(os.fstat(descriptor)) == file.identity
            if not (lock_file(descriptor) and same):
                return False  # a process appends to it
        os.unlink(name, dir_fd=folder)
    return True


def remove_if_empty(folder: Path) -> None:
    """Remove the folder of a day in which nothing is left.

    A process that was about to write into it makes it again.
    """
    if not _is_folder(folder):
        return
    with contextlib.suppress(OSError):  # it is not empty, or in use
        with changing(folder, alone=True, patience=0.0):
            clean_folder(folder)
            os.rmdir(folder)
        sync_directory(folder.parent)
