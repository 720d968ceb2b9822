"""What the processes that log to a directory reported of their delivery, and how that went on.

Whatever is in the files of others is believed as far as it has the form of a report: what is cut
off, foreign, or larger than a report can be is left out.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import msgspec

from logbatch.batching.report_file import (
    HEADER,
    LIMIT,
    Header,
    find_reports,
    is_closed,
    parse_header,
)
from logbatch.dataset.listing import JOURNAL
from logbatch.disk import open_file
from logbatch.epoch import to_datetime
from logbatch.journal.names import find_journals
from logbatch.stats import Stats
from logbatch.storage.segments import born

MOST_FILES = 2000  # reports that are read, of those that changed last
MOST_BYTES = 8 << 20  # of all of them; of the rest only the newest samples are read
_TAIL = 8 << 10  # bytes that are read of these
_LAST_SECOND = 253_402_300_799.0  # of the year 9999
_TOO_MUCH = 1e15  # of anything that is counted

_decode = msgspec.json.Decoder(Stats).decode


class _When(msgspec.Struct):
    time: float


_decode_time = msgspec.json.Decoder(_When).decode


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


def read_headers(directory: Path) -> dict[str, Header]:
    """Read who reports, of each producer that does.

    Args:
        directory: The dataset's.
    """
    found = {}
    for path, _ in _find(directory / JOURNAL):
        header = parse_header(path, _read(path, 0)[0])
        if header is not None:
            found[header.producer] = header
    return found


def read_reports(directory: Path) -> list[ProcessReport]:
    """Read what processes reported, in the order in which they began.

    Args:
        directory: The dataset's.
    """
    journal = directory / JOURNAL
    journals = find_journals(journal)
    found, left = [], MOST_BYTES
    for path, size in _find(journal):
        first, last = _read(path, size if size <= min(left, 2 * LIMIT) else _TAIL)
        left -= len(last)
        report = _make_report(path, first, last, journal, journals)
        if report is not None:
            found.append(report)
    return sorted(found, key=lambda report: report.producer)


def _find(journal: Path) -> list[tuple[Path, int]]:
    """Find the files, with their sizes; those that changed last come first."""
    found = []
    for path in find_reports(journal):
        with contextlib.suppress(OSError):
            status = os.stat(path)
            found.append((status.st_mtime, path, status.st_size))
    return [(path, size) for _, path, size in sorted(found, reverse=True)[:MOST_FILES]]


def _read(path: Path, size: int) -> tuple[bytes, bytes]:
    """Read the beginning of a file, which holds its first line, and so many bytes at its end."""
    try:
        with open(open_file(path), "rb") as file:
            first = file.read(HEADER)
            end = file.seek(0, os.SEEK_END)
            return first, os.pread(file.fileno(), size, max(end - size, 0))
    except OSError:
        return b"", b""


def _make_report(
    path: Path, first: bytes, last: bytes, journal: Path, journals: Mapping[str, Sequence[int]]
) -> ProcessReport | None:
    header, samples = parse_header(path, first), tuple(_parse(last))
    if header is None or not samples:
        return None
    closed = is_closed(last)
    return ProcessReport(
        producer=header.producer,
        process=header.owner.pid,
        service=header.service,
        version=header.version,
        host=header.host,
        transport=header.transport,
        logbatch=header.logbatch,
        started=to_datetime(int(born(header.producer) * 1_000_000)),
        alive=not closed and not header.is_gone(journal, journals),
        closed=closed,
        samples=samples,
    )


def _parse(content: bytes) -> Iterator[tuple[datetime, Stats]]:
    for line in content.split(b"\n")[:-1]:  # what is not ended is being written, or was cut off
        if line.startswith(b'{"time":'):
            with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
                time, stats = _decode_time(line).time, _decode(line)
                if 0 <= time <= _LAST_SECOND and _is_possible(stats):
                    yield to_datetime(int(time * 1_000_000)), stats


def _is_possible(stats: Stats) -> bool:
    """Return whether nothing is negative, or more than anybody can count."""
    numbers = [each for each in _values(stats) if isinstance(each, int | float)]
    return all(0 <= each <= _TOO_MUCH for each in numbers)


def _values(stats: Stats) -> Iterator[object]:
    for name in _NUMBERS:
        value = getattr(stats, name)
        if isinstance(value, dict):
            yield from value.values()
        else:
            yield value


_NUMBERS = [name for name in Stats.__dataclass_fields__ if name != "last_error"]
