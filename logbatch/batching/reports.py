"""What a batcher tells, once a second where it has changed, to whoever looks at its directory.

The thread that delivers does this between two steps, so that no caller waits for it, and it says
nothing while a send is under way.  A report is no record: what cannot be written is left out
without a word, and tried again later.

There is a file for each producer (`report_file`).  What is reported are the figures of the whole
batcher, as `stats()` has them; so a later producer of the same batcher begins with those that were
told last under the name of the one before.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from logbatch.batching.report_file import Header, ReportFile, encode_sample, keep_few
from logbatch.batching.session import Session
from logbatch.events.context import host_name, service_name, service_version
from logbatch.events.fields import short
from logbatch.options import BatchOptions
from logbatch.stats import Stats
from logbatch.storage.segments import born
from logbatch.transports.adapted import given_object
from logbatch.transports.base import BaseTransport
from logbatch.version import VERSION

EVERY = 1.0  # seconds between two samples
_RETRY = 10.0  # seconds until the next try where one could not be written
_REMOVE_EVERY = 3600.0  # seconds between two looks for old reports
_LONGEST = 200  # characters of the latest error
_DEFAULTS = {field.name: getattr(Stats(), field.name) for field in fields(Stats)}


class Reporter:
    """Writes the reports of one batcher.

    Its fields belong to the thread that delivers, but for `_sessions`, which others append to.

    Args:
        directory: Where journals are.
        transport: The destination; its kind is told.
        options: What the service and the host are called.
        stats: Returns the figures.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        directory: Path,
        transport: BaseTransport,
        options: BatchOptions,
        stats: Callable[[], Stats],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._transport = transport
        self._options = options
        self._stats = stats
        self._clock = clock
        self._sessions: deque[Session] = deque()  # those that are not reported to their end
        self._file: ReportFile | None = None
        self._told: Mapping[str, Any] = {}  # in the last sample
        self._due = float("-inf")
        self._remove_at = float("-inf")

    def begin(self, session: Session) -> None:
        """Report a session from now on, as soon as those before it have ended."""
        self._sessions.append(session)

    def step(self) -> float:
        """Write what is to be written now.

        Returns:
            Seconds until there may be more.
        """
        while len(self._sessions) > 1 and self._sessions[0].ended:
            self._tell(self._sessions.popleft(), closed=True)
        now = self._clock()
        if now < self._due:
            return self._due - now
        self._due = now + EVERY
        return EVERY if self._tell(self._sessions[0]) else float("inf")

    def _tell(self, session: Session, *, closed: bool = False) -> bool:
        """Write a sample where something has changed; return whether there was any."""
        figures = describe(self._stats())
        producer = session.journal.producer
        ends = closed and self._file is not None and self._file.producer == producer
        if figures == self._told and not ends:
            return False
        try:
            self._write(producer, figures, closed=closed)
        except OSError:  # a full disk, one that may not be written to, no descriptors left
            self._due = self._clock() + _RETRY
        else:
            self._told = figures
        return True

    def _write(self, producer: str, figures: Mapping[str, Any], *, closed: bool) -> None:
        if self._file is None or self._file.producer != producer:
            opening = encode_sample(born(producer), self._told)
            self._file = ReportFile(self._directory, self._make_header(producer), opening)
        self._file.append(encode_sample(time.time(), figures, closed=closed))
        if self._clock() >= self._remove_at:
            self._remove_at = self._clock() + _REMOVE_EVERY
            keep_few(self._file.path)

    def _make_header(self, producer: str) -> Header:
        service, host = self._options.service, self._options.host
        return Header.of_this_process(
            logbatch=VERSION,
            producer=producer,
            service=short(service_name() if service is None else service) or "",
            host=short(host_name() if host is None else host) or "",
            transport=kind_of(self._transport),
            version=service_version(),
        )


def kind_of(transport: BaseTransport) -> str:
    """Name the kind of a destination: `parquet`, `jsonl`, `sqlite`, `http`, or a foreign class."""
    name = type(given_object(transport)).__name__
    return name.removesuffix("Transport").lower() or name


def describe(stats: Stats) -> dict[str, Any]:
    """Return the figures that are not what they were at the beginning, with fewer digits."""
    found = {name: _round(value) for name, value in stats.as_dict().items()}
    if stats.last_error is not None:
        found["last_error"] = stats.last_error[:_LONGEST]
    return {name: value for name, value in found.items() if value != _DEFAULTS[name]}


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _round(each) for name, each in value.items()}
    return value
