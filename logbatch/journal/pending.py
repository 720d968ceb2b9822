"""Read the journals of all processes, without a lock and without disturbing them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from logbatch.disk import open_file
from logbatch.journal.framing import without_blanks
from logbatch.journal.names import find_journals, segment_path, state_path
from logbatch.journal.salvage import content_end, find_damage
from logbatch.journal.state import Slot, read_state

_TRIES = 20  # while others settle, and remove, what is to be read
_CHUNK = 1 << 18


class Pending(NamedTuple):
    """The lines that wait in one journal.

    Attributes:
        producer: Whose journal it is.
        first: Sequence of the first line.
        lines: The lines, each ended by a newline.
        pid: The owner's process id, where that is known.
        alive: Whether the owner lives.
    """

    producer: str
    first: int
    lines: bytes
    pid: int | None
    alive: bool


def read_pending(directory: Path) -> list[Pending]:
    """Read what waits in the journals of a directory, at this instant, without a lock.

    Lines that are published at the same time may be among it: list the published files
    afterwards and leave out what they hold.

    Returns:
        One entry for each journal that has lines, in the order of producers.  What is removed
        while it is read was published; what is damaged is left out, and so are lines behind
        others that cannot be seen from here, because the process has them in memory.
    """
    found = (_read_one(directory, producer) for producer in find_journals(directory))
    return [pending for pending in found if pending is not None and pending.lines]


def _read_one(directory: Path, producer: str) -> Pending | None:
    path = state_path(directory, producer)
    for _ in range(_TRIES):
        owner, slot = read_state(path)
        if slot is None:
            return None  # settled and gone; or lost, which whoever takes it over reports
        alive = owner is not None and not owner.gone()
        try:
            first, lines = _read_from(directory, producer, slot, alive)
        except FileNotFoundError:
            continue  # settled meanwhile: look where the first line is now
        except OSError:
            return None
        if lines or read_state(path)[1] == slot:
            return Pending(producer, first, lines, owner.pid if owner else None, alive)
    return None


def _read_from(directory: Path, producer: str, slot: Slot, alive: bool) -> tuple[int, bytes]:
    """Read the lines behind the settled ones; if there are none, those behind what was dropped."""
    indexes = find_journals(directory).get(producer, [])
    near, far = _split(indexes, slot, alive)
    with contextlib.ExitStack() as opened:
        files = _open_all(opened, directory, producer, near)
        if not alive and read_state(state_path(directory, producer))[1] != slot:
            raise FileNotFoundError  # somebody took it over, and may have removed the first file
        offset = slot.settled.offset if near[:1] == [slot.settled.segment] else 0
        lines = _read_files(files, offset, alive)
        if lines or not far:
            return slot.settled.sequence, lines
        files = _open_all(opened, directory, producer, far)
        return slot.following.sequence, _read_files(files, 0, alive)


def _split(indexes: list[int], slot: Slot, alive: bool) -> tuple[list[int], list[int]]:
    """Choose the segments to read: those up to where some were dropped, and those behind."""
    settled, following = slot.settled.segment, slot.following.segment
    stop = following if following > settled else 1 << 62
    near = [index for index in indexes if settled <= index < stop]
    far = [index for index in indexes if stop <= index]
    if alive:  # what is not there now is in memory, or was made while the names were listed
        return _without_holes(near, settled), _without_holes(far, stop)
    return near, far


def _without_holes(indexes: list[int], first: int) -> list[int]:
    return [index for place, index in enumerate(indexes, first) if index == place]


def _open_all(
    opened: contextlib.ExitStack, directory: Path, producer: str, indexes: list[int]
) -> list[int]:
    """Open the segments; up to one that is there and cannot be opened."""
    files: list[int] = []
    for index in indexes:
        try:
            descriptor = open_file(segment_path(directory, producer, index))
        except FileNotFoundError:
            raise
        except OSError:
            break
        opened.callback(os.close, descriptor)
        files.append(descriptor)
    return files


def _read_files(files: list[int], offset: int, alive: bool) -> bytes:
    """Read from `offset` in the first file to the end of the last.

    The last is read first: when a line stands in a segment, those before it are complete.
    """
    read = _read_live if alive else _read_sound
    pieces = [read(file, 0 if index else offset) for index, file in reversed([*enumerate(files)])]
    return b"".join(without_blanks(piece) for piece in reversed(pieces))


def _read_live(descriptor: int, start: int) -> bytes:
    """Read what its owner has written up to this moment: it ends at the first NUL."""
    pieces = []
    while chunk := os.pread(descriptor, _CHUNK, start):
        content, nul, _ = chunk.partition(b"\0")
        pieces.append(content)
        start += len(chunk)
        if nul:
            break
    lines = b"".join(pieces)
    return lines[: lines.rfind(b"\n") + 1]


def _read_sound(descriptor: int, start: int) -> bytes:
    """Read what a process that died left, but not what is damaged."""
    stop = content_end(descriptor)
    pieces = []
    for bad, behind in [*find_damage(descriptor, start, stop), (stop, stop)]:
        pieces.append(os.pread(descriptor, max(bad - start, 0), start))
        start = behind
    return b"".join(pieces)
