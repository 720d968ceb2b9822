"""Remove whole files: never what is not ours, never behind a link.

First it is noted which records go (`logbatch.storage.retired`), then the files are unlinked, and a
folder that has become empty is removed.  A disk may be too full for the note; then files make room
for it first.  Killed at any point, it leaves a directory in which each record is there or noted;
the next run goes on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from logbatch.descriptors import identify
from logbatch.disk import is_temporary, open_file, sync_directory
from logbatch.identity import LAST_SEQUENCE, Ranges
from logbatch.locks import lock_file
from logbatch.storage.bounds import Steps
from logbatch.storage.coverage import covered_by
from logbatch.storage.folders import changing
from logbatch.storage.maintenance import JOURNAL
from logbatch.storage.retention import File, Plan, Survey, explain, is_folder, read_seen
from logbatch.storage.retired import FULL, note_retired, put_aside
from logbatch.storage.segments import (
    Segment,
    clean_folder,
    list_folders,
    list_segments,
    read_ranges,
)

_SEEN_EVERY = 600_000_000  # microseconds between two notes of a look
_TOGETHER = 256  # files that are noted and removed in one go


class Removed(NamedTuple):
    """What was removed, and what could not be."""

    files: list[File]
    problems: list[str]


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
        if not noted:
            removed: dict[str, Ranges] = {}
            for file in chunk:
                _join(removed, ranges_of(file))
            # Their producers count as present until they are gone: this may be killed half way.
            find_present = partial(_find_present, root, plan.survey, gone)
            _note(root / JOURNAL, removed, find_present, chunk, done)
        gone.update(file.path for file in chunk)
        for folder, group in groupby(chunk, lambda file: file.path.parent):
            _remove_from(folder, list(group), done)
            yield
    if done.files and not noted:
        with contextlib.suppress(OSError):  # the note says too much then, until the next one
            note_retired(root / JOURNAL, {}, partial(_find_present, root, plan.survey, gone))
    for folder in sorted({file.path.parent for file in done.files}):
        remove_if_empty(folder)
    return done


def _note(
    journal: Path,
    removed: Mapping[str, Ranges],
    find_present: Callable[[Collection[str]], Mapping[str, Ranges]],
    files: Sequence[File],
    done: Removed,
) -> None:
    """Note what goes; on a disk that has no room for that, have some of it make room first."""
    left = [file for file in files if not file.segment.growing]
    while True:
        try:
            note_retired(journal, removed, find_present)
            return
        except OSError as error:
            if error.errno not in FULL or not left:
                raise
            file = left.pop(0)
            with contextlib.suppress(FileNotFoundError), changing(file.path.parent):
                if identify(os.lstat(file.path)) == file.identity:
                    put_aside(file.path, ranges_of(file), journal)
                    done.files.append(file)


def note_looks(root: Path, plan: Plan) -> None:
    """Note that somebody looked, unless that was noted just before.

    Raises:
        OSError: It cannot be noted.
    """
    before = read_seen(root)
    is_old = before is None or plan.seen[1] - before[1] > _SEEN_EVERY
    if is_old or before is None or before[0] != plan.seen[0]:
        try:
            find_present = partial(_find_present, root, plan.survey, ())
            note_retired(root / JOURNAL, {}, find_present, plan.seen)
        except OSError as error:
            if error.errno not in FULL:
                raise  # else the next run notes it, which this one makes room for


def _find_present(
    root: Path, found: Survey, gone: Collection[Path], wanted: Collection[str]
) -> dict[str, Ranges]:
    """Return those of some producers that have anything left, and which records in files."""
    present = {producer: Ranges() for producer in found.journals.intersection(wanted)}
    for file in _left(found, "", gone):
        held = found.held.get(file.path)
        if held is None:
            held = found.held[file.path] = ranges_of(file)
        _join(present, {producer: held[producer] for producer in held if producer in wanted})
    for producer in wanted:
        for file in _left(found, producer, gone):
            last = LAST_SEQUENCE if file.segment.last is None else file.segment.last
            present.setdefault(producer, Ranges()).add(file.segment.first, last)
    if absent := set(wanted).difference(present):
        present.update(_look_again(root, found, absent))
    return present


def _look_again(root: Path, found: Survey, wanted: Collection[str]) -> dict[str, Ranges]:
    """Return those of some producers that have files now, and which records in them.

    Since the survey these may have been merged or compacted into others, or could not be removed.
    What was removed of a producer that is not found here is forgotten, so it is worth a look.
    """
    present: dict[str, Ranges] = {}
    for _ in range(2):  # what is renamed while a folder is listed may escape one listing
        for segment in list_segments(root):
            if segment.compacted:
                held = found.held.get(segment.path) or _hold(segment)
                _join(present, {name: held[name] for name in held if name in wanted})
            elif segment.producer in wanted:
                last = LAST_SEQUENCE if segment.last is None else segment.last
                present.setdefault(segment.producer, Ranges()).add(segment.first, last)
    return present


def _left(found: Survey, producer: str, gone: Collection[Path]) -> Iterator[File]:
    return (file for file in found.by_producer.get(producer, ()) if file.path not in gone)


def _join(known: dict[str, Ranges], more: Mapping[str, Ranges]) -> None:
    for producer, ranges in more.items():
        there = known.setdefault(producer, Ranges())
        for span in ranges:
            there.add(*span)


def ranges_of(file: File) -> dict[str, Ranges]:
    """Return which records a file holds, or accounts for; none of one that has gone."""
    return _hold(file.segment)


def _hold(segment: Segment) -> dict[str, Ranges]:
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
                    done.problems.append(f"{file.path}: {explain(error)}; it stays")
        sync_directory(folder)
    except (FileNotFoundError, NotADirectoryError):
        pass  # somebody else removed the folder, with what was in it
    except OSError as error:
        done.problems.append(f"{folder}: {explain(error)}; what is in it stays")


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
    if identify(status) != file.identity:
        return False
    with contextlib.ExitStack() as stack:
        if file.segment.growing:
            descriptor = open_file(file.path)
            stack.callback(os.close, descriptor)
            same = identify(os.fstat(descriptor)) == file.identity
            if not (lock_file(descriptor) and same):
                return False  # a process appends to it
        os.unlink(name, dir_fd=folder)
    return True


def remove_empty_folders(root: Path) -> None:
    """Remove the folders of days in which nothing is left, or only what crashes left."""
    for folder in list_folders(root):
        with contextlib.suppress(OSError):  # it went away meanwhile, or may not be read
            if _holds_only_temporary(folder):
                remove_if_empty(folder)


def remove_if_empty(folder: Path) -> None:
    """Remove the folder of a day in which nothing is left.

    A process that was about to write into it makes it again.
    """
    if not is_folder(folder):
        return
    with contextlib.suppress(OSError):  # it is not empty, or in use
        with changing(folder, alone=True, patience=0.0):
            if not _holds_only_temporary(folder):
                return
            clean_folder(folder)
            os.rmdir(folder)
        sync_directory(folder.parent)


def _holds_only_temporary(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return all(is_temporary(entry.name) for entry in entries)
