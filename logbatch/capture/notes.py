"""How far the output of a run has been taken, and how the run ended: a file in its spool.

It has two slots, which are written in turn, so that one is whole; each is a line of JSON behind its
checksum.  They are there from the beginning: a disk that is full takes them all the same.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from logbatch.capture.chunk import STREAMS
from logbatch.disk import create_file, open_file, write_all

_FILE = "notes"
_SLOT = 1024  # bytes, of which the first four are the checksum


class Mark(NamedTuple):
    """How far a stream has become events.

    Attributes:
        offset: Of the first byte that has not.
        line: The number of the line that begins there.
    """

    offset: int = 0
    line: int = 1


class Ending(NamedTuple):
    """How a run ended.

    Attributes:
        at: When, in seconds since the epoch; None where nobody saw it.
        code: Its exit status, -n where signal n ended it; None where nobody knows.
        seconds: How long it took; None where nobody knows.
        lost: How many bytes of its output could not be kept.
    """

    at: float | None = None
    code: int | None = None
    seconds: float | None = None
    lost: int = 0


def _no_marks() -> dict[str, Mark]:
    return dict.fromkeys(STREAMS, Mark())


def _no_lines() -> dict[str, int]:
    return dict.fromkeys(STREAMS, 0)


class Notes(msgspec.Struct, frozen=True):
    """What is noted of a run.

    Attributes:
        marks: How far each stream has become events.
        after: The last line of each stream that is in an event, where that is behind the mark.
        seen: When the process that fills the spool was last seen alive, in seconds since the epoch.
        is_told: Whether there is an event that says how the run ended.
        ending: How it ended; None where it has not.
        turn: How often something was noted.
    """

    marks: Mapping[str, Mark] = msgspec.field(default_factory=_no_marks)
    after: Mapping[str, int] = msgspec.field(default_factory=_no_lines)
    seen: float = 0.0
    is_told: bool = False
    ending: Ending | None = None
    turn: int = 0


def create_notes(spool: Path) -> None:
    """Create the file, with nothing noted.

    Raises:
        OSError: It cannot be created.
    """
    descriptor = create_file(spool / _FILE)
    try:
        write_all(descriptor, 2 * _slot(Notes()))
    finally:
        os.close(descriptor)


def read_notes(spool: Path) -> Notes:
    """Return what was noted last; nothing where that cannot be read."""
    with contextlib.suppress(OSError), NotesFile(spool) as file:
        return file.read()
    return Notes()


class NotesFile:
    """The file, opened.

    Args:
        spool: The directory of the spool.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, spool: Path) -> None:
        self._file = open_file(spool / _FILE, os.O_RDWR)

    def read(self) -> Notes:
        """Return what was noted last.

        Raises:
            OSError: It cannot be read.
        """
        slots = [os.pread(self._file, _SLOT, number * _SLOT) for number in range(2)]
        return max(map(_parse, slots), key=lambda notes: notes.turn)

    def write(self, notes: Notes) -> None:
        """Replace what was noted before; its turn must be one higher.

        Raises:
            OSError: The disk does not take it.
        """
        os.pwrite(self._file, _slot(notes), notes.turn % 2 * _SLOT)

    def __enter__(self) -> NotesFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def _slot(notes: Notes) -> bytes:
    line = msgspec.json.encode(notes).ljust(_SLOT - 5) + b"\n"
    return zlib.crc32(line).to_bytes(4, "little") + line


def _parse(slot: bytes) -> Notes:
    checksum, line = slot[:4], slot[4:]
    if zlib.crc32(line) == int.from_bytes(checksum, "little"):
        with contextlib.suppress(msgspec.MsgspecError):  # of another version
            return msgspec.json.decode(line, type=Notes)
    return Notes()
