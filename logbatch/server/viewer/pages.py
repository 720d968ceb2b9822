"""The rows of a view: its first page, and any other."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from logbatch.dataset.filter.completion import write_value
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.merge import ordered_rows
from logbatch.dataset.rows import Row
from logbatch.dataset.snapshot import Snapshot
from logbatch.identity import Ranges
from logbatch.server.viewer.room import Room


class First(NamedTuple):
    """The first page.

    Attributes:
        rows: The newest rows, in the order of time.
        more: Whether there are others before them.
    """

    rows: list[Row]
    more: bool


def first(room: Room, snapshot: Snapshot, where: Filter, count: int) -> First:
    """Read the newest rows.

    Raises:
        DatasetError: The directory cannot be read.
        Stopped: Nobody wants them any more.
    """
    found = _newest(room, snapshot, where, count + 1)
    return First(found[:count][::-1], len(found) > count)


def page(room: Room, snapshot: Snapshot, where: Filter, offset: int, count: int) -> list[Row]:
    """Read rows, in the order of time, of which so many are newer.

    Raises:
        DatasetError: The directory cannot be read.
        Stopped: Nobody wants them any more.
    """
    found = _newest(room, snapshot, where, offset + count)
    return found[offset:][::-1]


def find_row(room: Room, producer: str, sequence: int) -> Row | None:
    """Read one record; None where it is not there.

    Raises:
        DatasetError: The directory cannot be read.
        Stopped: Nobody wants it any more.
    """
    snapshot = room.snapshot().within({producer: Ranges([(sequence, sequence)])})
    where = Filter.parse(f"producer={write_value(producer)} sequence={sequence}")
    return next(ordered_rows(room.source, snapshot, where), None)


def _newest(room: Room, snapshot: Snapshot, where: Filter, limit: int) -> list[Row]:
    rows = ordered_rows(room.source, snapshot, where, limit=limit, newest_first=True)
    return list(islice(rows, limit))
