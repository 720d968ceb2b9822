"""Records as rows of a SQLite table: `events`, with the columns of a record.

A timestamp is a text of 26 characters in UTC, `2026-11-21 10:00:00.123456`: it sorts, compares with
what SQLite's date functions return, and these take it.  Producer and sequence are the primary key:
whatever is inserted again is there once.

Rows are inserted some hundred at a time by one statement.  SQLite works without the interpreter's
lock, and has to wait for it after each statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec

from logbatch.identity import Ranges
from logbatch.storage.columns import COLUMNS, FIELDS
from logbatch.storage.line import Line, salvage

_TYPES = {"int32": "INTEGER", "int64": "INTEGER", "string": "TEXT", "timestamp": "TEXT"}
_TOGETHER = 500  # rows of a statement
_INT32 = range(-(1 << 31), 1 << 31)
_INT64 = range(-(1 << 63), 1 << 63)

_STORED = (*FIELDS, "producer", "sequence")  # in the order of a row
_BETWEEN = FIELDS[1:-1]  # all fields but the timestamp, which comes first, and the attributes
_get_between = attrgetter(*_BETWEEN)
_get_numbers = attrgetter("levelno", "lineno", "process", "thread")
_decode = msgspec.json.Decoder(Line).decode

_DECLARED = ", ".join(
    f"{name} {_TYPES[column.type]}{' NOT NULL' if column.required else ''}"
    for name, column in COLUMNS.items()
)
_TABLE = f"CREATE TABLE IF NOT EXISTS events ({_DECLARED}, PRIMARY KEY (producer, sequence))"
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS events_timestamp ON events (timestamp)",
    "CREATE INDEX IF NOT EXISTS events_level ON events (level, timestamp)",
)
_INSERT = f"INSERT INTO events ({', '.join(_STORED)}) VALUES "
_ROW = f"({', '.join('?' * len(_STORED))})"
_TWICE = " ON CONFLICT (producer, sequence) DO NOTHING"
_RUNS = """
    SELECT min(sequence), max(sequence) FROM (
        SELECT sequence, sequence - row_number() OVER (ORDER BY sequence) AS run
        FROM events WHERE producer = ?
    ) GROUP BY run
"""

Row = tuple[Any, ...]


def prepare(connection: sqlite3.Connection) -> None:
    """Make the table and its indexes, where they are not there yet."""
    connection.execute(_TABLE)
    for statement in _INDEXES:
        connection.execute(statement)


def insert(
    connection: sqlite3.Connection,
    lines: list[bytes],
    producer: str,
    first: int,
    pause: Callable[[], object],
) -> None:
    """Insert lines, each as a row, whatever is in it; those that are there already are left out.

    Args:
        connection: Inside a transaction.
        lines: Lines of JSON, without their newlines.
        producer: Who wrote them.
        first: Sequence of the first one.
        pause: Called every few milliseconds, so that the caller can let other threads run.
    """
    most = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // len(_STORED)
    size = min(_TOGETHER, most)
    for at in range(0, len(lines), size):
        rows = _make_rows(lines[at : at + size], producer, first + at)
        pause()
        statement = _INSERT + ", ".join([_ROW] * len(rows)) + _TWICE
        connection.execute(statement, list(chain.from_iterable(rows)))
        pause()


def _make_rows(lines: list[bytes], producer: str, first: int) -> list[Row]:
    try:
        return [*_convert(map(_decode, lines), producer, first)]
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return [*_convert((salvage(line, producer) for line in lines), producer, first)]


def _convert(decoded: Iterator[Line], producer: str, first: int) -> Iterator[Row]:
    """Make rows.

    Raises:
        ValueError: A value does not fit its column.
    """
    for sequence, line in enumerate(decoded, first):
        levelno, lineno, process, thread = _get_numbers(line)
        if not (
            levelno in _INT32
            and (lineno is None or lineno in _INT32)
            and (process is None or process in _INT64)
            and (thread is None or thread in _INT64)
        ):
            raise ValueError("a number is too large for its column")
        moment = _read_time(line.timestamp)
        attributes = str(line.attributes, "utf-8")
        yield (moment, *_get_between(line), attributes, producer, sequence)


def _read_time(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its distance from UTC")
    return format_moment(moment)


def format_moment(moment: datetime) -> str:
    """Return a time as it is stored in the table."""
    return moment.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def find_ranges(connection: sqlite3.Connection, producer: str) -> Ranges:
    """Return which records of a producer are in the table."""
    return Ranges(connection.execute(_RUNS, (producer,)))
