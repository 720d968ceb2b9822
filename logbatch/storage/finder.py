"""Find the files of one producer among those of all days, listing only folders that changed since.

The date of a folder comes from a clock that may have been wrong, so it excludes nothing.  What does
is a listing in which the producer had no file, for as long as the folder has not changed.
"""

from __future__ import annotations

import os
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from logbatch.storage.coverage import covered_by
from logbatch.storage.segments import Segment, is_coarse, list_files, list_folders, segments_of

_TICK = 0.1  # seconds within which two changes of a folder may bear one time
_ROOM = 1 << 18  # producers that are kept in mind, for each folder anew; 8 bytes each
_LENGTH = 26  # of a producer's id, with which the names begin

_State = tuple[int, int, int]


class _Seen(NamedTuple):
    """A folder as it was seen.

    Attributes:
        state: What tells whether it has changed since.
        since: When it was first seen like that.
        producers: Whose files are in it: sorted hashes.  None while the next change may bear the
            same time as the last one.
    """

    state: _State
    since: float
    producers: array[int] | None = None

    def excludes(self, producer: str) -> bool:
        """Return whether there is certainly no file of a producer."""
        if self.producers is None:
            return False
        wanted = hash(producer)
        at = bisect_left(self.producers, wanted)
        return at == len(self.producers) or self.producers[at] != wanted


class Finder:
    """Finds the files of producers in a directory.  One thread at a time may use it.

    Args:
        root: The directory.
        clock: Seconds that only go forward.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._seen: dict[str, _Seen] = {}  # by the name of the folder
        self._room = _ROOM

    def find(self, producer: str) -> list[Segment]:
        """List the segments of a producer, folder by folder, in the order of sequences.

        Compacted files are among them, as they may hold records of the producer.

        Args:
            producer: Whose segments; empty for those of all.

        Raises:
            OSError: A folder or a compacted file cannot be read.
        """
        folders = list_folders(self._root)
        self._seen = {
            folder.name: self._seen[folder.name] for folder in folders if folder.name in self._seen
        }
        self._room = _ROOM - sum(len(seen.producers or ()) for seen in self._seen.values())
        return [segment for folder in folders for segment in self._find_in(folder, producer)]

    def _find_in(self, folder: Path, producer: str) -> list[Segment]:
        try:
            state = _identify(os.stat(folder))  # before the names: a later change shows again
        except (FileNotFoundError, NotADirectoryError):
            return []
        seen = self._seen.get(folder.name)
        if seen is None or seen.state != state:
            seen = _Seen(state, self._clock())
        elif producer and seen.excludes(producer):
            return []
        settled = self._clock() - seen.since > _TICK and not is_coarse(state[2])
        names = list_files(folder)
        self._seen[folder.name] = self._note(seen, folder, names) if settled else seen
        return segments_of(folder, names, producer)

    def _note(self, seen: _Seen, folder: Path, names: set[str]) -> _Seen:
        found = {name[:_LENGTH] for name in names}
        for segment in segments_of(folder, names):
            if segment.compacted:
                found.update(covered_by(segment.path))
        producers = array("q", sorted(map(hash, found)))
        self._room -= len(producers)
        return seen._replace(producers=producers) if self._room >= 0 else seen


def _identify(status: os.stat_result) -> _State:
    return status.st_dev, status.st_ino, status.st_mtime_ns
