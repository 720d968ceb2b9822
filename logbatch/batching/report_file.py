"""The file in which a process tells how its delivery goes, for whoever looks at the directory.

    .journal/reports/<producer>.report

Its first line says whose it is; each other one is a sample: what `stats()` said at a time, without
what is zero.  A sample stands for itself, so a line that is cut off spoils no other.  The file is
no record of anything: it is never waited for, and what cannot be written is left out.

It is bounded.  Where it would pass `LIMIT`, it is thinned: one sample a second of the last five
minutes stays, one in ten seconds of the last hour, one in two minutes of the last day; fewer where
that is still too much.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from logbatch.disk import (
    create_file,
    is_left_over,
    is_locked,
    is_temporary,
    make_directory,
    open_file,
    replacing,
    write_all,
)
from logbatch.identity import is_producer
from logbatch.journal.names import find_journals, segment_path
from logbatch.journal.owner import Owner

FOLDER = "reports"
ENDING = ".report"
LIMIT = 512 << 10  # bytes of one file
HEADER = 1 << 16  # bytes in which the first line ends
KEPT_AGE = 86_400.0  # seconds for which the report of a process that is gone is kept
KEPT_FILES = 1000  # the most reports of processes that are gone

_ROOM = LIMIT * 3 // 4  # bytes that are left at the most when a file was thinned
_TIERS = ((300.0, 1.0), (3600.0, 10.0), (KEPT_AGE, 120.0))  # up to an age, one sample in so long
_AT_ONCE = 500  # files that are looked at in one sweep
_SWEEP_EVERY = 600.0  # seconds between two sweeps of all processes together
_SWEPT = ".swept"  # its time is that of the last one
_MARK = b'{"time":'
_CLOSED = b',"closed":true}\n'


class _Owner(msgspec.Struct):
    pid: int
    started: str
    boot: str
    namespace: str
    host: str
    image: str = ""


class Header(msgspec.Struct, omit_defaults=True):
    """The first line: who reports.

    Attributes:
        format: 1.
        logbatch: The version of this package.
        producer: Under which its records go out.
        service: The `service` column of its records.
        host: The `host` column.
        transport: The kind of destination.
        owner: The process, as in the state file of its journal.
        version: That of the service, where the environment says it.
    """

    format: int
    logbatch: str
    producer: str
    service: str
    host: str
    transport: str
    owner: _Owner
    version: str | None = None

    @classmethod
    def of_this_process(cls, **told: Any) -> Header:
        """Make that of the calling process."""
        return cls(format=1, owner=_Owner(**Owner.this_process()._asdict()), **told)

    def is_gone(self, directory: Path, journals: Mapping[str, Sequence[int]]) -> bool:
        """Return whether the process has ended.

        Of one that cannot be seen from here, in another container say, the locks of its journal
        tell it.

        Args:
            directory: Where its journal is.
            journals: What journals there are.
        """
        owner = Owner(*msgspec.structs.astuple(self.owner))
        if not 0 < owner.pid < 1 << 31:
            return True
        indexes = journals.get(self.producer, ())
        return owner.gone() and not any(
            is_locked(segment_path(directory, self.producer, index)) for index in indexes
        )


def encode_sample(moment: float, fields: Mapping[str, Any], *, closed: bool = False) -> bytes:
    """Make the line of a sample."""
    told = {"time": round(moment, 3), **fields} | ({"closed": True} if closed else {})
    return msgspec.json.encode(told) + b"\n"


class ReportFile:
    """The file of one producer, written by one thread.

    Args:
        directory: Where the journal is.
        header: Whose report it is.
        opening: The sample to begin with: what was counted before the producer began.

    Attributes:
        producer: Whose report it is.
        path: Where it is.
    """

    def __init__(self, directory: Path, header: Header, opening: bytes) -> None:
        self.producer = header.producer
        self.path = report_path(directory, header.producer)
        self._header = msgspec.json.encode(header) + b"\n"
        self._opening = opening
        self._size = 0

    def append(self, sample: bytes) -> None:
        """Add a sample; the file is created where it is not there (any more).

        Raises:
            OSError: It cannot be written; nothing of it is, as far as that is possible.
        """
        descriptor = self._open()
        try:
            size = os.fstat(descriptor).st_size
            lines = sample if size == self._size > 0 else self._begin(size) + sample
            if size + len(lines) <= LIMIT:
                self._write(descriptor, size, lines)
                return
            content = os.pread(descriptor, 2 * LIMIT, 0)
        finally:
            os.close(descriptor)
        self._replace(self._header + thin(content + lines, time.time()))

    def _open(self) -> int:
        try:
            return open_file(self.path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            self._size = 0
        make_directory(self.path.parent)
        return create_file(self.path, append=True)

    def _begin(self, size: int) -> bytes:
        """Return what stands before the samples; once more where somebody cut the file off."""
        return (b"\n" if size else b"") + self._header + self._opening

    def _write(self, descriptor: int, size: int, lines: bytes) -> None:
        try:
            write_all(descriptor, lines)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        self._size = size + len(lines)

    def _replace(self, content: bytes) -> None:
        with replacing(self.path, sync=False) as descriptor:
            write_all(descriptor, content)
        self._size = len(content)


# ------------------------------------------------------------------ thinning


def thin(content: bytes, now: float) -> bytes:
    """Return the samples that stay, in the order of the file.

    Of those of one span of time the last stays: what is counted goes on from there.

    Args:
        content: The file.
        now: What the clock says, in seconds since 1970.
    """
    samples = list(_find_samples(content))
    coarser = 1
    while True:
        kept = _choose(samples, now, coarser)
        if sum(map(len, kept)) <= _ROOM or not kept:
            return b"".join(kept)
        coarser *= 2


def _find_samples(content: bytes) -> Iterator[tuple[float, bytes]]:
    for line in content.splitlines(keepends=True):
        text = line[len(_MARK) :].partition(b",")[0].rstrip(b"}\n")
        if line.startswith(_MARK) and line.endswith(b"}\n"):
            with contextlib.suppress(ValueError):
                yield float(text), line


def _choose(samples: Sequence[tuple[float, bytes]], now: float, coarser: int) -> list[bytes]:
    kept: list[bytes] = []
    before: tuple[float, int] | None = None
    for moment, line in reversed(samples):
        span = _span(now - moment)
        if span is not None:
            span *= coarser
            place = span, int(moment // span)
            if place != before:
                kept.append(line)
            before = place
    return kept[::-1]


def _span(age: float) -> float | None:
    return next((span for limit, span in _TIERS if age < limit), None)


# ------------------------------------------------------------------ finding and removing


def report_path(directory: Path, producer: str) -> Path:
    """Return where the report of a producer is.

    Args:
        directory: Where its journal is.
        producer: Whose.
    """
    return directory / FOLDER / f"{producer}{ENDING}"


def find_reports(directory: Path) -> list[Path]:
    """Find the reports beside some journals, those of the oldest producers first."""
    try:
        names = os.listdir(directory / FOLDER)
    except OSError:
        return []
    found = (name for name in names if name.endswith(ENDING))
    return [
        directory / FOLDER / name
        for name in sorted(found)
        if is_producer(name.removesuffix(ENDING))
    ]


def parse_header(path: Path, content: bytes) -> Header | None:
    """Read the first line of a report; None where it is none, or that of another producer."""
    line = content[:HEADER].partition(b"\n")[0]
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return header if path.name == f"{header.producer}{ENDING}" else None


def is_closed(content: bytes) -> bool:
    """Return whether the last sample is that with which a producer ended."""
    return content.endswith(_CLOSED)


def keep_few(path: Path) -> None:
    """Remove old reports, unless somebody has done it within the last minutes.

    Args:
        path: A report that was just written; it tells the time by the clock of the file system.
    """
    with contextlib.suppress(OSError):
        if abs(_changed(path) - _changed(path.with_name(_SWEPT))) > _SWEEP_EVERY:
            remove_old(path.parent.parent)


def remove_old(directory: Path) -> None:
    """Remove reports that ended a day ago and, where there are too many, the oldest that ended.

    Args:
        directory: Where the journals are.
    """
    paths = find_reports(directory)
    if not paths:
        return
    _sweep(directory / FOLDER)
    with contextlib.suppress(OSError):
        now = _touch(directory / FOLDER / _SWEPT)
        excess = len(paths) - KEPT_FILES
        old = [p for at, p in enumerate(paths) if at < excess or abs(now - _changed(p)) > KEPT_AGE]
        journals = find_journals(directory) if old else {}
        for path in old[:_AT_ONCE]:
            with contextlib.suppress(OSError):
                if _has_ended(path, directory, journals):
                    path.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    """Return when a file was changed; that of one that is not there was long ago."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("-inf")


def _touch(mark: Path) -> float:
    """Note that old reports are looked for, and return the time by the clock of the file system.

    Ours may be another; then all reports would be old.
    """
    try:
        descriptor = create_file(mark)
    except FileExistsError:
        descriptor = open_file(mark, os.O_WRONLY | os.O_TRUNC)
    try:
        write_all(descriptor, b"\n")
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove what a process left that died while it replaced its file."""
    with contextlib.suppress(OSError):
        for name in filter(is_temporary, os.listdir(folder)):
            if is_left_over(folder / name):
                (folder / name).unlink(missing_ok=True)


def _has_ended(path: Path, directory: Path, journals: Mapping[str, Sequence[int]]) -> bool:
    with open(open_file(path), "rb") as file:
        header = parse_header(path, file.read(HEADER))
        file.seek(max(file.seek(0, os.SEEK_END) - len(_CLOSED), 0))
        last = file.read()
    return header is None or is_closed(last) or header.is_gone(directory, journals)
