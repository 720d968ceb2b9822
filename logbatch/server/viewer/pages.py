"""The rows of a view: its first page, any other, and one record."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from logbatch.dataset.analysis.timeline import page as page_of
from logbatch.dataset.filter.completion import write_value
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.merge import ordered_rows
from logbatch.dataset.rows import Row, rows_of_table
from logbatch.dataset.snapshot import Snapshot
from logbatch.identity import Ranges
from logbatch.server.viewer.messages import Page, narrow
from logbatch.server.viewer.pinned import Pinned
from logbatch.server.viewer.room import Room
from logbatch.server.viewer.statistics import Asked, Statistics

NEAR = 20_000
"""Rows from the newest on that are found without statistics: by reading all that are newer."""

_SECONDS = 30.0  # that a page may take


class First(NamedTuple):
    """The first page.

    Attributes:
        rows: The newest rows, in the order of time.
        more: Whether there are others before them.
    """

    rows: Sequence[Row]
    more: bool


def first(room: Room, snapshot: Snapshot, asked: Asked, count: int) -> First:
    """Read the newest rows.

    Raises:
        DatasetError: The directory cannot be read.
        Stopped: Nobody wants them any more.
    """
    found = _newest(room, snapshot, asked, 0, count + 1)
    return First(found[:count][::-1], len(found) > count)


def near(room: Room, pinned: Pinned, asked: Asked, page: Page) -> list[Row]:
    """Read rows that are not far from the newest, in the order of time.

    Raises:
        DatasetError: The directory cannot be read.
        Stopped: Nobody wants them any more.
    """
    found = pinned.read(lambda now: _newest(room, now, asked, page.offset, page.count))
    return found[::-1]


def _newest(room: Room, snapshot: Snapshot, asked: Asked, offset: int, count: int) -> list[Row]:
    where = narrow(asked.where, asked.start, asked.end)
    limit = offset + count
    with room.engine.beside() as engine:
        rows = ordered_rows(
            room.source, snapshot, where, limit=limit, newest_first=True, engine=engine
        )
        return list(islice(rows, offset, limit))


def anywhere(
    room: Room,
    pinned: Pinned,
    asked: Asked,
    statistics: Statistics,
    page: Page,
    columns: Sequence[str],
) -> list[Row]:
    """Read rows from anywhere, in the order of time, by what is known of when they were.

    Args:
        room: Where they are.
        pinned: The records of the view.
        asked: What is shown of them.
        statistics: What is known of that.
        page: Which rows.
        columns: Fixed columns that are wanted of them.

    Raises:
        DatasetError: The directory cannot be read.
        QueryError: It takes too long.
        Stopped: Nobody wants them any more.
    """
    with room.engine.beside() as engine:
        table = pinned.read(
            lambda snapshot: page_of(
                room.source,
                room.copies.convert(snapshot),
                asked.where,
                columns,
                statistics.timeline,
                page.offset,
                page.count,
                engine,
                timeout=_SECONDS,
            )
        )
    return list(rows_of_table(table, columns))


def find_row(room: Room, producer: str, sequence: int) -> Row | None:
    """Read one record; None where it is not there.

    Raises:
        DatasetError: The directory cannot be read.
        Stopped: Nobody wants it any more.
    """
    snapshot = room.snapshot().within({producer: Ranges([(sequence, sequence)])})
    where = Filter.parse(f"producer={write_value(producer)} sequence={sequence}")
    with room.engine.beside() as engine:
        return next(ordered_rows(room.source, snapshot, where, engine=engine), None)
