"""What `Dataset` tells of a log as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from logbatch.dataset.analysis.arguments import at_least, instant, seconds
from logbatch.dataset.analysis.facets import Facet
from logbatch.dataset.analysis.histogram import Histogram
from logbatch.dataset.analysis.summary import Summary, Wanted, summarise
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.source import Source

_BINS = 100_000  # that a histogram may have


class Analysis:
    """The part of a `Dataset` that counts."""

    _source: Source

    def histogram(
        self,
        where: Filter | str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        bins: int = 100,
        timeout: float | None = 30.0,
    ) -> Histogram:
        """Count records over time, by level.

        Args:
            where: A filter, or its text; None takes all records.
            start: The first time; None begins with the first record.
            end: The time after the last; None ends with the last record.
            bins: How many bins there may be; they have a round width, such as 5 s or 1 h, and begin
                at round times in UTC.
            timeout: The most seconds it may take; None for any number.

        Raises:
            DatasetError: The directory cannot be read.
            FilterError: The filter has a mistake.
            QueryError: It takes too long, or DuckDB is not installed.
        """
        if not 1 <= bins <= _BINS:
            raise ValueError(f"bins={bins!r} must be from 1 to {_BINS:,}")
        wanted = Wanted(bins, fields=(), attributes=0)
        return self._summarise(where, wanted, start, end, timeout).histogram

    def facets(
        self,
        where: Filter | str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        fields: Sequence[str] = ("level", "logger", "process", "service"),
        limit: int = 10,
        attributes: int = 20,
        sample: int = 100_000,
        timeout: float | None = 30.0,
    ) -> Sequence[Facet]:
        """Find the most frequent values of columns and attributes.

        Args:
            where: A filter, or its text; None takes all records.
            start: The first time; None for any.
            end: The time after the last; None for any.
            fields: Columns and attributes, by the names that a filter has for them.
            limit: How many values of each.
            attributes: How many attributes more, those that most records have.
            sample: Attributes are counted in so many records, the newest that match.
            timeout: The most seconds it may take; None for any number.

        Returns:
            The fields in the order given, then the other attributes, most frequent first.

        Raises:
            DatasetError: The directory cannot be read.
            FilterError: The filter has a mistake.
            QueryError: It takes too long, or DuckDB is not installed.
        """
        if isinstance(fields, str):
            raise TypeError(f"fields={fields!r} must be a list of names: fields=[{fields!r}]")
        wanted = Wanted(
            1,
            tuple(fields),
            at_least(0, "limit", limit),
            at_least(0, "attributes", attributes),
            at_least(1, "sample", sample),
        )
        return self._summarise(where, wanted, start, end, timeout).facets

    def _summarise(
        self,
        where: Filter | str | None,
        wanted: Wanted,
        start: datetime | None,
        end: datetime | None,
        timeout: float | None,
    ) -> Summary:
        chosen = Filter.build(where)
        first, stop, limit = instant(start), instant(end), seconds(timeout)
        return self._source.retry(
            lambda snapshot: summarise(
                self._source, snapshot, chosen, wanted, start=first, end=stop, timeout=limit
            )
        )
