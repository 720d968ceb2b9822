"""What transports to a directory have in common: once each record, and plain words for trouble.

A record is written once, whatever happened before: a transport knows which records of a producer
it has written, and looks into the folders of all days for those of a producer it meets for the
first time.  So a batch may be sent again, whole or cut otherwise, by this process or the next, on
this day or another, and the clock may be set to any other time in between.

`send` returns when the records and the names of their files are on the disk.  A disk that is full,
read-only or away is a `TemporaryError`; the batch stays in the journal.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from logbatch.disk import make_directory, sync_directory
from logbatch.errors import TemporaryError
from logbatch.identity import Ranges
from logbatch.storage.coverage import covered_by
from logbatch.storage.finder import Finder
from logbatch.storage.folders import changing
from logbatch.storage.merge import remove_merged
from logbatch.storage.segments import (
    Segment,
    clean_folder,
    day_name,
    list_folders,
    read_ranges,
)
from logbatch.transports.base import HIDDEN, Batch
from logbatch.transports.local import LocalTransport
from logbatch.transports.retaining import Retaining, read_policy

_TRIES = 20  # times that a folder may be removed before a file is in it


class DirectoryTransport(LocalTransport):
    """Base of the transports to a directory.

    Args:
        path: The directory; `~` is the home directory, a relative one is resolved now.  It is made
            by the first batch.
        retain_age: How old records may become; older files are removed.  None keeps them.
        retain_bytes: What all files may take of the disk; the oldest are removed.  None for any.

    Attributes:
        kind: The scheme of its URL.
        path: The directory, absolute.
        now: Seconds since 1970: they name the day's folder, and decide nothing else.
        remembered: Producers of which it is kept in mind what is written.
    """

    names = "directory"
    writes_files = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        retain_age: str | float | None = None,
        retain_bytes: str | int | None = None,
    ) -> None:
        super().__init__(path)
        self.journal_directory = self.path / HIDDEN
        self.now: Callable[[], float] = time.time
        self.remembered = 64
        self._finder = Finder(self.path)
        self._known: dict[str, Ranges] = {}  # by producer, the one used last at the end
        self._unsynced: set[Path] = set()  # folders whose new names are perhaps not on the disk
        self._cleaned: set[Path] = set()
        self._retaining = _make_retaining(self.path, retain_age, retain_bytes)

    def send(self, batch: Batch) -> None:
        """Write those records of the batch that are not there yet, and bring them to the disk."""
        with self._told_as_temporary("write to"):
            known = self._look_up(batch.producer)
            try:
                for first, last in known.missing(batch.first, batch.last):
                    size = self._write(_cut(batch, first, last))
                    known.add(first, last)
                    if self._retaining is not None:
                        self._retaining.add(size)
            except OSError:
                raise  # nothing was written
            except BaseException:  # an interrupt, perhaps between the writing and the adding
                self._known.pop(batch.producer, None)
                raise
            self._sync_folders()

    def retain(self) -> float:
        return float("inf") if self._retaining is None else self._retaining.step()

    def begin(self, producer: str) -> None:
        self._remember(producer, Ranges())

    def published(self, producer: str) -> Ranges:
        """Return which of a producer's records are in the directory, on any day and of any kind.

        Raises:
            TemporaryError: The directory cannot be read now.
        """
        self._known.pop(producer, None)
        with self._told_as_temporary("read"):
            return Ranges(self._look_up(producer))

    def known(self, producer: str) -> Ranges:
        """Return what `published` returns, reading the directory only for what is not in memory.

        Raises:
            TemporaryError: The directory cannot be read now.
        """
        found = self._known.get(producer)
        return self.published(producer) if found is None else Ranges(found)

    def remember(self) -> None:
        """Look at all producers at once; those that began last need no look of their own then.

        Raises:
            TemporaryError: The directory cannot be read now.
        """
        with self._told_as_temporary("read"):
            segments = self._finder.find("")
            # Of these the names do not tell it: they need a look of their own.
            unclear = {each.producer for each in segments if each.last is None}
            for each in segments:
                if each.compacted:
                    unclear.update(covered_by(each.path))
        wanted = {each.producer for each in segments} - unclear - self._known.keys()
        room = max(self.remembered - len(self._known), 0)
        newest = sorted(wanted)[-room:] if room else []
        latest = {producer: Ranges() for producer in newest}
        for each in segments:
            if each.last is not None and each.producer in latest:
                latest[each.producer].add(each.first, each.last)
        self._known = {**latest, **self._known}

    def after_fork(self) -> None:
        """Forget, in a forked child, what the parent was doing."""
        self._known.clear()
        self._unsynced.clear()
        if self._retaining is not None:
            self._retaining.forget()

    @contextlib.contextmanager
    def _told_as_temporary(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise TemporaryError(f"cannot {what} {self.path}: {reason}") from error

    def _write(self, batch: Batch) -> int:
        """Write records that are not there; they count as written as soon as this returns.

        Returns:
            About how many bytes they take.
        """
        raise TypeError(f"{type(self).__name__} does not define _write()")

    def _find(self, producer: str) -> list[Segment]:
        """Find a producer's files."""
        return self._finder.find(producer)

    def _look_up(self, producer: str) -> Ranges:
        """Return the records of a producer that are written; look only where that is not known."""
        known = self._known.get(producer)
        if known is None:
            known = read_ranges(self._find(producer), producer)
        self._remember(producer, known)
        return known

    def _remember(self, producer: str, written: Ranges) -> None:
        self._known.pop(producer, None)
        self._known[producer] = written
        while len(self._known) > self.remembered:
            del self._known[next(iter(self._known))]

    @contextlib.contextmanager
    def _changing_folder(self) -> Iterator[Path]:
        """Have the lock of this day's folder, which is there, to write a new file into it.

        An empty folder may be removed at any moment (retention does that); then it is made again.
        """
        with contextlib.ExitStack() as stack:
            for left in reversed(range(_TRIES)):
                try:
                    folder = self._folder()
                    stack.enter_context(changing(folder))
                    break
                except (FileNotFoundError, FileExistsError):  # it was there, and then was not
                    if not left:
                        raise
            self._unsynced.add(folder)
            yield folder

    def _folder(self) -> Path:
        """Return the folder of this day, which is there."""
        folder = self.path / day_name(self.now())
        make_directory(folder, sync=True)
        if folder not in self._cleaned:
            self._cleaned = {folder}
            folders = list_folders(self.path)
            at = folders.index(folder) if folder in folders else 0
            # A crash before midnight left something in the day before; one before the clock was
            # set back, in one that is still to come.
            for each in folders[max(at - 1, 0) : at + 2]:
                clean_folder(each)
                remove_merged(each)
        return folder

    def _sync_folders(self) -> None:
        for folder in list(self._unsynced):
            with contextlib.suppress(FileNotFoundError):  # whoever removed it, with all files
                sync_directory(folder)
            self._unsynced.discard(folder)


def _make_retaining(path: Path, age: Any, size: Any) -> Retaining | None:
    return None if age is None and size is None else Retaining(path, read_policy(age, size))


def _cut(batch: Batch, first: int, last: int) -> Batch:
    if (first, last) == (batch.first, batch.last):
        return batch
    lines = batch.lines.split(b"\n")[first - batch.first : last - batch.first + 1]
    return Batch(batch.producer, first, last, b"".join(line + b"\n" for line in lines))
