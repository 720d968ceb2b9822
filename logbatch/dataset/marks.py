"""What happened to the processes that log to a directory: starts, restarts, deploys, losses.

When a producer began stands in its id, and whose it is in its report or, where that is gone, in its
first record.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from logbatch.batching.report_file import Header
from logbatch.dataset.losses import Losses, Told
from logbatch.dataset.origins import Origin, Origins
from logbatch.dataset.reports import Reports
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.epoch import to_datetime
from logbatch.identity import process_of
from logbatch.storage.segments import born

MOST = 1000  # marks of one answer, and processes that are looked at for it: the newest
BEFORE = 200  # processes before these that are looked at, to tell a restart from a start
TOGETHER = timedelta(seconds=10)  # what happens to one service within that makes one mark

Kind = Literal["start", "restart", "deploy", "drop"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to a service, to be drawn as a line where records are counted.

    Attributes:
        time: When.
        kind: `"start"`: its first process that is known of began; `"restart"`: another one did;
            `"deploy"`: one with another version did; `"drop"`: events were lost.
        service: The service.
        text: All of it in a few words.
    """

    time: datetime
    kind: Kind
    service: str
    text: str


class Marks:
    """Finds what happened, and remembers what it has read; for one thread at a time.

    Args:
        source: The directory.
        reports: What its processes reported.
    """

    def __init__(self, source: Source, reports: Reports) -> None:
        self._source = source
        self._reports = reports
        self._origins = Origins(source)
        self._losses = Losses(source)
        self._lock = threading.Lock()

    def find(self, start: datetime | None, end: datetime | None) -> list[Mark]:
        """Return what happened in a range of time, in order."""
        low = _aware(start, datetime.min)
        high = _aware(end, datetime.max)
        with self._lock:
            return self._source.retry(lambda snapshot: self._find(snapshot, low, high))

    def _find(self, snapshot: Snapshot, low: datetime, high: datetime) -> list[Mark]:
        told = [each for each in self._losses.find(snapshot) if low <= each.time < high]
        marks = [*self._find_births(snapshot, low, high), *_mark_losses(told)]
        return sorted(marks, key=lambda mark: (mark.time, mark.kind, mark.service))[-MOST:]

    def _find_births(self, snapshot: Snapshot, low: datetime, high: datetime) -> Iterator[Mark]:
        headers = self._reports.headers()
        firsts = list_firsts({*snapshot.covered, *headers})
        first = bisect_left(firsts, low, key=_began)
        stop = bisect_left(firsts, high, key=_began)
        first = max(first, stop - MOST)
        looked_at = firsts[max(first - BEFORE, 0) : stop]
        origins = self._find_origins(snapshot, looked_at, headers)
        births = [(producer, origins[producer]) for producer in looked_at if producer in origins]
        return mark_births(births, firsts[first] if first < stop else None)

    def _find_origins(
        self, snapshot: Snapshot, producers: Sequence[str], headers: Mapping[str, Header]
    ) -> Mapping[str, Origin]:
        found = {p: _of_header(headers[p]) for p in producers if p in headers}
        rest = [p for p in producers if p not in found and snapshot.covered.get(p)]
        return {**found, **self._origins.find(snapshot, rest)}


def _aware(moment: datetime | None, otherwise: datetime) -> datetime:
    moment = otherwise if moment is None else moment
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _began(producer: str) -> datetime:
    return to_datetime(int(born(producer) * 1_000_000))


def _of_header(header: Header) -> Origin:
    return Origin(header.service, header.version, header.host, header.owner.pid)


def list_firsts(producers: Iterable[str]) -> list[str]:
    """Return the first producer of each process, in the order in which they began."""
    found: dict[str, str] = {}
    for producer in sorted(producers):
        found.setdefault(process_of(producer), producer)
    return list(found.values())


# ------------------------------------------------------------------ what is told


def mark_births(births: Sequence[tuple[str, Origin]], since: str | None) -> Iterator[Mark]:
    """Yield what the beginnings of processes mean.

    Args:
        births: The first producer of each process and its origin, in order.
        since: The producer from which on they are wanted; those before only tell what was there.
    """
    versions: dict[str, str | None] = {}  # of the services so far
    open_: dict[str, list[tuple[datetime, Kind, Origin, str | None]]] = {}
    for producer, origin in births:
        if not origin.service or origin.process is None:
            continue
        before = versions.get(origin.service)
        kind: Kind = "restart" if origin.service in versions else "start"
        if kind == "restart" and before and origin.version and origin.version != before:
            kind = "deploy"
        versions[origin.service] = origin.version or before
        if since is None or producer < since:
            continue
        began = _began(producer)
        group = open_.setdefault(origin.service, [])
        if group and (began - group[0][0] > TOGETHER or kind == "deploy"):
            yield _mark_group(group)
            group.clear()
        group.append((began, kind, origin, before))
    for group in open_.values():
        if group:
            yield _mark_group(group)


def _mark_group(group: Sequence[tuple[datetime, Kind, Origin, str | None]]) -> Mark:
    began, kind, origin, before = group[0]
    name = f"{origin.service} {origin.version}" if origin.version else origin.service
    how = {"start": "began", "restart": "began again", "deploy": f"began, after {before}"}[kind]
    where = f"process {origin.process}" + (f" on {origin.host}" if origin.host else "")
    if len(group) > 1:
        where = f"{len(group)} processes"
    return Mark(began, kind, origin.service, f"{name} {how}: {where}")


def _mark_losses(told: Iterable[Told]) -> Iterator[Mark]:
    """Yield one mark for what a service lost for one reason, at about one time."""
    groups: dict[tuple[str, str], list[Told]] = {}
    for each in sorted(told):
        group = groups.setdefault((each.service, each.reason), [])
        if group and each.time - group[0].time > TOGETHER:
            yield _mark_loss(group)
            group.clear()
        group.append(each)
    for group in groups.values():
        yield _mark_loss(group)


def _mark_loss(group: Sequence[Told]) -> Mark:
    time, service, _, reason = group[0]
    events = sum(each.events for each in group)
    lost = "1 event" if events == 1 else f"{events:,} events"
    return Mark(time, "drop", service, f"{service or 'logbatch'} dropped {lost} ({reason})")
