"""What is said of events that find no room, and, when a process ends, of those that are left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from logbatch.journal import Left

_FULL = (
    "the journal is full (max_journal_bytes) of events that the destination has not accepted: {}"
    " events are lost until it accepts some; stats().dropped counts them; check the destination"
)
_NO_FILE = (
    "cannot create a journal file in {}, and the buffer in memory is full: new events are lost"
    " until a file can be created or the destination accepts some; stats().dropped counts them;"
    " free disk space or fix permissions"
)


def describe_loss(reason: str, directory: Path | None, which: str = "new") -> str:
    """Describe why events are lost, and until when.

    Args:
        reason: As `JournalFull` says it.
        directory: Where journals are.
        which: Of the events.
    """
    if reason == "no journal file":
        return _NO_FILE.format(directory)
    return _FULL.format(which)


def describe_left(left: Sequence[Left], directory: Path | None) -> str | None:
    """Describe in one sentence what becomes of them; None where there are none.

    Args:
        left: What the journals of one batcher are left with.
        directory: Where these are; None for memory.
    """
    kept = sum(each.in_files for each in left)
    lost = sum(each.in_memory for each in left)
    if not kept and not lost:
        return None
    parts = [f"{_counted(kept + lost)} not delivered in time"]
    if kept:
        many = f"{kept:,} " if lost else ""
        parts.append(
            f"{many}kept in {directory}; the next process that logs to the same place, or"
            f" `logbatch recover`, delivers what is there{_as_whom(left)}"
        )
    if lost and kept:
        parts.append(f"{lost:,} lost, as {'it was' if lost == 1 else 'they were'} in memory only")
    elif lost:
        parts.append(f"lost, as {'it was' if lost == 1 else 'they were'} in memory only")
    return "; ".join(parts)


def _as_whom(left: Sequence[Left]) -> str:
    """Say who can read the files, where that is another user than the one we are now."""
    owners = {each.owner for each in left if each.in_files and each.owner is not None}
    mine = os.geteuid() if hasattr(os, "geteuid") else None
    others = [f"uid {owner}" if owner else "root" for owner in owners if mine not in (None, owner)]
    return f", if it runs as {' or '.join(others)}, whose files these are" if others else ""


def _counted(events: int) -> str:
    return "1 event was" if events == 1 else f"{events:,} events were"
