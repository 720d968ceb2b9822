"""Read what was written: a consistent view over files and journals, each record exactly once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from logbatch.dataset import bridges
from logbatch.dataset.analysis.api import Analysis
from logbatch.dataset.analysis.grouping import Grouping
from logbatch.dataset.bridges import TakenFile
from logbatch.dataset.fields import UnknownField, unknown_fields
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.follow import Follower
from logbatch.dataset.footers import FIXED
from logbatch.dataset.listing import find_folders
from logbatch.dataset.marks import Marks
from logbatch.dataset.merge import ordered_rows
from logbatch.dataset.processes import Processes
from logbatch.dataset.query import run_query
from logbatch.dataset.reports import Reports
from logbatch.dataset.rows import Row
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.dataset.stopping import Stop, until
from logbatch.dataset.tables import scan
from logbatch.dataset.upkeep import Upkeep
from logbatch.errors import DatasetError
from logbatch.storage.columns import COLUMNS

if TYPE_CHECKING:
    import duckdb
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]
    import polars as pl

POLL = 0.1  # seconds between two looks of `follow`


class Dataset(Upkeep, Analysis, Grouping, Processes):
    """A directory that logbatch writes, or wrote, to.

    Each call looks at the directory as it is at that moment: published files, and what processes
    have logged but not published yet.  A file that cannot be read, or that is not of logbatch, is
    left out with a `DatasetWarning`, and told in `problems`.

    Args:
        path: The directory; an empty one is an empty dataset.

    Attributes:
        path: The directory.

    Raises:
        DatasetError: There is no such directory, or it cannot be read.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        find_folders(self.path)
        self._source = Source(self.path.absolute())
        self._reports = Reports(self._source.directory)
        self._marks = Marks(self._source, self._reports)

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r})"

    @property
    def problems(self) -> Sequence[str]:
        """What was left out of the answers so far, and why."""
        return tuple(self._source.problems)

    @property
    def progress(self) -> tuple[int, int]:
        """How many files were read so far, and how many there are: for a call that takes long."""
        return len(self._source.looked_at), self._source.files

    def snapshot(self) -> Snapshot:
        """Return where each record is at this moment: its file, or its journal.

        Raises:
            DatasetError: The directory cannot be read.
        """
        return self._source.snapshot()

    def to_table(
        self, where: Filter | str | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Read records into an Arrow table.

        They come file by file; `sort_by("timestamp")` puts them in the order of time.

        Args:
            where: A filter, or its text; None takes all records.
            columns: Names, in the order wanted; None takes the 23 fixed columns and all promoted
                ones.  `attributes` is JSON text.

        Raises:
            DatasetError: The directory cannot be read, or a column is unknown, or none is named.
            FilterError: The filter has a mistake.
            TypeError: The filter is no filter, or the columns are one text.
        """
        chosen = _check(where, columns)
        return self._source.retry(
            lambda snapshot: scan(self._source, snapshot, self._schema(snapshot, columns), chosen)
        )

    def _schema(self, snapshot: Snapshot, columns: Sequence[str] | None) -> pa.Schema:
        known = FIXED
        if columns is None or not set(columns) <= COLUMNS.keys():
            known = self._source.schema(snapshot.parts)
        names = known.names if columns is None else list(columns)
        for name in names:
            if name not in known.names:
                close = get_close_matches(name, known.names, 1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise DatasetError(f"there is no column {name!r}{hint}")
        if not names or len(set(names)) < len(names):
            raise DatasetError(f"columns={names!r} must name one column at least, and none twice")
        return pa.schema([known.field(name) for name in names])

    def scan(
        self, where: Filter | str | None = None, columns: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Read records bit by bit: what `to_table` gives, for as many as memory could not hold.

        The view is that of the moment of the call; files are read as the reader gets to them.
        From the first batch on it takes a thread, open files and, for what is large, a place on
        the disk.  These go when the last batch has been read, or reading fails, or nothing refers
        to the reader any more: `del reader`.  Its own `close`, and so the end of a `with`, does
        nothing, as for any reader that Arrow makes of an iterator; one that could be closed
        would make an error, and Ctrl-C, an `ArrowInvalid`.

        Args:
            where: A filter, or its text; None takes all records.
            columns: As in `to_table`.

        Raises:
            DatasetError: The directory cannot be read, or a column is unknown, or none is named.
            FilterError: The filter has a mistake.
            TypeError: The filter is no filter, or the columns are one text.
        """
        chosen = _check(where, columns)
        snapshot, schema = self._source.retry(lambda now: (now, self._schema(now, columns)))
        reader: pa.RecordBatchReader = bridges.stream(self._source, snapshot, schema, chosen)
        return reader

    def to_pandas(
        self, where: Filter | str | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Read records into a DataFrame of pandas; the arguments and errors are `to_table`'s."""
        frame: pd.DataFrame = self.to_table(where, columns).to_pandas()
        return frame

    def to_polars(self) -> pl.LazyFrame:
        """Return a LazyFrame of Polars over the exact files, which it reads when it collects.

        What is not in a Parquet file, or in one that is only partly taken, is read at once.

        Raises:
            DatasetError: The directory cannot be read.
        """
        return self._source.retry(lambda snapshot: bridges.make_lazy(self._source, snapshot))

    def to_duckdb(
        self, connection: duckdb.DuckDBPyConnection, name: str = "logs"
    ) -> duckdb.DuckDBPyRelation:
        """Make a temporary view over the exact files in a connection, with `sql`'s columns.

        DuckDB reads the Parquet files when it is asked; what is elsewhere is read at once.  The
        view stays that of this moment: a query fails when its files have been merged away, until
        this is called again.

        Args:
            connection: A connection of DuckDB's, with its own limits and rights.
            name: The view's; one of this name is replaced.

        Returns:
            The view, as a relation.

        Raises:
            DatasetError: The directory cannot be read.
        """
        return self._source.retry(
            lambda snapshot: bridges.make_view(self._source, snapshot, connection, name)
        )

    def files(self) -> Sequence[TakenFile]:
        """Return the exact files that hold what is published, for any engine.

        While files are merged, some of their records stand in two of them: then one is left out, or
        has `rows`, and no others are to be taken of it.  What is not published yet is in no file.

        Raises:
            DatasetError: The directory cannot be read.
        """
        return self._source.retry(bridges.list_taken)

    def unknown_fields(self, where: Filter | str, timeout: float = 1.0) -> Sequence[UnknownField]:
        """Return the fields of a filter that no record has: where it finds nothing, that is why.

        The newest records are looked at first, and no more than the time allows.

        Args:
            where: A filter, or its text.
            timeout: The seconds after which no further file is looked into.

        Returns:
            For each its name, and what may have been meant; as a text it is a sentence.

        Raises:
            DatasetError: The directory cannot be read.
            FilterError: The filter has a mistake.
        """
        return unknown_fields(self._source, Filter.build(where), timeout)

    def rows(
        self,
        where: Filter | str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Row]:
        """Read records as dicts, in the order of time.

        The view is that of the moment of the call.  Records of the same time are in the order of
        producer and sequence.  With `newest_first` and a limit only the files at the end of the
        log are read: it is taken for granted that no record is newer than the last write to its
        file, until one of these files shows that it is not so; then all are looked at.

        Args:
            where: A filter, or its text; None takes all records.
            limit: At most so many; None for all.
            newest_first: From the end of the log to its beginning.

        Returns:
            Dicts of the 23 fixed columns: `timestamp` an aware datetime in UTC, `attributes` a
            dict.  Files are read as the iterator gets to them.

        Raises:
            DatasetError: The directory cannot be read.
            FilterError: The filter has a mistake.
        """
        chosen = Filter.build(where)
        if limit is not None and limit < 0:
            raise ValueError(f"limit={limit!r} must be 0 or more")
        snapshot = self._source.snapshot()
        return ordered_rows(self._source, snapshot, chosen, limit=limit, newest_first=newest_first)

    def follow(
        self,
        where: Filter | str | None = None,
        *,
        last: int | None = 0,
        interval: float = POLL,
        stop: Stop | None = None,
    ) -> Iterator[Row]:
        """Follow the log: records as they are logged, each once, without a gap.

        A record comes at most `interval` after the logging call, whatever the flush interval of
        the process that logs.  What came between two looks is in the order of time.

        Args:
            where: A filter, or its text; None takes all records.
            last: Begin with so many records that are there already; None begins with all of them.
            interval: Seconds between two looks.
            stop: A `threading.Event`, or anything with `wait(seconds)` and `is_set()` like its; the
                iterator ends when one of them returns true.  It waits between two looks, so first
                when the records that are there already have been told; a search that goes on
                asks `is_set()`, and ends at once.  None never ends.

        Returns:
            Dicts as `rows` gives them.  What counts as new is settled by the call, not by the
            first `next`.

        Raises:
            DatasetError: The directory cannot be read.
            FilterError: The filter has a mistake.
        """
        chosen = Filter.build(where)
        if last is not None and last < 0:
            raise ValueError(f"last={last!r} must be 0 or more, or None")
        snapshot = self._source.snapshot()
        follower = Follower(self._source, snapshot, chosen)
        end = stop or threading.Event()
        return until(self._follow(snapshot, chosen, last, follower.run(interval, end)), end)

    def _follow(
        self, snapshot: Snapshot, where: Filter, last: int | None, news: Iterator[Row]
    ) -> Iterator[Row]:
        if last is None:
            yield from ordered_rows(self._source, snapshot, where)
        elif last:
            found = ordered_rows(self._source, snapshot, where, limit=last, newest_first=True)
            yield from reversed(list(found))
        yield from news

    def sql(
        self, query: str, *, memory_limit: str = "1GB", timeout: float | None = 30.0
    ) -> pa.Table:
        """Ask one SELECT of DuckDB's SQL about the view `logs`.

        The view has the 23 fixed columns and the promoted ones; `attributes` is JSON, so
        `attributes->>'user_id'` works.  Times are shown in UTC.  SQL reaches no file, no network
        and no setting.

        Args:
            query: One SELECT, or what DuckDB takes for one: WITH, FROM, VALUES, DESCRIBE,
                SUMMARIZE.
            memory_limit: The most memory that the query and its result may each take: `"500MB"`.
            timeout: The most seconds it may take; None for any number.

        Returns:
            The result as an Arrow table.

        Raises:
            QueryError: The query is refused, fails, or passes a limit; or DuckDB is not installed.
            DatasetError: The directory cannot be read.
        """
        return run_query(self._source, query, memory_limit=memory_limit, timeout=timeout)


def _check(where: Filter | str | None, columns: Sequence[str] | None) -> Filter:
    if isinstance(where, list | tuple):
        raise TypeError(f"the first argument is the filter; columns are columns={where!r}")
    if isinstance(columns, str):
        raise TypeError(f"columns={columns!r} must be a list of names: columns=[{columns!r}]")
    return Filter.build(where)
