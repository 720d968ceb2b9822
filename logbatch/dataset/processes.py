"""What a directory tells of the processes that log to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from logbatch.dataset.marks import Mark, Marks
from logbatch.dataset.reports import ProcessReport, Reports
from logbatch.dataset.source import Source


class Processes:
    """The part of a `Dataset` that tells of processes instead of records."""

    _source: Source
    _marks: Marks
    _reports: Reports

    def reports(self) -> Sequence[ProcessReport]:
        """Return what the processes that log here reported of their delivery.

        A process reports once a second when something has changed, unless `report=False`; a report
        stays for a day after its process has ended.  Of many, the 2,000 that changed last are
        read, and of each of these the last part, so that all together are 8 MiB at most.

        Returns:
            One report for each handler or processor, in the order in which they began.
        """
        return self._reports.read()

    def marks(self, start: datetime | None = None, end: datetime | None = None) -> Sequence[Mark]:
        """Return what happened to the services that log here: starts, restarts, deploys, losses.

        When a process began is told by its producer's id, and its service by its report or its
        first record.  A restart is a process of a service of which an earlier one is known; what
        happens to a service within ten seconds is one mark.  A deploy is one whose version is
        another than that of the process before it, as far as they say it: `service.version` in
        `OTEL_RESOURCE_ATTRIBUTES` (of which the report tells for a day) or among the attributes of
        the first record.  Losses are told by the records that logbatch itself logs about them.
        Of what other programs sent to `logbatch serve` nothing tells when they began.

        Args:
            start: The time from which on they are wanted; None for the beginning.
            end: The time before which they are; None for the end.

        Returns:
            At most the newest 1,000, in the order of time.  As many processes, and 200 before
            them, are looked at; 5,000 files at a time are searched for losses, each once.

        Raises:
            DatasetError: The directory cannot be read.
            QueryError: DuckDB is not installed.
        """
        return self._marks.find(start, end)
