"""What belongs together, for the page: errors, patterns, and what is around a record."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from logbatch.dataset.analysis.context import find_context
from logbatch.dataset.analysis.errors import ErrorGroup, Wanted, find_errors
from logbatch.dataset.analysis.patterns import Asked, Pattern, find_patterns
from logbatch.epoch import to_microseconds
from logbatch.server.viewer import wire
from logbatch.server.viewer.messages import Around, Errors, Patterns
from logbatch.server.viewer.room import Room

_SECONDS = 30.0  # that a question may take

_CONTEXT = ("logger", "message")


def describe_errors(room: Room, asked: Errors) -> dict[str, Any]:
    """Return the kinds of errors.

    Raises:
        FilterError: The filter has a mistake.
        QueryError: It takes too long.
    """
    where = asked.parse()
    wanted = Wanted(where, asked.start, asked.end, asked.since, asked.limit, asked.bins, _SECONDS)
    with room.engine.beside() as engine:
        found = room.retry(lambda snapshot: find_errors(room.source, snapshot, wanted, engine))
    return {
        "errors": [_describe_error(each) for each in found],
        "start": _number(found.start),
        "end": _number(found.end),
        "total": found.total,
        "left_out": found.left_out,
    }


def _describe_error(group: ErrorGroup) -> dict[str, Any]:
    found = _fields(group)
    found["example"] = wire.full(group.example)
    return found


def describe_patterns(room: Room, asked: Patterns) -> dict[str, Any]:
    """Return the patterns, and what became of them where two ranges are compared.

    Raises:
        FilterError: The filter has a mistake.
        QueryError: It takes too long.
    """
    wanted = Asked(asked.parse(), (asked.start, asked.end), asked.compared(), asked.limit, _SECONDS)
    with room.engine.beside() as engine:
        found = room.retry(lambda snapshot: find_patterns(room.source, snapshot, wanted, engine))
    return {
        "patterns": [_describe_pattern(each) for each in found],
        "total": found.total,
        "distinct": found.distinct,
        "left_out": found.left_out,
    }


def _describe_pattern(pattern: Pattern) -> dict[str, Any]:
    return wire.plain(_fields(pattern))  # type: ignore[no-any-return]


def _fields(found: ErrorGroup | Pattern) -> dict[str, Any]:
    values = {each.name: getattr(found, each.name) for each in dataclasses.fields(found)}
    return {
        name: _number(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def _number(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)


def describe_context(room: Room, asked: Around) -> dict[str, Any]:
    """Return what the same thread logged around a record.

    Raises:
        DatasetError: The record is not there.
    """
    place = asked.producer, asked.sequence
    with room.engine.beside() as engine:
        rows = room.retry(
            lambda snapshot: find_context(
                room.source, snapshot, place, asked.before, asked.after, engine
            )
        )
    return {"rows": wire.columnar(rows, _CONTEXT)}
