"""Which records were removed on purpose, because they were old: `.journal/retired.json`.

    {"retired": {"<producer>": [[first, last], …], …}, "seen": [first, last]}

A number that is in no file is a record that was lost, unless it stands here.  Only producers that
still have something in the directory are kept: of one that has nothing left there is no number that
could be missing.  So the file does not grow for ever.  `seen` is from when to when a retention run
has looked at the directory, in microseconds since 1970; see `logbatch.storage.policy`.

Whoever writes it has the maintenance lock, and writes before any file is removed.

    .journal/<name of a file>.retired

On a disk that is full to the last byte there is no room for a note, but to rename a file needs
none: one of the files that go is put aside here (`put_aside`), where its name, or what is written
over its beginning, is the note.  All else of it is cut off, which makes room; it goes as soon as
the other note says it.

A number that was never in a file, and of which those before and behind it were removed, stands here
too: what told why it is missing (that it was dropped, say) was removed with them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from logbatch.disk import open_file, publish, sync_directory, sync_file, write_all
from logbatch.identity import LAST_SEQUENCE, Ranges, is_producer
from logbatch.storage.coverage import covered_by
from logbatch.storage.segments import parse_segment, read_ranges

NAME = "retired.json"
ASIDE = ".retired"
"""What is added to the name of a file that was put aside."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk that is full."""

_MOST = 1 << 20  # bytes that are read of a note in a file that was put aside


class _Written(msgspec.Struct):
    retired: dict[str, list[tuple[int, int]]]
    seen: tuple[int, int] | None = None


class Retired(NamedTuple):
    """What was removed, and when there were looks.

    Attributes:
        ranges: Producer -> its records that were removed.
        seen: From when to when looks were made; None for never.
    """

    ranges: Mapping[str, Ranges]
    seen: tuple[int, int] | None = None


class DamagedNote(ValueError):
    """The file that says what was removed cannot be understood."""


def read_retired(journal: Path) -> Retired:
    """Read what was removed.

    Args:
        journal: The directory of the journals.

    Raises:
        DamagedNote: The file is there, and cannot be understood.
        OSError: It cannot be read.
    """
    ranges = _join(map(_read_aside, _list_aside(journal)))  # first: they go once it is noted
    try:
        with open(open_file(journal / NAME), "rb") as file:
            written = msgspec.json.decode(file.read(), type=_Written)
    except (FileNotFoundError, NotADirectoryError):
        return Retired(ranges)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DamagedNote(f"{journal / NAME}: {error}") from error
    return Retired(_join([ranges, _ranges_of(written)]), written.seen)


def _ranges_of(written: _Written) -> dict[str, Ranges]:
    return {
        producer: Ranges(span for span in spans if 0 <= span[0] <= span[1] <= LAST_SEQUENCE)
        for producer, spans in written.retired.items()
        if is_producer(producer)
    }


def _join(notes: Iterable[Mapping[str, Ranges]]) -> dict[str, Ranges]:
    found: dict[str, Ranges] = {}
    for note in notes:
        for producer, ranges in note.items():
            found[producer] = Ranges([*found.get(producer, ()), *ranges])
    return found


def note_retired(
    journal: Path,
    removed: Mapping[str, Ranges],
    find_present: Callable[[Collection[str]], Mapping[str, Ranges]],
    seen: tuple[int, int] | None = None,
) -> None:
    """Note that records are about to be removed; when this returns, the note is on the disk.

    Args:
        journal: The directory of the journals, which is there.
        removed: Producer -> its records.
        find_present: Returns those of some producers that have anything in the directory, and
            their records in files.
        seen: From when to when looks were made; None leaves it as it is.

    Raises:
        OSError: It cannot be written.
    """
    aside = _list_aside(journal)
    try:
        before = read_retired(journal)
    except DamagedNote:
        before = Retired(_join(map(_read_aside, aside)))
        with contextlib.suppress(FileNotFoundError):
            os.rename(journal / NAME, journal / f"damaged-{NAME}")
    present = find_present({*before.ranges, *removed})
    joined = {
        producer: _bridge(
            Ranges([*before.ranges.get(producer, ()), *removed.get(producer, ())]),
            present[producer],
        )
        for producer in sorted(present)
    }
    after = Retired({p: ranges for p, ranges in joined.items() if ranges}, seen or before.seen)
    if after != before or aside:
        written = _Written({p: list(ranges) for p, ranges in after.ranges.items()}, after.seen)
        try:
            publish(journal / NAME, [msgspec.json.encode(written)])
            sync_directory(journal)
        except OSError as error:
            said = f"{error.strerror}, to note there what is to go; it stays until that can be"
            raise OSError(error.errno, said, str(journal / NAME)) from error
        for path in aside:
            os.unlink(path)


# ------------------------------------------------------------------ on a full disk


def put_aside(path: Path, ranges: Mapping[str, Ranges], journal: Path) -> None:
    """Take a file away such that it is noted which records were in it, and that needs no room.

    Args:
        path: The file.
        ranges: Its records.
        journal: The directory of the journals, which is there.

    Raises:
        OSError: It cannot be done.  Where the file has its name no more, it is noted.
    """
    aside = journal / f"{path.name}{ASIDE}"
    os.rename(path, aside)
    sync_directory(journal)
    sync_directory(path.parent)
    descriptor = open_file(aside, os.O_RDWR)
    try:
        note = b""
        if _of_name(aside) is None:  # the blocks that it is written to are there already
            note = msgspec.json.encode(_Written({p: list(r) for p, r in ranges.items()})) + b"\n"
            if len(note) >= os.fstat(descriptor).st_size:
                return
            write_all(descriptor, note)
            sync_file(descriptor)
        os.ftruncate(descriptor, len(note))
    finally:
        os.close(descriptor)


def _list_aside(journal: Path) -> list[Path]:
    try:
        names = os.listdir(journal)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [journal / name for name in sorted(names) if name.endswith(ASIDE)]


def _read_aside(path: Path) -> Mapping[str, Ranges]:
    """Return which records were in a file that was put aside, however far that went."""
    try:
        named = _of_name(path)
        if named is not None:
            return named
        with open(open_file(path), "rb") as file:
            line = file.read(_MOST).partition(b"\n")[0]
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            return _ranges_of(msgspec.json.decode(line, type=_Written))
        return covered_by(path)
    except OSError:
        return {}  # it has just been noted elsewhere


def _of_name(path: Path) -> Mapping[str, Ranges] | None:
    """Return what the name tells; None where it is that of a compacted file."""
    segment = parse_segment(path.with_name(path.name.removesuffix(ASIDE)))
    if segment is None or segment.last is None:
        return None
    return {segment.producer: read_ranges([segment], segment.producer)}


def _bridge(removed: Ranges, present: Ranges) -> Ranges:
    """Add what lies between, or before, records that were removed, and is in no file."""
    last = max((last for _, last in removed), default=-1)
    holes = [hole for hole in removed.missing(0, last) if present.missing(*hole) == [hole]]
    return Ranges([*removed, *holes])
