"""The names of a journal's files, said once.

    <producer>.state              who owns the journal, and how far it is settled
    <producer>-<index>.journal    a segment
    <producer>.spare              a segment that has no index yet
    .<producer>.<number>.new      a state file that is being written

All stand in one directory, together with those of other producers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from logbatch.identity import is_producer

_SEGMENT = re.compile(r"([0-9a-z]{26})-(0|[1-9][0-9]{0,9})\.journal")
_NEW_STATE = re.compile(r"\.([0-9a-z]{26})\.[0-9]+\.new")

_attempts = count()


def state_path(directory: Path, producer: str) -> Path:
    """Return where the state of a producer's journal is kept."""
    return directory / f"{producer}.state"


def new_state_path(state: Path) -> Path:
    """Return where a state file is written before it gets its name.

    It is numbered: a signal handler that logs may need one while another is being written.
    """
    return state.with_name(f".{state.stem}.{next(_attempts)}.new")


def segment_path(directory: Path, producer: str, index: int) -> Path:
    """Return where a segment of a producer's journal is kept."""
    return directory / f"{producer}-{index}.journal"


def spare_path(directory: Path, producer: str) -> Path:
    """Return where a segment is kept before it gets an index."""
    return directory / f"{producer}.spare"


def find_journals(directory: Path) -> dict[str, list[int]]:
    """Find what is there: producer -> indexes of its segments."""
    found: dict[str, list[int]] = {}
    try:
        names = os.listdir(directory)
    except OSError:
        return found
    for name in names:
        match = _SEGMENT.fullmatch(name)
        if match and is_producer(match[1]):
            found.setdefault(match[1], []).append(int(match[2]))
        elif name.endswith(".state") and is_producer(name[:-6]):
            found.setdefault(name[:-6], [])
    return {producer: sorted(found[producer]) for producer in sorted(found)}


def find_new_states(directory: Path) -> Iterator[Path]:
    """Return the state files that have not got their name yet.

    Raises:
        OSError: The directory cannot be read.
    """
    return (path for path in directory.glob(".*.new") if _NEW_STATE.fullmatch(path.name))
