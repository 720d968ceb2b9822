"""What is done to a whole directory from Python: compaction, retention, export."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from logbatch.dataset.export import Exported, Target, export
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.retain import Retained, Wanted, retain
from logbatch.dataset.source import Source
from logbatch.storage.policy import Policy

if TYPE_CHECKING:
    from logbatch.dataset.compact import Report


class Upkeep:
    """The part of a `Dataset` that changes the directory, or writes elsewhere."""

    _source: Source

    def compact(
        self,
        *,
        older_than: float | timedelta | str = "1d",
        cluster_by: Sequence[str] | str = (),
        target_size: int | str = "128MB",
        promote: Sequence[str] | str = "auto",
        to: str | None = None,
        memory_limit: int | str | None = None,
        workers: int = 1,
        executor: Executor | None = None,
        dry_run: bool = False,
    ) -> Report:
        """Merge the files of each closed date into few.

        Readers see each record once while it runs, also if it is killed; processes that log may go
        on.  What is done already is left alone.

        Args:
            older_than: Dates that ended at least so long ago: seconds, or `"36h"`; 0 takes all,
                also today's.
            cluster_by: Columns or attributes by which records are ordered before their time, so
                that a session lies together.
            target_size: About how many bytes a file has: a number, or `"128MB"`.
            promote: `"auto"` gives those attributes a typed column that a fifth of a date's records
                have, with values of one type; `"none"` gives none, and names give it to these.
            to: `"parquet"` makes Parquet of JSON Lines; where there is Parquet already, that is
                done anyway.
            memory_limit: About the most memory that all workers take together: None for `"1GB"`, or
                500 MB for each of them if that is more.
            workers: Processes that work.  With more than one, the program must keep what it does
                under `if __name__ == "__main__":`.
            executor: Runs the tasks instead, each a function of plain values.
            dry_run: Whether to change nothing and tell what would be done.

        Returns:
            What there was and what there is, date by date, and the files that took no part.

        Raises:
            MaintenanceBusy: Another process compacts the directory, or removes what is old.
            DatasetError: A date could not be compacted, which is as it was; the others are done.
            ValueError: An argument cannot be.
        """
        from logbatch.dataset.compact import compact, make_options, raise_failures

        options = make_options(
            older_than=older_than,
            cluster_by=cluster_by,
            target_size=target_size,
            promote=promote,
            to=to,
            memory_limit=memory_limit,
            workers=workers,
            dry_run=dry_run,
        )
        report = compact(self._source.directory, options, executor=executor)
        raise_failures(report)
        return report

    def retain(
        self,
        *,
        max_age: str | float | None = None,
        max_bytes: str | int | None = None,
        keep: str | None = None,
        keep_age: str | float | None = None,
        dry_run: bool = False,
        trust_clock: bool = False,
    ) -> Retained:
        """Remove what is too old, or too much: oldest whole files first.

        A file goes when its newest record is older than `max_age`.  Age is counted up to now, but
        after a jump of the clock only once records, or earlier runs, have gone on for half a day
        by it.  Processes may go on writing meanwhile.

        Args:
            max_age: `"14d"`, `"36h"`, or a number of seconds; None for any age.
            max_bytes: The most bytes that all files may take: `"5GB"`; None for any number.
            keep: A filter of records that stay longer: files older than `max_age` are rewritten
                with only these.
            keep_age: Until they are so old; None keeps them for as long as `max_bytes` does.
            dry_run: Change nothing; only say what would be done.
            trust_clock: Count age up to what the clock says, whatever the records say.

        Returns:
            What was done.

        Raises:
            ValueError: What is asked for cannot be understood, or does not go together.
            FilterError: The filter has a mistake.
            DatasetError: The directory cannot be read, or another process maintains it.
            OSError: It cannot be written to.
        """
        policy = Policy.build(max_age, max_bytes, keep_age)
        return retain(self._source, Wanted(policy, keep, dry_run, trust_clock))

    def export(
        self,
        to: str | PathLike[str],
        where: Filter | str | None = None,
        *,
        format: str | None = None,
        force: bool = False,
        exact: bool = False,
    ) -> Exported:
        """Write records to a file, in the order of time; it appears whole or not at all.

        Args:
            to: A file that ends in `.parquet`, `.csv` or `.jsonl`; or a directory, which gets a
                file for each date, in UTC.
            where: A filter, or its text; None takes all records.
            format: `"parquet"`, `"csv"` or `"jsonl"`: what to write into a directory.
            force: Replace files that are there.
            exact: In CSV, leave texts that a spreadsheet would take for formulas as they are;
                otherwise they get a `'` in front.

        Returns:
            How many records were written, and which files.

        Raises:
            DatasetError: The directory cannot be read, a file is there already, its name does not
                tell the format, or it would become part of the dataset.
            FilterError: The filter has a mistake.
            OSError: It cannot be written.
        """
        target = Target.build(Path(to), format, force=force, exact=exact)
        return export(self._source, target, Filter.build(where))
