"""What the processes that log to a directory reported of their delivery, and how that went on.

Whatever is in the files of others is believed as far as it has the form of a report: what is cut
off, foreign, or larger than a report can be is left out.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

import msgspec
from msgspec.structs import astuple

from logbatch.batching.report_file import (
    HEADER,
    LIMIT,
    Header,
    find_reports,
    is_closed,
    parse_header,
)
from logbatch.dataset.listing import JOURNAL
from logbatch.descriptors import Identity, identify
from logbatch.disk import open_file
from logbatch.epoch import to_datetime
from logbatch.journal.names import find_journals
from logbatch.stats import Stats
from logbatch.storage.segments import born

MOST_FILES = 2000  # reports that are read, of those that changed last
MOST_BYTES = 8 << 20  # of all of them; of those that are large only so much at the end is read
_LAST_SECOND = 253_402_300_799.0  # of the year 9999
_TOO_MUCH = 10**15  # of anything that is counted

_Count = Annotated[int, msgspec.Meta(ge=0, le=_TOO_MUCH)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=_TOO_MUCH)]
_Time = Annotated[float, msgspec.Meta(ge=0, le=_LAST_SECOND)]
_POSSIBLE: dict[Any, Any] = {
    int: _Count,
    float: _Amount,
    int | None: _Count | None,
    float | None: _Amount | None,
    str | None: str | None,
    Mapping[str, int]: dict[str, _Count],
    Mapping[str, float]: dict[str, _Amount],
}
"""What nobody can have counted is none of ours: negative numbers, and such that cannot be added."""

_NAMES = [field.name for field in fields(Stats)]
_HINTS = get_type_hints(Stats)
_BEGIN = Stats()
_Sample = msgspec.defstruct(
    "_Sample",
    [
        ("time", _Time),
        *((name, _POSSIBLE[_HINTS[name]], getattr(_BEGIN, name)) for name in _NAMES),
    ],
)
_decode = msgspec.json.Decoder(_Sample).decode


@dataclass(frozen=True, slots=True)
class ReportInterval:
    """What happened between two samples of a report.

    Attributes:
        start: The time of the one.
        end: The time of the other.
        accepted: Events accepted meanwhile.
        published: Events acknowledged.
        rejected: Events rejected for good.
        dropped: Events lost, for whatever reason.
        batches: Batches acknowledged.
        records_per_batch: Their mean size, in events; 0 where there was none.
        bytes_per_batch: Their mean size, in bytes.
        requests: Sends attempted.
        requests_saved: How many fewer than one for each event; None where the destination is files.
        retries: Sends that failed and are retried.
        errors: Errors of all kinds.
        fallback_share: The share of delivered events that was sent singly, from 0 to 1.
        flushes: Flushes begun, by trigger.
        pending: Events that waited at the end.
        flush_seconds: How long the latest sends took, at the end: "p50", "p90", "p99" and "max".
    """

    start: datetime
    end: datetime
    accepted: int
    published: int
    rejected: int
    dropped: int
    batches: int
    records_per_batch: float
    bytes_per_batch: float
    requests: int
    requests_saved: int | None
    retries: int
    errors: int
    fallback_share: float
    flushes: Mapping[str, int]
    pending: int
    flush_seconds: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """How long it was; never 0, so that rates can be computed."""
        return max((self.end - self.start).total_seconds(), 0.001)


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What one process reported of what it logs to a directory, through one handler or processor.

    One that was closed and went on logging later is another producer, with a report of its own;
    what is counted goes on in it.

    Attributes:
        producer: Under which its records go out.
        process: Its id.
        service: The `service` column of its records.
        version: The version of the service; None where the process was not told it.
        host: The `host` column.
        transport: The kind of destination: `"parquet"`, `"http"`, …
        logbatch: The version of this package.
        started: When the producer began, by the clock of its machine.
        alive: Whether the process is there and the producer has not been closed.
        closed: Whether the producer was closed, so that this is all there was to report.  One that
            is neither alive nor closed was killed.
        samples: Times, and what `stats()` said then, oldest first; there is one at least.  They
            are the thinner the older they are.
    """

    producer: str
    process: int
    service: str
    version: str | None
    host: str
    transport: str
    logbatch: str
    started: datetime
    alive: bool
    closed: bool
    samples: tuple[tuple[datetime, Stats], ...]

    @property
    def stats(self) -> Stats:
        """The newest figures."""
        return self.samples[-1][1]

    @property
    def seen(self) -> datetime:
        """When these were written: nothing has changed since, as far as the process could tell."""
        return self.samples[-1][0]

    def intervals(self) -> Sequence[ReportInterval]:
        """Return what happened between each two samples that follow one another."""
        return tuple(_compare(before, after) for before, after in pairwise(self.samples))


