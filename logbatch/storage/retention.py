"""Find the files that are too old, or too much; `logbatch.storage.removal` removes them.

A file goes when its newest record is too old, or when all files together take too much and it is
the oldest; see `logbatch.storage.policy` for which time that is counted up to.

What takes long is a generator that yields now and then, so that a process that logs can run it in
short steps.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import NamedTuple

from logbatch.descriptors import Identity, identify
from logbatch.identity import Ranges
from logbatch.journal.names import find_journals
from logbatch.storage.bounds import Bounds, Steps, Unreadable, estimate, measure
from logbatch.storage.maintenance import JOURNAL
from logbatch.storage.policy import Policy, Weighed, believe, choose_excess, choose_old, extend
from logbatch.storage.retired import DamagedNote, read_retired
from logbatch.storage.segments import (
    Segment,
    list_folders,
    list_names,
    parse_segment,
)

_EXTENSIONS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")
_BLOCK = 512  # bytes that `st_blocks` counts in

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
    def newest(self) -> int:
        """The time of its newest record, in microseconds since 1970.

        One that does not tell its time is as new as the last write to the file, at most.
        """
        if self.bounds.complete:
            return self.bounds.high
        return max(self.bounds.high, self.identity[3] // 1000)

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
        held: Which records compacted files account for, as far as that was looked up.
        by_producer: The files of each producer; compacted ones stand under an empty name.
    """

    files: list[File]
    problems: list[str]
    others: int
    journals: set[str]
    held: dict[Path, dict[str, Ranges]]
    by_producer: dict[str, list[File]]


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


# ------------------------------------------------------------------ looking


def survey(root: Path, known: Known) -> Steps[Survey]:
    """Look at all files of a directory.

    Args:
        root: The directory.
        known: What was found out before; it is kept up to date.

    Raises:
        OSError: The directory cannot be read.
    """
    found = Survey([], [], 0, set(find_journals(root / JOURNAL)), {}, {})
    others = 0
    for folder in list_folders(root):
        if not is_folder(folder):
            continue
        for name in sorted(list_names(folder)):
            segment = parse_segment(folder / name)
            if segment is None or segment.ext not in _EXTENSIONS:
                continue
            try:
                status = os.lstat(segment.path)
                if not stat.S_ISREG(status.st_mode):
                    continue
                bounds = yield from _look(segment, identify(status), known)
            except FileNotFoundError:
                continue  # it was merged, rotated or removed
            except (OSError, Unreadable) as error:
                found.problems.append(f"{segment.path}: {explain(error)}; it stays")
                others += disk_usage(status)
                continue
            file = File(segment, identify(status), disk_usage(status), bounds)
            found.files.append(file)
            found.by_producer.setdefault(segment.producer, []).append(file)
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


def is_folder(path: Path) -> bool:
    """Return whether it is a directory itself, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def disk_usage(status: os.stat_result) -> int:
    """Return what a file takes of the disk, as `du` counts it, but not less than it is long."""
    return max(status.st_size, getattr(status, "st_blocks", 0) * _BLOCK)


def explain(error: Exception) -> str:
    """Say in one line what went wrong with a file."""
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
    seen = extend(read_seen(root), now, gap)
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
    return Weighed(file.newest, file.bytes, file.segment.growing)


def read_seen(root: Path) -> tuple[int, int] | None:
    """Return from when to when looks were made; None where that is not known."""
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
