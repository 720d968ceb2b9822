"""Which records were removed on purpose, because they were old: `.journal/retired.json`.

    {"retired": {"<producer>": [[first, last], …], …}, "seen": [first, last]}

A number that is in no file is a record that was lost, unless it stands here.  Only producers that
still have something in the directory are kept: of one that has nothing left there is no number that
could be missing.  So the file does not grow for ever.  `seen` is from when to when a retention run
has looked at the directory, in microseconds since 1970; see `logbatch.storage.policy`.

Whoever writes it has the maintenance lock, and writes before any file is removed.

A number that was never in a file, and of which those before and behind it were removed, stands here
too: what told why it is missing (that it was dropped, say) was removed with them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from logbatch.disk import open_file, publish, sync_directory
from logbatch.identity import LAST_SEQUENCE, Ranges, is_producer

NAME = "retired.json"


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
    try:
        with open(open_file(journal / NAME), "rb") as file:
            written = msgspec.json.decode(file.read(), type=_Written)
    except (FileNotFoundError, NotADirectoryError):
        return Retired({})
    except (msgspec.MsgspecError, ValueError) as error:
        raise DamagedNote(f"{journal / NAME}: {error}") from error
    ranges = {
        producer: Ranges(span for span in spans if 0 <= span[0] <= span[1] <= LAST_SEQUENCE)
        for producer, spans in written.retired.items()
        if is_producer(producer)
    }
    return Retired(ranges, written.seen)


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
    try:
        before = read_retired(journal)
    except DamagedNote:
        before = Retired({})
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
    if after != before:
        written = _Written({p: list(ranges) for p, ranges in after.ranges.items()}, after.seen)
        try:
            publish(journal / NAME, [msgspec.json.encode(written)])
            sync_directory(journal)
        except OSError as error:
            said = f"{error.strerror}, to note there what is to go; it stays until that can be"
            raise OSError(error.errno, said, str(journal / NAME)) from error


def _bridge(removed: Ranges, present: Ranges) -> Ranges:
    """Add what lies between, or before, records that were removed, and is in no file."""
    last = max((last for _, last in removed), default=-1)
    holes = [hole for hole in removed.missing(0, last) if present.missing(*hole) == [hole]]
    return Ranges([*removed, *holes])