def _compare(before: tuple[datetime, Stats], after: tuple[datetime, Stats]) -> ReportInterval:
    (start, old), (end, new) = before, after
    batches = max(new.batches - old.batches, 0)
    events = max(_events(new) - _events(old), 0.0)
    sent = max(_bytes(new) - _bytes(old), 0.0)
    singles = max(_events(new) * new.fallback_share - _events(old) * old.fallback_share, 0.0)
    saved = new.requests_saved
    return ReportInterval(
        start=start,
        end=end,
        accepted=max(new.accepted - old.accepted, 0),
        published=max(new.published - old.published, 0),
        rejected=max(new.rejected - old.rejected, 0),
        dropped=_sum_of(_grown(old.dropped, new.dropped)),
        batches=batches,
        records_per_batch=round(events / batches, 3) if batches else 0.0,
        bytes_per_batch=round(sent / batches, 3) if batches else 0.0,
        requests=max(new.requests - old.requests, 0),
        requests_saved=None if saved is None else max(saved - (old.requests_saved or 0), 0),
        retries=max(new.retries - old.retries, 0),
        errors=_sum_of(_grown(old.errors, new.errors)),
        fallback_share=round(min(singles / events, 1.0), 6) if events else 0.0,
        flushes=_grown(old.flushes, new.flushes),
        pending=new.pending,
        flush_seconds=new.flush_seconds,
    )


def _events(stats: Stats) -> float:
    return stats.batches * stats.records_per_batch


def _bytes(stats: Stats) -> float:
    return stats.batches * stats.bytes_per_batch


def _grown(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, int]:
    return {
        name: count - old.get(name, 0) for name, count in new.items() if count > old.get(name, 0)
    }


def _sum_of(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


# ------------------------------------------------------------------ reading


class Reports:
    """Reads what processes reported; of what has not changed since the last time, nothing.

    Args:
        directory: The dataset's.
    """

    def __init__(self, directory: Path) -> None:
        self._journal = directory / JOURNAL
        self._known: dict[Path, _Known] = {}
        self._headers: dict[Path, Header | None] = {}
        self._lock = threading.Lock()

    def read(self) -> list[ProcessReport]:
        """Return the reports, in the order in which their producers began."""
        with self._lock:
            journals = find_journals(self._journal)
            files = _find(self._journal)
            most = _share([identity[2] for _, identity in files])
            self._known = {path: self._look(path, identity, most) for path, identity in files}
            reports = (self._report(known, journals) for known in self._known.values())
            found = [report for report in reports if report is not None]
        return sorted(found, key=lambda report: report.producer)

    def headers(self) -> dict[str, Header]:
        """Return who reports, of each producer that does; of too many, those that began last."""
        with self._lock:
            before, paths = self._headers, find_reports(self._journal)[-MOST_FILES:]
            self._headers = {p: before.get(p) or parse_header(p, _read(p, 0)[0]) for p in paths}
            found = [header for header in self._headers.values() if header is not None]
        return {header.producer: header for header in found}

    def _look(self, path: Path, identity: Identity, most: int) -> _Known:
        known, size = self._known.get(path), identity[2]
        if known is not None and known.identity == identity and known.most >= min(most, size):
            return known
        first, last = _read(path, most)
        header, samples = parse_header(path, first), tuple(_parse(last))
        return _Known(identity, most, header, samples, is_closed(last))

    def _report(self, known: _Known, journals: Mapping[str, Sequence[int]]) -> ProcessReport | None:
        header = known.header
        if header is None or not known.samples:
            return None
        return ProcessReport(
            producer=header.producer,
            process=header.owner.pid,
            service=header.service,
            version=header.version,
            host=header.host,
            transport=header.transport,
            logbatch=header.logbatch,
            started=to_datetime(int(born(header.producer) * 1_000_000)),
            alive=not known.closed and not header.is_gone(self._journal, journals),
            closed=known.closed,
            samples=known.samples,
        )


class _Known(NamedTuple):
    """What was read of a file.

    Attributes:
        identity: What tells it from what it is later.
        most: How many bytes at its end were read.
        header: Its first line.
        samples: What it tells.
        closed: Whether that is all.
    """

    identity: Identity
    most: int
    header: Header | None
    samples: tuple[tuple[datetime, Stats], ...]
    closed: bool


def _find(journal: Path) -> list[tuple[Path, Identity]]:
    """Find the files that changed last."""
    found = []
    for path in find_reports(journal):
        with contextlib.suppress(OSError):
            found.append((path, identify(os.stat(path))))
    return sorted(found, key=lambda each: -each[1][3])[:MOST_FILES]


def _share(sizes: Sequence[int]) -> int:
    """Return how much of each file is read, so that all together are not too much."""
    left = MOST_BYTES
    for at, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - at)
        if size > share:
            return min(share, 2 * LIMIT)
        left -= size
    return 2 * LIMIT


def _read(path: Path, size: int) -> tuple[bytes, bytes]:
    """Read the beginning of a file, which holds its first line, and so many bytes at its end."""
    try:
        with open(open_file(path), "rb") as file:
            first = file.read(HEADER)
            file.seek(max(file.seek(0, os.SEEK_END) - size, 0))
            return first, file.read(size)
    except OSError:
        return b"", b""


def _parse(content: bytes) -> Iterator[tuple[datetime, Stats]]:
    for line in content.split(b"\n")[:-1]:  # what is not ended is being written, or was cut off
        if line.startswith(b'{"time":'):
            with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
                time, *values = astuple(_decode(line))
                stats = Stats(**dict(zip(_NAMES, values, strict=True)))
                yield to_datetime(int(time * 1_000_000)), stats
