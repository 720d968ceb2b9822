"""Whose records a producer's are: which service on which machine, read from its first record.

A producer's first record is found by its number, so that of a large file little is read, and what
is known of a producer is kept: it never changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from logbatch.dataset.filter.comparisons import as_object
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.matching import Matches
from logbatch.dataset.pieces import blocks
from logbatch.dataset.snapshot import Part, Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.tables import split

VERSION = "service.version"
"""The attribute that has the version of a service."""

_KNOWN = 100_000  # producers that are kept in mind
_LONGEST = 200  # characters of a version

_FIRST = f"""
    SELECT producer, sequence, service, host, process,
        left(TRY(attributes->>'$."{VERSION}"'), {_LONGEST}) AS version,
        coalesce(TRY(attributes->>'resource'), TRY(attributes->>'scope')) IS NOT NULL AS foreign_
    FROM {{matches}} WHERE sequence IN ({{numbers}})
"""
_COLUMNS = ("producer", "sequence", "service", "host", "process", "attributes")


class Origin(NamedTuple):
    """Whose records they are.

    Attributes:
        service: The service; empty where that is not known.
        version: Its version; None where nobody says it.
        host: The machine.
        process: The process; None for records that a receiver took from other programs, whose
            producer is the receiver.
    """

    service: str = ""
    version: str | None = None
    host: str = ""
    process: int | None = None


UNKNOWN = Origin()


class Origins:
    """Finds origins, and remembers them.

    Args:
        source: The directory.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[str, Origin] = {}

    def find(self, snapshot: Snapshot, producers: Collection[str]) -> Mapping[str, Origin]:
        """Return the origins of some producers, as far as records of theirs are there.

        Raises:
            Vanished, Damaged: A file cannot be read.
            QueryError: DuckDB is not installed.
        """
        wanted = {producer for producer in producers if producer not in self._known}
        if wanted:
            if len(self._known) > _KNOWN:
                self._known.clear()
            firsts = {p: min(a for a, _ in snapshot.covered[p]) for p in wanted}
            self._known.update(self._read(snapshot, firsts))
        return {p: self._known[p] for p in producers if p in self._known}

    def _read(self, snapshot: Snapshot, firsts: Mapping[str, int]) -> Iterator[tuple[str, Origin]]:
        parts = _holding(snapshot.parts, firsts)
        parquet, lines = split(parts)
        if parquet:
            yield from self._ask(snapshot._replace(parts=parquet, tails=[]), firsts)
        for part in lines:
            producer = part.segment.producer
            data = next(blocks(part), b"")
            yield producer, _of_line(data.partition(b"\n")[0])
        for tail in snapshot.tails:
            if tail.first == firsts.get(tail.producer):
                yield tail.producer, _of_line(tail.lines.partition(b"\n")[0])

    def _ask(self, snapshot: Snapshot, firsts: Mapping[str, int]) -> Iterator[tuple[str, Origin]]:
        whole = [part._replace(whole=True) for part in snapshot.parts]  # what is twice is no harm
        numbers = ", ".join(map(str, sorted(set(firsts.values()))))
        found = snapshot._replace(parts=whole)
        with Matches(self._source, found, Filter.parse(""), _COLUMNS) as matches:
            table = matches.table(_FIRST.replace("{numbers}", numbers))
        for row in table.to_pylist():
            if firsts.get(row["producer"]) == row["sequence"]:
                process = None if row["foreign_"] else row["process"]
                origin = Origin(row["service"] or "", row["version"], row["host"] or "", process)
                yield row["producer"], origin


def _holding(parts: Iterable[Part], firsts: Mapping[str, int]) -> list[Part]:
    """Return the parts that hold the first record of one of some producers."""
    return [
        part
        for part in parts
        if any(spans[0][0] == firsts.get(producer) for producer, spans in part.taken)
    ]


def _of_line(line: bytes) -> Origin:
    fields = as_object(line.decode(errors="replace"))
    attributes = as_object(fields.get("attributes"))
    process = fields.get("process")
    is_foreign = "resource" in attributes or "scope" in attributes or not isinstance(process, int)
    version = attributes.get(VERSION)
    return Origin(
        _text(fields.get("service")),
        str(version)[:_LONGEST] if isinstance(version, str | int | float) else None,
        _text(fields.get("host")),
        None if is_foreign else process,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
