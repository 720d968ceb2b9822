"""What a directory tells of the processes that log to it."""

from __future__ import annotations

from collections.abc import Sequence

from logbatch.dataset.reports import ProcessReport, read_reports
from logbatch.dataset.source import Source


class Processes:
    """The part of a `Dataset` that tells of processes instead of records."""

    _source: Source

    def reports(self) -> Sequence[ProcessReport]:
        """Return what the processes that log here reported of their delivery.

        A process reports once a second when something has changed, unless `report=False`; a report
        stays for a day after its process has ended.  Of many, the 2,000 that changed last are
        read, and the whole course of those of them that are 8 MiB together; of the others only
        how it is now.

        Returns:
            One report for each handler or processor, in the order in which they began.
        """
        return read_reports(self._source.directory)
