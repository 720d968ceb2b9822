"""The files of a dataset: their names and their folders.

    <root>/date=2026-11-21/<producer>-<first>-<last>.parquet          published, never changed
    <root>/date=2026-11-21/<producer>-<first>-<last>.jsonl[.zst|.gz]  the same
    <root>/date=2026-11-21/<producer>-<first>.jsonl                   growing: lines are appended
    <root>/date=2026-11-21/compacted-<ulid>.parquet                   of many producers
    <root>/date=2026-11-21/.part-<random>.tmp                         not published yet

A published file appears at once and whole: it is written under a temporary name that no engine's
glob matches, brought to the disk, and renamed.  Its name tells which records it holds, so a listing
is the ledger; a compacted file says it in its footer (`logbatch.storage.coverage`).  While a file
is being compressed, or after a crash there, it stands beside its compressed form: two names of one
range are one segment.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from logbatch.disk import is_left_over, is_temporary, open_file, sync_file
from logbatch.identity import Ranges, SegmentName, is_producer
from logbatch.storage.coverage import covered_by

_DAY = re.compile(r"date=[0-9]{4,}-[0-9]{2}-[0-9]{2}")
_GROWING = re.compile(r"(?P<producer>[0-9a-z]{26})-(?P<first>0|[1-9][0-9]{0,18})\.jsonl")
_COMPACTED = re.compile(r"compacted-[0-9a-z]{26}\.parquet")
_BASE32 = {letter: value for value, letter in enumerate("0123456789abcdefghjkmnpqrstvwxyz")}
_LAST_SECOND = 253_402_300_799.0  # of the year 9999
_LISTINGS = 20  # of a folder that changes all the time
_SETTLED = 3_600_000_000_000  # nanoseconds without a change, by our clock and a file server's


class Segment(NamedTuple):
    """A file that holds records of one producer, or a compacted one with those of many.

    Attributes:
        path: Where it is.
        producer: Whose records it holds; empty for a compacted file.
        first: Sequence of the first one; 0 for a compacted file.
        last: Sequence of the last one; None while the file grows, and for a compacted file.
        ext: `parquet`, `jsonl`, `jsonl.zst` or `jsonl.gz`.
    """

    path: Path
    producer: str
    first: int
    last: int | None
    ext: str

    @property
    def growing(self) -> bool:
        """Whether lines are still appended to it."""
        return self.last is None and not self.compacted

    @property
    def compacted(self) -> bool:
        """Whether it holds records of many producers; its coverage tells which."""
        return not self.producer


class Run(NamedTuple):
    """Lines of a growing file that are whole and whose sequences follow one another."""

    first: int
    last: int
    start: int  # the bytes they take
    end: int


def parse_segment(path: Path) -> Segment | None:
    """Read the name of a file; None where it is not that of a segment."""
    if (name := SegmentName.parse(path.name)) is not None:
        return Segment(path, *name)
    if _COMPACTED.fullmatch(path.name):
        return Segment(path, "", 0, None, "parquet")
    match = _GROWING.fullmatch(path.name)
    if match is None or not is_producer(match["producer"]):
        return None
    return Segment(path, match["producer"], int(match["first"]), None, "jsonl")


def day_name(now: float) -> str:
    """Name the folder of a moment, in seconds since 1970: `date=YYYY-MM-DD`, in UTC."""
    return time.strftime("date=%Y-%m-%d", time.gmtime(now))


def born(producer: str) -> float:
    """Return when a producer began, in seconds since 1970, as its id says."""
    if not is_producer(producer):
        return 0.0
    number = 0
    for letter in producer[:10]:
        number = number << 5 | _BASE32[letter]
    return min(number / 1000, _LAST_SECOND)


# ------------------------------------------------------------------ listing


def list_folders(root: Path) -> list[Path]:
    """List the folders of all days, oldest first; none where there is no such directory."""
    try:
        names = os.listdir(root)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [root / name for name in sorted(filter(_DAY.fullmatch, names))]


def list_segments(root: Path, producer: str = "") -> list[Segment]:
    """List the segments of a dataset.

    A file may be renamed or removed (rotated, compressed) before it is opened; then list again.
    The date of a folder is that of the clock when a file was published, which may have been wrong
    or set back since: it says nothing of what is in the file.

    Args:
        root: The directory.
        producer: Only of this one, and compacted files, which may hold its records; empty for
            all.

    Returns:
        Each segment once, folder by folder, in the order of producers and sequences.
    """
    return [
        segment
        for folder in list_folders(root)
        for segment in segments_of(folder, list_files(folder), producer)
    ]


def segments_of(folder: Path, names: Iterable[str], producer: str = "") -> list[Segment]:
    """Return the segments among the names in a folder, in the order of producers and sequences."""
    found = [
        segment
        for name in sorted(names)
        if name.startswith((producer, "compacted-"))
        and (segment := parse_segment(folder / name)) is not None
    ]
    return sorted(_drop_doubles(found), key=lambda each: (each.producer, each.first))


def _drop_doubles(found: list[Segment]) -> list[Segment]:
    """Of two files with the same lines keep the later form: growing, rotated, compressed."""
    lines = [each for each in found if each.ext != "parquet"]
    rotated = {(each.producer, each.first) for each in lines if not each.growing}
    names = {each.path.name for each in found}
    return [
        each
        for each in found
        if not (each.growing and (each.producer, each.first) in rotated)
        and not _is_compressed(each, names)
    ]


def list_files(folder: Path) -> set[str]:
    """List the names in a folder as `list_names` does, without those of pipes, sockets and devices.

    Who opens a pipe to read it may wait for ever.
    """
    return _list_steadily(folder, find_files)


def find_files(folder: Path) -> list[str]:
    """List the names in a folder as they are met, without those of pipes, sockets and devices.

    A link to nothing is among them, so that it is told.

    Raises:
        OSError: The folder is not there, or may not be read.
    """
    with os.scandir(folder) as found:
        return [entry.name for entry in found if _may_be_opened(entry)]


def _may_be_opened(entry: os.DirEntry[str]) -> bool:
    if entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False):
        return True
    path = entry.path
    return entry.is_symlink() and (
        os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path)
    )


def list_names(folder: Path) -> set[str]:
    """List the names in a folder; a file that is renamed or merged meanwhile is not missed."""
    return _list_steadily(folder, os.listdir)


def _list_steadily(folder: Path, listing: Callable[[Path], list[str]]) -> set[str]:
    """List a folder until it does not change meanwhile.

    A listing takes several system calls, between which a file may leave the part not yet read
    under its old name, and join the part already read under its new one; or the whole folder may
    be exchanged for another and emptied.  So a folder that changes meanwhile is read again.
    """
    names: set[str] | None = None
    try:
        before = _state(folder)
        for _ in range(_LISTINGS):
            found = set(listing(folder))
            after = _state(folder)
            if after == before and (found == names or not _may_repeat(after[2])):
                return found
            names, before = found, after
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return names or set()


def _state(folder: Path) -> tuple[int, int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino, status.st_mtime_ns


def is_coarse(changed: int) -> bool:
    """Return whether a file system seems to keep times in milliseconds, or even seconds."""
    return changed % 1_000_000 == 0


def _may_repeat(changed: int) -> bool:
    """Return whether the next change of a folder may bear the same time as the last one.

    A file server has a clock of its own, which may be behind ours or ahead.
    """
    return is_coarse(changed) or changed > time.time_ns() - _SETTLED


def read_ranges(segments: Iterable[Segment], producer: str) -> Ranges:
    """Return which records of a producer some segments hold.

    A name tells it, or the footer of a compacted file, or the lines of a file that grows.

    Raises:
        OSError: One cannot be read, or not be brought to the disk.
    """
    ranges = Ranges()
    for segment in segments:
        if segment.last is not None:
            ranges.add(segment.first, segment.last)
            continue
        if segment.compacted:
            for span in covered_by(segment.path).get(producer, ()):
                ranges.add(*span)
            continue
        with open(open_file(segment.path), "rb") as file:
            sync_file(file.fileno())  # its writer may have died before it did
            for run in scan_growing(file, segment.producer):
                ranges.add(run.first, run.last)
    return ranges


def scan_growing(lines: Iterable[bytes], producer: str) -> list[Run]:
    """Find the whole lines of a growing file and which records they are.

    Args:
        lines: The file, or its lines.
        producer: Whose file it is.
    """
    runs: list[Run] = []
    mark = b',"producer":"%b","sequence":' % producer.encode()
    start = 0
    for line in lines:
        end = start + len(line)
        sequence = _find_sequence(line, mark)
        if sequence is not None:
            if runs and (runs[-1].last + 1, runs[-1].end) == (sequence, start):
                runs[-1] = runs[-1]._replace(last=sequence, end=end)
            else:
                runs.append(Run(sequence, sequence, start, end))
        start = end
    return runs


def _find_sequence(line: bytes, mark: bytes) -> int | None:
    """Return the sequence at the end of a line; None where the line is not whole."""
    head, _, tail = line.rpartition(mark)
    number = tail[:-2]
    if head[:1] == b"{" and tail[-2:] == b"}\n" and number.isdigit() and b"\0" not in line:
        return int(number)
    return None


# ------------------------------------------------------------------ cleaning


def clean_folder(folder: Path) -> None:
    """Remove what crashes left: temporary files, and lines that were compressed already."""
    with contextlib.suppress(OSError):
        names = set(os.listdir(folder))
        for path in map(folder.joinpath, names):
            segment = parse_segment(path)
            if _is_compressed(segment, names) if segment else _is_left_over(path):
                with contextlib.suppress(OSError):
                    os.unlink(path)


def _is_left_over(path: Path) -> bool:
    return is_temporary(path.name) and is_left_over(path)


def _is_compressed(segment: Segment, names: set[str]) -> bool:
    """Return whether a rotated file stands beside its compressed form, which is whole."""
    compressed = (f"{segment.path.name}.{suffix}" for suffix in ("zst", "gz"))
    return segment.ext == "jsonl" and not segment.growing and not names.isdisjoint(compressed)
