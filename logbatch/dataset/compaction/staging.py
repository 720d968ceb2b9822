"""A day's folder is made anew beside the old one, and takes its place at one instant.

    <root>/.journal/compact-<ulid>/            a compaction of one folder, which holds its lock
    <root>/.journal/compact-<ulid>/work/       temporary files
    <root>/.journal/compact-<ulid>/date=…/     the new folder; after the exchange, the old one

The new folder has the compacted files, and links to all that stays.  At every instant one of the
two folders under the name of the day is whole, so what a crash leaves may be removed: before the
exchange it is the new one, after it the old one.

Where a folder cannot be exchanged, compacted files are put beside the others, and brought to the
disk, before those go.  Our readers take each record once meanwhile; a glob sees some twice.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from logbatch.dataset.compaction.inputs import is_within
from logbatch.dataset.listing import Damaged, Vanished, find_segment
from logbatch.dataset.snapshot import Taken, make_part
from logbatch.disk import make_directory, read_blocks, replacing, sync_directory, write_all
from logbatch.identity import Ranges
from logbatch.locks import lock, lock_file
from logbatch.storage.folders import Busy, changing, exchange
from logbatch.storage.segments import list_names

PREFIX = "compact-"
_STOP = "stop"
_NO_LINKS = (
    *(errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EISDIR),
    *(errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS),
)


class Place:
    """The directory of one compaction, which is there and locked while a `with` lasts.

    Args:
        path: Where; a name that begins with `PREFIX`, in the journal's directory.
        folder: The folder of a day that is compacted.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.work = path / "work"
        self.staged = path / folder.name
        self._folder = folder
        self._lock = -1

    def __enter__(self) -> Place:
        if not _remove(self.path):  # of an earlier run of the same task
            raise Busy(self._folder)
        make_directory(self.path)
        self._lock = os.open(self.path, os.O_RDONLY)
        try:
            lock_file(self._lock)
            make_directory(self.work)
            make_directory(self.staged)
            with contextlib.suppress(PermissionError):  # it is another user's, who lets us write
                status = os.stat(self._folder)
                os.chmod(self.staged, stat.S_IMODE(status.st_mode))
                if hasattr(os, "chown"):
                    os.chown(self.staged, status.st_uid, status.st_gid)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            shutil.rmtree(self.path, ignore_errors=True)
        finally:  # who is interrupted here keeps no lock that nobody could take any more
            os.close(self._lock)

    def is_stopped(self) -> bool:
        """Return whether somebody wants the compaction to end."""
        return (self.path / _STOP).exists()


def stop(path: Path) -> None:
    """Ask the compaction at a place to end; its folder stays as it is."""
    with contextlib.suppress(OSError):
        (path / _STOP).touch()


def clean(journal: Path) -> None:
    """Remove what compactions left that were killed; have the maintenance lock meanwhile.

    A process that worked for one of them may still be at it: its place is locked, and stays.
    """
    for name in _names(journal):
        if name.startswith(PREFIX):
            _remove(journal / name)


def _remove(path: Path) -> bool:
    """Remove a place, unless somebody works there; return whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return not path.exists()
    try:
        if _is_in_use(descriptor):
            return False
        for folder in (path.parent, path.parent.parent):  # an exchange is on the disk by then
            sync_directory(folder)
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()
    finally:
        os.close(descriptor)


def _is_in_use(descriptor: int) -> bool:
    """Return whether somebody works in a place; where there are no locks, nobody is known to."""
    try:
        return lock(descriptor) is False
    except OSError:
        return True


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


# ------------------------------------------------------------------ the exchange


class Change(NamedTuple):
    """What becomes of a folder.

    Attributes:
        made: Files in the staged folder that are new.
        consumed: Names of files whose records are in the new ones, or in some that stay; with what
            they hold.
        stay: Names of files that were there and are left alone.
        aside: Names of files that nobody can read.
        covered: The records of all files that are new or stay.
    """

    made: Sequence[Path]
    consumed: Mapping[str, Taken]
    stay: Collection[str]
    aside: Collection[str]
    covered: Mapping[str, Ranges]


def change_folder(
    folder: Path, staged: Path, change: Change, swap: Callable[[Path, Path], bool] = exchange
) -> bool:
    """Let a folder become what it is to be; return whether that was at one instant.

    Args:
        folder: The folder of a day.
        staged: An empty folder, but for the files that are new.
        change: What is to be done.
        swap: Exchanges two folders, if that can be done.

    Raises:
        Vanished: A file went away that was to be replaced; the folder is as it was.
        Busy: Other processes change the folder all the time; it is as it was.
        OSError: The disk failed.
    """
    with changing(folder, alone=True) as locked:
        names = list_names(folder)
        dropped = _find_dropped(folder, names, change)
        stay = names - dropped
        may = locked and not folder.is_symlink()  # the link would be exchanged, not the folder
        if may and _link(folder, staged, stay, change.aside):
            sync_directory(staged)
            if _swap(staged, folder, swap):
                sync_directory(folder.parent)
                sync_directory(staged.parent)
                return True
        _change_in_place(folder, change, dropped)
        return False


def _swap(staged: Path, folder: Path, swap: Callable[[Path, Path], bool]) -> bool:
    try:
        return swap(staged, folder)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EBUSY):  # something is mounted there
            return False
        raise


def _find_dropped(folder: Path, names: set[str], change: Change) -> set[str]:
    """Return which files go: also those that came meanwhile and hold nothing that is not covered.

    Raises:
        Vanished: A file is gone, and what was in it is not in those that came either.
    """
    came: dict[str, Ranges] = {}
    dropped = names & change.consumed.keys()
    for name in names - change.consumed.keys() - set(change.stay) - set(change.aside):
        held = _read_held(folder / name)
        if held and is_within(held, change.covered):
            dropped.add(name)
        for producer, spans in held:
            came[producer] = Ranges([*came.get(producer, ()), *spans])
    for name in change.consumed.keys() - names:
        if not is_within(change.consumed[name], came):
            raise Vanished(str(folder / name))
    return dropped


def _read_held(path: Path) -> Taken:
    """Return which records a file holds that came meanwhile; none where that is not certain."""
    segment = find_segment(path)
    if segment is None or segment.growing:
        return ()
    try:
        return make_part(segment).taken
    except (Vanished, Damaged):
        return ()


def _link(folder: Path, staged: Path, names: Collection[str], aside: Collection[str]) -> bool:
    """Link files into the staged folder; return whether that can be done."""
    try:
        for name in sorted(names):
            target = staged / (_hide(name, names) if name in aside else name)
            with contextlib.suppress(FileNotFoundError):  # a temporary file may go at any time
                os.link(folder / name, target, follow_symlinks=False)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _hide(name: str, names: Collection[str]) -> str:
    """Return a name under which a file is put aside, so that nobody takes it for a good one."""
    hidden = f".damaged-{Path(name).stem}"
    others = (f"{hidden}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([hidden], others) if each not in names)


def _change_in_place(folder: Path, change: Change, dropped: Collection[str]) -> None:
    for path in change.made:
        try:
            os.rename(path, folder / path.name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(path, folder / path.name)
    sync_directory(folder)
    for name in change.aside:
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder / name, folder / _hide(name, os.listdir(folder)))
    for name in dropped:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder / name)
    sync_directory(folder)


def _copy(path: Path, target: Path) -> None:
    status = os.stat(path)
    with replacing(target) as descriptor:
        for block in read_blocks(path, 0, status.st_size):
            write_all(descriptor, block)
        os.utime(descriptor, ns=(status.st_mtime_ns, status.st_mtime_ns))
