"""Take over the journals of processes that died, and look into those of processes that live.

Taking over: whoever gets the lock of a state file whose owner is gone has the journal, until it is
settled and removed or its own process ends too; then the next one continues.  The journal of a
living owner is never touched, only read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from logbatch.identity import Ranges, is_producer
from logbatch.journal.core import Journal, _count, _without_blanks, state_path
from logbatch.journal.salvage import content_end, damaged_spans, live_lines, repair
from logbatch.journal.segment import OrphanSegment
from logbatch.journal.state import Position, Slot, StateFile, read_state

_SEGMENT = re.compile(r"([0-9a-z]{26})-(0|[1-9][0-9]{0,9})\.journal")

Trouble = Callable[[str, str], object]


class Pending(NamedTuple):
    """What waits in one journal.

    Attributes:
        producer: Whose journal it is.
        first: Sequence of the first line.
        lines: The lines, each ended by a newline.
        pid: The owner's process id, where that is known.
        alive: Whether the owner is there.
    """

    producer: str
    first: int
    lines: bytes
    pid: int | None
    alive: bool


def _segment_files(directory: Path) -> dict[str, dict[int, Path]]:
    """Find the segments: producer -> index -> path."""
    found: dict[str, dict[int, Path]] = {}
    try:
        names = os.listdir(directory)
    except OSError:
        return found
    for name in names:
        match = _SEGMENT.fullmatch(name)
        if match and is_producer(match[1]):
            found.setdefault(match[1], {})[int(match[2])] = directory / name
        elif name.endswith(".state") and is_producer(name[:-6]):
            found.setdefault(name[:-6], {})
    return {producer: found[producer] for producer in sorted(found)}


def adopt(
    directory: Path,
    *,
    published: Callable[[str], Ranges] = lambda producer: Ranges(),
    on_trouble: Trouble = lambda kind, text: None,
) -> Iterator[Journal]:
    """Take over, one after the other, the journals of owners that are gone.

    Args:
        directory: Where the journals are.
        published: Which of a producer's records are known to be at the destination.
        on_trouble: Told (kind, text) about damage; it must not raise.

    Yields:
        Journals to be read only; close each when it is settled, or to leave it to the next.
    """
    for producer in _segment_files(directory):
        path = state_path(directory, producer)
        if not path.exists():
            _create_missing_state(path)
        state = StateFile.take_over(path)
        if state is not None:
            yield _resume(directory, producer, state, published, on_trouble)


def _create_missing_state(path: Path) -> None:
    """Give segments without a state file (it was deleted) a new, unlocked one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return  # another process was first, or nothing can be written here
    os.close(descriptor)


def _resume(
    directory: Path,
    producer: str,
    state: StateFile,
    published: Callable[[str], Ranges],
    on_trouble: Trouble,
) -> Journal:
    state.own()
    known = published(producer)
    segments = []
    for index, path in sorted(_segment_files(directory).get(producer, {}).items()):
        try:
            content, damaged = repair(path, directory / "damaged")
        except OSError as error:
            on_trouble("journal", f"{path.name} cannot be read: {error.strerror}")
            continue
        if damaged:
            text = f"{path.name}: {damaged} damaged lines were kept in {directory / 'damaged'}"
            on_trouble("damaged", text)
        segments.append(OrphanSegment(index, path, len(content)))
    state.slot = _start(state.slot, segments, known)
    return Journal.resume(directory, producer, state, segments)


def _start(slot: Slot, segments: list[OrphanSegment], known: Ranges) -> Slot:
    """Decide where to go on.

    Where the state was lost, everything is read again and what is published is left out by its
    number; that holds if the first segment is there, else the numbers begin behind the published.
    Where lines of the batch that was being sent are damaged, it was either published whole before
    (skip it) or not at all (number what is left anew).
    """
    if slot.turn < 0:
        lowest = segments[0].index if segments else 0
        behind = max((last + 1 for _, last in known), default=0) if lowest else 0
        return Slot(0, Position(lowest, 0, behind), Position(lowest, 0, behind))
    for segment in segments:
        settled, sending = slot.settled, slot.sending
        if segment.index == sending.segment == settled.segment:
            left = _count(segment.read(settled.offset, sending.offset), True)
            if left != sending.sequence - settled.sequence:
                if known.missing(settled.sequence, sending.sequence - 1) != [
                    (settled.sequence, sending.sequence - 1)
                ]:
                    return slot._replace(settled=sending)
                return slot._replace(
                    sending=sending._replace(sequence=settled.sequence + left)
                )
    return slot


def read_pending(directory: Path) -> list[Pending]:
    """Read what waits in the journals of a directory, at this instant, without a lock.

    Lines that are published at the same time may be among it: list the published files
    afterwards and leave out what they hold.

    Returns:
        One entry for each journal that has lines, in the order of producers.  What vanishes
        while it is read was published; what is damaged is left out.
    """
    found = (_read_one(directory, producer) for producer in _segment_files(directory))
    return [pending for pending in found if pending is not None and pending.lines]


def _read_one(directory: Path, producer: str) -> Pending | None:
    path = state_path(directory, producer)
    for _ in range(20):
        owner, slot = read_state(path)
        if slot is None:
            return None  # settled and gone; or lost, then whoever adopts it will say
        alive = owner is not None and not owner.gone()
        try:
            first, lines = _collect(directory, producer, slot, alive)
        except FileNotFoundError:
            continue
        if read_state(path)[1] == slot:
            return Pending(producer, first, lines, owner.pid if owner else None, alive)
    return None


def _collect(directory: Path, producer: str, slot: Slot, alive: bool) -> tuple[int, bytes]:
    first, pieces, sequence = slot.settled.sequence, [], slot.settled.sequence
    files = _segment_files(directory).get(producer, {})
    for index in sorted(files):
        if index < slot.settled.segment:
            continue
        if index == slot.following.segment > slot.settled.segment:
            if pieces:
                break  # lines were dropped in between: what follows is shown once these are out
            first = sequence = slot.following.sequence
        content = files[index].read_bytes()
        lines = live_lines(content) if alive else _sound_lines(content)
        start = slot.settled.offset if index == slot.settled.segment else 0
        lines = _without_blanks(lines[start:])
        sequence += lines.count(b"\n")
        if lines:
            pieces.append(lines)
    return first, b"".join(pieces)


def _sound_lines(content: bytes) -> bytes:
    content = content[: content_end(content)]
    repaired = bytearray(content)
    for start, stop in damaged_spans(content):
        repaired[start:stop] = b"\n" * (stop - start)
    return bytes(repaired)
