"""Take over the journals of processes that died.

Whoever gets the lock of a state file whose owner is gone has the journal, until it is settled and
removed, or until this process ends, too; then the next one continues.  The journal of a living
owner is never touched.  Where the state file is lost, the locks of the segments show whether the
owner lives.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from logbatch.disk import create_file, is_left_over, is_locked, make_directory
from logbatch.identity import Ranges
from logbatch.journal.crashes import collect_crashes
from logbatch.journal.framing import count_lines
from logbatch.journal.journal import Journal
from logbatch.journal.maker import LARGEST
from logbatch.journal.names import (
    find_journals,
    find_new_states,
    segment_path,
    spare_path,
    state_path,
)
from logbatch.journal.reports import OnTrouble
from logbatch.journal.salvage import repair
from logbatch.journal.segment import Write, read_part
from logbatch.journal.state import Position, Slot, StateFile, read_state

_SHORTEST = 32  # bytes; every line is longer
_UNREADABLE = (errno.EIO, errno.ELOOP, errno.EISDIR, errno.EBADMSG, getattr(errno, "EUCLEAN", 117))


class OrphanSegment:
    """The lines that a process left in one file when it died."""

    loose = True
    sealed = True

    def __init__(self, index: int, path: Path, end: int) -> None:
        self.index = index
        self.path: Path | None = path
        self.size = end
        self.first: int | None = None
        self.write: Write = self._refuse
        self.position: Callable[[], int] = self.end
        self._path = path

    def _refuse(self, line: bytes) -> object:
        raise ValueError("the journal of a process that died takes no lines")

    def end(self) -> int:
        return self.size

    def seal(self) -> None:
        return

    def read(self, start: int, stop: int) -> bytes:
        return read_part(self._path, start, stop)

    def sync(self) -> None:
        return

    def cut_off(self) -> int | None:
        return None  # what is missing is read as blank lines

    def shorten(self, end: int) -> None:
        return

    def copy_to(self, path: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))  # it was the only one

    def kept(self) -> bool:
        return self._path.exists()

    def release(self) -> None:
        return

    def abandon(self) -> None:
        return


def adopt(
    directory: Path,
    *,
    published: Callable[[str], Ranges] = lambda producer: Ranges(),
    on_trouble: OnTrouble = lambda kind, text: None,
) -> Iterator[Journal]:
    """Take over, one after the other, the journals of owners that are gone.

    Args:
        directory: Where the journals are.
        published: Which of a producer's records are known to be at the destination.
        on_trouble: Called (kind, text) about damage; it must not raise.

    Yields:
        Journals to be read only; close each when it is settled, or to leave it to the next.
        Each holds a descriptor, so take no more at a time than will be sent soon.
    """
    _sweep(directory)
    _collect_crashes(directory, on_trouble)
    for producer in find_journals(directory):
        state = _take_over(directory, producer)
        if state is None:
            continue
        journal = None
        try:
            journal = _resume(directory, producer, state, published(producer), on_trouble)
        except OSError as error:
            on_trouble(
                "journal",
                f"cannot take over the journal of {producer} ({error}); its events stay in"
                f" {directory}, and it is tried again",
            )
        finally:
            if journal is None:
                state.close(remove=False)
        if journal is not None:
            yield journal


def _collect_crashes(directory: Path, on_trouble: OnTrouble) -> None:
    """Make journals of what processes that crashed left, to be taken over like others."""
    try:
        collect_crashes(directory)
    except OSError as error:
        text = f"cannot read in {directory} what a process that crashed has left ({error})"
        on_trouble("journal", f"{text}; it stays there, and is tried again")


class LeftJournal(NamedTuple):
    """A journal that a process left, as it is seen from outside.

    Attributes:
        settled: The sequence up to which it is settled.
        held: Whether somebody has taken it over, or is about to.
    """

    settled: int
    held: bool


def find_left(directory: Path) -> dict[str, LeftJournal]:
    """Find the journals that processes left, those that others have taken over as well.

    The journal of a living owner is told from one that a living process has taken over by its
    segments: only an owner locks those.
    """
    found = {}
    for producer in find_journals(directory):
        owner, slot = read_state(state_path(directory, producer))
        held = is_locked(state_path(directory, producer))
        left = held or owner is None or owner.gone() or (slot is not None and slot.closed)
        if left and not _is_in_use(directory, producer):
            found[producer] = LeftJournal(slot.settled.sequence if slot is not None else 0, held)
    return found


def _sweep(directory: Path) -> None:
    """Remove state files of processes that died before they gave them their name."""
    with contextlib.suppress(OSError):
        for path in find_new_states(directory):
            if is_left_over(path):
                path.unlink(missing_ok=True)


def _take_over(directory: Path, producer: str) -> StateFile | None:
    path = state_path(directory, producer)
    if not path.exists() and not _restore_state(directory, producer):
        return None
    state = StateFile.take_over(path)
    if state is not None and state.nameless and _is_in_use(directory, producer):
        state.close(remove=False)
        return None
    return state


def _restore_state(directory: Path, producer: str) -> bool:
    """Create an empty state file for segments that have lost theirs, if they are still there."""
    if not find_journals(directory).get(producer) or _is_in_use(directory, producer):
        return False
    with contextlib.suppress(OSError):  # another process was first, or nothing can be written
        os.close(create_file(state_path(directory, producer)))
    return True


def _is_in_use(directory: Path, producer: str) -> bool:
    """Return whether somebody has the lock of a segment, which is as good as the state's."""
    indexes = find_journals(directory).get(producer, [])
    return any(is_locked(segment_path(directory, producer, index)) for index in indexes)


