"""What the log itself tells of events that were dropped: records of logbatch's own.

They are few, and stand anywhere; so each file is searched once, and what was found is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from logbatch.dataset.filter.comparisons import as_object
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.matching import Matches
from logbatch.dataset.pieces import blocks
from logbatch.dataset.snapshot import Part, Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.tables import split
from logbatch.dataset.verify import LOSSES

MOST_FILES = 5000  # that are searched in one go, the newest first

_MOST = 10_000  # records of losses that are kept in mind
_LONGEST = 200  # characters of a reason
_MARK = b"logbatch dropped "
_COLUMNS = ("producer", "sequence", "timestamp", "service", "attributes")
_QUERY = f"SELECT * FROM {{matches}} ORDER BY timestamp DESC LIMIT {_MOST}"


class Told(NamedTuple):
    """A record of events that were dropped.

    Attributes:
        time: When it was logged, once there was room again.
        service: Whose events they were.
        events: How many.
        reason: Why.
    """

    time: datetime
    service: str
    events: int
    reason: str


class _Line(msgspec.Struct):
    timestamp: datetime
    logger: str
    message: str
    service: str | None = None
    attributes: dict[str, Any] = {}


_decode = msgspec.json.Decoder(_Line).decode


class Losses:
    """Finds what was dropped.

    Args:
        source: The directory.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._searched: dict[Path, int | None] = {}  # up to where, of a file that grows
        self._told: dict[tuple[str, int], Told] = {}

    def find(self, snapshot: Snapshot) -> list[Told]:
        """Return what is told in the records that are there.

        Raises:
            Vanished, Damaged: A file cannot be read.
            QueryError: DuckDB is not installed.
        """
        parquet, lines = split(self._unsearched(snapshot))
        if parquet:
            self._note(self._ask(snapshot._replace(parts=parquet, tails=[])))
        for part in lines:
            self._note(_search_lines(part))
        self._searched |= {part.path: part.stop for part in (*parquet, *lines)}
        for tail in snapshot.tails:
            for first, waiting in tail.pieces() if _MARK in tail.lines else ():
                for at, line in enumerate(waiting, first):
                    self._note(_read(line, tail.producer, at))
        there = snapshot.covered
        return [told for (p, at), told in self._told.items() if p in there and at in there[p]]

    def _unsearched(self, snapshot: Snapshot) -> list[Part]:
        before = self._searched
        self._searched = {p.path: before[p.path] for p in snapshot.parts if p.path in before}
        new = [part for part in snapshot.parts if before.get(part.path, -1) != part.stop]
        return sorted(new, key=lambda part: part.path, reverse=True)[:MOST_FILES]

    def _note(self, found: Iterator[tuple[tuple[str, int], Told]]) -> None:
        for key, told in found:
            if len(self._told) < _MOST:
                self._told[key] = told

    def _ask(self, snapshot: Snapshot) -> Iterator[tuple[tuple[str, int], Told]]:
        with Matches(self._source, snapshot, Filter.parse(LOSSES), _COLUMNS) as matches:
            rows = matches.table(_QUERY).to_pylist()
        for row in rows:
            fields = as_object(row["attributes"])
            yield from _make(
                row["producer"], row["sequence"], row["timestamp"], row["service"], fields
            )


def _search_lines(part: Part) -> Iterator[tuple[tuple[str, int], Told]]:
    """Yield what a JSONL file tells; most have nothing of it, and are read through quickly."""
    producer = part.segment.producer
    for block in blocks(part):
        at = block.find(_MARK)
        while at >= 0:
            start, stop = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at) + 1
            line = block[start:stop]
            number = line.rpartition(b'"sequence":')[2].rstrip(b"}\n")
            if number.isdigit():
                yield from _read(line, producer, int(number))
            at = block.find(_MARK, stop)


def _read(line: bytes, producer: str, sequence: int) -> Iterator[tuple[tuple[str, int], Told]]:
    if _MARK in line:
        with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
            found = _decode(line)
            if found.logger == "logbatch" and found.message.startswith(_MARK.decode()):
                time = found.timestamp.astimezone(UTC)
                yield from _make(producer, sequence, time, found.service, found.attributes)


def _make(
    producer: str, sequence: int, time: datetime, service: str | None, fields: Any
) -> Iterator[tuple[tuple[str, int], Told]]:
    """Yield what a record tells; one that another wrote may lack it."""
    events, reason = fields.get("dropped"), fields.get("reason")
    if isinstance(events, int) and events > 0 and isinstance(reason, str):
        yield (producer, sequence), Told(time, service or "", events, reason[:_LONGEST])
