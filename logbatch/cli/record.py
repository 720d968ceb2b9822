"""One record as text for people: time, level, logger, message, attributes, then the traceback.

A record begins in the first column with its time in UTC.  Whatever belongs to it but needs more
lines is set in: `  | ` before the next line of a message, four spaces before a traceback.  So no
text in a message can pass for another record.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from logbatch.cli.escape import escape, escape_lines, is_safe, to_json

Piece = tuple[str, str]
"""Text, and the name of its rich style."""

_BARE = re.compile(r"[^\s\"'=,{}\[\]()\\]+")
_STYLES = (
    (logging.CRITICAL, "bold white on red"),
    (logging.ERROR, "bold red"),
    (logging.WARNING, "yellow"),
    (logging.INFO, "green"),
    (logging.NOTSET, "dim"),
)


def level_style(levelno: int | None) -> str:
    """Return the style in which a level is shown everywhere."""
    return next(style for least, style in _STYLES if (levelno or 0) >= least or least == 0)


def iso_time(timestamp: datetime) -> str:
    """Return a time in UTC to the millisecond: `2026-11-21T10:00:03.123Z`."""
    return f"{timestamp.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def short_time(timestamp: datetime) -> str:
    """Return the time of day in UTC to the millisecond, for where room is short."""
    return iso_time(timestamp)[11:-1]


def shown(row: Mapping[str, Any]) -> list[Piece]:
    """Return a record as styled pieces, with everything dangerous escaped, without a newline."""
    first, *rest = escape_lines(row["message"])
    pieces = [*_head(row, iso_time(row["timestamp"])), (first, "")]
    for line in rest:
        pieces += [("\n  | ", "dim"), (line, "")]
    pieces += _attributes(row)
    for line in _trace(row):
        pieces += [("\n    ", ""), (line, "red dim" if line.startswith(" ") else "red")]
    return pieces


def shown_short(row: Mapping[str, Any]) -> list[Piece]:
    """Return a record on one line, without date and traceback, for a small live view."""
    message = escape(row["message"])
    failure = [("  " + escape(row["exception_type"]), "red")] if row.get("exception_type") else []
    return [*_head(row, short_time(row["timestamp"])), (message, ""), *_attributes(row), *failure]


def raw(row: Mapping[str, Any]) -> str:
    """Return a record with its text exactly as it was logged, dangerous or not."""
    values = [f"{key}={value}" for key, value in (row["attributes"] or {}).items()]
    text = "  ".join([row["message"], " ".join(values)]) if values else row["message"]
    head = f"{iso_time(row['timestamp'])} {row['level']:<8} {row['logger'] or '-'}  "
    trace = f"\n{row['stacktrace'].rstrip()}" if row["stacktrace"] else ""
    return f"{head}{text}{trace}"


def as_json(row: Mapping[str, Any]) -> str:
    """Return a record as one line of JSON in the order of the columns, without its nulls."""
    return to_json({key: value for key, value in row.items() if value is not None})


def _head(row: Mapping[str, Any], time: str) -> list[Piece]:
    return [
        (f"{time} ", "dim"),
        (f"{escape(row['level']):<8} ", level_style(row["levelno"])),
        (f"{escape(row['logger']) or '-'}  ", "cyan"),
    ]


def _attributes(row: Mapping[str, Any]) -> Iterator[Piece]:
    gap = "  "
    for key, value in (row["attributes"] or {}).items():
        yield f"{gap}{_bare(key)}=", "dim"
        yield _bare(value), "none"
        gap = " "


def _bare(value: Any) -> str:
    plain = isinstance(value, str) and _BARE.fullmatch(value) and is_safe(value)
    return value if plain else to_json(value)


def _trace(row: Mapping[str, Any]) -> list[str]:
    if row["stacktrace"]:
        return escape_lines(row["stacktrace"].rstrip())
    if row["exception_type"]:
        return [escape(f"{row['exception_type']}: {row['exception_message'] or ''}".rstrip(": "))]
    return []