def _resume(
    directory: Path, producer: str, state: StateFile, known: Ranges, on_trouble: OnTrouble
) -> Journal:
    spare_path(directory, producer).unlink(missing_ok=True)
    segments = []
    for index in find_journals(directory).get(producer, []):
        path = segment_path(directory, producer, index)
        if index < state.slot.settled.segment and state.slot.turn >= 0:
            path.unlink(missing_ok=True)  # it was settled; the owner died before removing it
        elif (end := _repair(path, directory / "damaged", on_trouble)) is not None:
            segments.append(OrphanSegment(index, path, end))
    slot = _start(state.slot, segments, known)
    # Only now: what raises above leaves the journal to others, under the name of the dead owner.
    state.own()
    state.write(slot._replace(closed=False))
    return Journal.resume(directory, producer, state, segments)


def _repair(path: Path, aside: Path, on_trouble: OnTrouble) -> int | None:
    """Repair a segment and return its end; None if it cannot be read and was moved aside."""
    try:
        end, damaged = repair(path, aside)
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        make_directory(aside)
        path.rename(aside / path.name)
        on_trouble(
            "damaged",
            f"cannot read the journal file {path.name} ({error.strerror}); its events are not"
            f" delivered, and it was moved to {aside}",
        )
        return None
    if damaged:
        places = "1 place" if damaged == 1 else f"{damaged} places"
        on_trouble(
            "damaged",
            f"the journal file {path.name} is damaged in {places}; the events there are lost, what"
            f" is left of them is kept in {aside}, and all others are delivered",
        )
    return end


def _start(slot: Slot, segments: list[OrphanSegment], known: Ranges) -> Slot:
    """Decide where to go on, after damage.

    Where the state was lost, everything is read again and what is published is left out by its
    number; that holds if the first segment is there, else the numbers begin behind all that can
    have been used.

    Where lines of the batch that was being sent are lost, those left keep the last of its numbers:
    so none is used again that the destination may have seen.  Some of its records may be published
    already (always the first ones); as many lines are left out.
    """
    if slot.turn < 0:
        lowest = segments[0].index if segments else 0
        used = max((last + 1 for _, last in known), default=lowest * (LARGEST // _SHORTEST))
        begin = Position(lowest, 0, used if lowest else 0)
        return Slot(0, begin, begin)
    settled, sending = slot.settled, slot.sending
    if sending.segment != settled.segment or sending.offset <= settled.offset:
        return slot
    batch = b""
    for segment in segments:
        if segment.index == settled.segment and settled.offset < segment.end():
            batch = segment.read(settled.offset, min(sending.offset, segment.end()))
    left = count_lines(batch, True)
    lost = sending.sequence - settled.sequence - left
    if not lost:
        return slot
    skip = _count_published(batch, settled.sequence, lost, known)
    offset = settled.offset + _find_line(batch, skip)
    sequence = sending.sequence - left + skip
    return slot._replace(settled=Position(settled.segment, offset, sequence))


def _count_published(batch: bytes, first: int, lost: int, known: Ranges) -> int:
    """Return how many of the lines left of a batch are published, `lost` of it being lost."""
    holes = known.missing(first, first + count_lines(batch, True) + lost - 1)
    published = holes[0][0] - first if holes else count_lines(batch, True) + lost
    before = count_lines(batch[: _find_gap(batch)], True)  # these have their numbers still
    return published if published <= before else max(before, published - lost)


def _find_gap(batch: bytes) -> int:
    """Return where the first blank line begins; the length if there is none."""
    if batch.startswith(b"\n"):
        return 0
    found = batch.find(b"\n\n")
    return len(batch) if found < 0 else found + 1


def _find_line(batch: bytes, index: int) -> int:
    """Return where the line of an index begins; the length if there are fewer lines."""
    at = 0
    for piece in batch.splitlines(keepends=True):
        if piece != b"\n":
            if index == 0:
                return at
            index -= 1
        at += len(piece)
    return at
