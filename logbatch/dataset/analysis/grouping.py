"""Alike records put together: errors and patterns; and what surrounds one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from logbatch.dataset.analysis.arguments import at_least, instant, seconds
from logbatch.dataset.analysis.context import find_context
from logbatch.dataset.analysis.errors import ErrorGroups, Wanted, find_errors
from logbatch.dataset.analysis.patterns import Asked, Patterns, Range, find_patterns
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.rows import Row
from logbatch.dataset.source import Source

Moments = tuple[datetime | None, datetime | None]
"""The first moment that counts, and the first that does not; None for no end."""


class Grouping:
    """The part of a `Dataset` that puts records together."""

    _source: Source

    def errors(
        self,
        where: Filter | str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        since: datetime | None = None,
        limit: int = 100,
        bins: int = 30,
        timeout: float | None = 30.0,
    ) -> ErrorGroups:
        """Put errors of one kind together, as error trackers do, and count them.

        An error is a record with an exception, or with level ERROR or above.  Exceptions are of one
        kind if their types are the same and the application's own frames, in the exceptions that
        led to them, too; their messages, line numbers, and where the code is installed do not
        count.  Errors without an exception are of one kind if logger and template are the same.
        What `collapse_repeats` has stored as repeated counts as often as it was.

        Args:
            where: A filter, or its text; None takes all records.
            start: The first moment of the range that is counted; None for that of the first error.
            end: The first moment after the range; None for after the last error.
            since: A kind is new whose first error, in the range or before it, was logged then or
                later.
            limit: The most kinds that are returned.
            bins: Into how many parts the range is divided, in each of which errors are counted.
            timeout: The most seconds it may take; None for any number.

        Returns:
            The kinds: new ones first if `since` is given, then those with the most errors.  The
            tuple also says the range, the total, and how many errors are of none of these kinds:
            of those beyond the 3,000 most frequent the stack traces are not looked at.

        Raises:
            DatasetError: The directory cannot be read.
            FilterError: The filter has a mistake.
            QueryError: It takes too long, or DuckDB is not installed.
        """
        wanted = Wanted(
            Filter.build(where),
            instant(start),
            instant(end),
            instant(since),
            at_least(0, "limit", limit),
            at_least(1, "bins", bins),
            seconds(timeout),
        )
        return self._source.retry(lambda snapshot: find_errors(self._source, snapshot, wanted))

    def patterns(
        self,
        where: Filter | str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        compare: tuple[Moments, Moments] | None = None,
        limit: int = 1000,
        timeout: float | None = 30.0,
    ) -> Patterns:
        """Count records by template, logger and level.

        A message without a template, or that was formatted before it was logged, is its own.  What
        `collapse_repeats` has stored as repeated counts as often as it was.

        Args:
            where: A filter, or its text; None takes all records.
            start: The first moment of the range that is counted; None for that of the first record.
            end: The first moment after the range; None for after the last record.
            compare: Two such ranges.  A pattern is `"new"` if the first has none of it, `"gone"` if
                the second has none, `"more"` or `"less"` if its rate in the second is at least
                twice, or at most half, of that in the first, and this is no chance; else `"same"`.
                `logbatch.dataset.analysis.comparison` says how that is told.
            limit: The most patterns that are returned.
            timeout: The most seconds it may take; None for any number.

        Returns:
            The patterns: the most frequent first; with `compare` those that changed first, the less
            likely by chance the earlier.  The tuple also says how many patterns and records there
            are, and how many of the records are of none of these patterns.  The 10,000 most
            frequent ones are compared.

        Raises:
            DatasetError: The directory cannot be read.
            FilterError: The filter has a mistake.
            QueryError: It takes too long, or DuckDB is not installed.
        """
        asked = Asked(
            Filter.build(where),
            _range(start, end),
            None if compare is None else (_range(*compare[0]), _range(*compare[1])),
            at_least(0, "limit", limit),
            seconds(timeout),
        )
        return self._source.retry(lambda snapshot: find_patterns(self._source, snapshot, asked))

    def context(
        self, row: Mapping[str, Any] | tuple[str, int], *, before: int = 20, after: int = 20
    ) -> Sequence[Row]:
        """Return a record and what the same thread of the same process logged around it.

        Args:
            row: The record, as `rows` gives it, or its producer and sequence.
            before: The most records before it.
            after: The most records after it.

        Returns:
            Dicts as `rows` gives them, in the order in which they were logged.

        Raises:
            DatasetError: The record is not there any more, or the directory cannot be read.
            QueryError: DuckDB is not installed.
        """
        at_least(0, "before", before)
        at_least(0, "after", after)
        place = row if isinstance(row, tuple) else (row["producer"], row["sequence"])
        return self._source.retry(
            lambda snapshot: find_context(self._source, snapshot, place, before, after)
        )


def _range(start: datetime | None, end: datetime | None) -> Range:
    return instant(start), instant(end)
