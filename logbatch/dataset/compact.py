"""Compaction: all producers of a date into few files of about one size, in one order.

Dates are independent of one another: each is a task, a plain function of a plain value (see
`logbatch.dataset.compaction`), that may run anywhere and be run again.  Here they are found, handed
out, watched and counted, by the one who has the dataset's maintenance lock.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from logbatch.batching.report_file import remove_old
from logbatch.dataset.compaction.inputs import count_names
from logbatch.dataset.compaction.promote import AUTO, NONE
from logbatch.dataset.compaction.run import compact_folder
from logbatch.dataset.compaction.sorter import LEAST_MEMORY, attribute_of
from logbatch.dataset.compaction.staging import PREFIX, clean, stop
from logbatch.dataset.compaction.task import CompactTask, Count, Outcome, read_progress
from logbatch.dataset.listing import find_folders
from logbatch.epoch import SECOND
from logbatch.errors import DatasetError
from logbatch.identity import new_producer
from logbatch.storage.columns import COLUMNS
from logbatch.storage.maintenance import JOURNAL, maintaining
from logbatch.storage.policy import parse_age, parse_bytes
from logbatch.storage.segments import list_files

_LOOK = 0.1  # seconds between two looks at what tasks tell
_MEMORY = 1_000_000_000  # bytes that a compaction may take unless it is told; more for many workers
_NO_TIME = re.compile(r"0+(\.0*)?[smhdw]?")


class Done(NamedTuple):
    """How far a compaction is.

    Attributes:
        total: What there is to compact; the rows of growing files and compacted ones are not known.
        read: What was read of it.
        written: How many rows were written.
    """

    total: Count
    read: Count
    written: int


Tell = Callable[[Done], object]


class Report(NamedTuple):
    """What a compaction did.

    Attributes:
        outcomes: What became of each date's folder, in their order.
        dry_run: Whether nothing was changed.
    """

    outcomes: tuple[Outcome, ...]
    dry_run: bool = False

    @property
    def before(self) -> Count:
        """What there was."""
        return sum((each.before for each in self.outcomes), Count())

    @property
    def after(self) -> Count:
        """What there is now, or would be."""
        return sum((each.after for each in self.outcomes), Count())

    @property
    def changed(self) -> int:
        """How many folders were changed, or would be."""
        return sum(each.changed for each in self.outcomes)

    @property
    def problems(self) -> tuple[str, ...]:
        """Files that took no part, and why."""
        return tuple(problem for each in self.outcomes for problem in each.problems)

    @property
    def failures(self) -> tuple[str, ...]:
        """Folders that are as they were, and why."""
        return tuple(f"{each.folder}: {each.failure}" for each in self.outcomes if each.failure)


class Options(NamedTuple):
    """How to compact.

    Attributes:
        older_than: Seconds since the end of a date, from which on it is compacted; 0 takes all.
        cluster_by: Columns or attributes by which records are ordered before their time.
        target_size: About how many bytes a file has.
        promote: `auto`, `none`, or names of attributes that become typed columns.
        to_parquet: Whether files of JSON Lines become Parquet; they do where there is Parquet.
        memory_limit: Bytes of memory for all workers together.
        workers: Processes that work; 1 works in this one.
        dry_run: Whether nothing is to be changed.
    """

    older_than: float = 86_400
    cluster_by: tuple[str, ...] = ()
    target_size: int = 128_000_000
    promote: str | tuple[str, ...] = AUTO
    to_parquet: bool = False
    memory_limit: int = _MEMORY
    workers: int = 1
    dry_run: bool = False


def make_options(
    *,
    older_than: float | timedelta | str,
    cluster_by: Sequence[str] | str,
    target_size: int | str,
    promote: Sequence[str] | str,
    to: str | None,
    memory_limit: int | str | None,
    workers: int | None,
    dry_run: bool,
) -> Options:
    """Check what a user asks for; where no workers are named, one for each core that has memory.

    Raises:
        ValueError: A value cannot be.
    """
    if to not in (None, "parquet"):
        raise ValueError(f"to={to!r}: files are compacted to 'parquet' only")
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers!r} must be 1 or more")
    keys = (cluster_by,) if isinstance(cluster_by, str) else tuple(cluster_by)
    meant = [(key in COLUMNS, attribute_of(key)) for key in keys]
    for key, what in zip(keys, meant, strict=True):
        if not what[1] or key == "attributes" or meant.count(what) > 1:
            raise ValueError(f"cluster_by={key!r} must name a column or an attribute, once")
        if key == "timestamp":
            raise ValueError("cluster_by='timestamp': records are in the order of time anyway")
    memory = _MEMORY if memory_limit is None else parse_bytes("memory_limit", memory_limit)
    if workers is None:
        workers = max(min(os.cpu_count() or 1, memory // LEAST_MEMORY), 1)
    if memory < LEAST_MEMORY * workers:
        if memory_limit is not None:
            least = f"{LEAST_MEMORY // 1_000_000} MB"
            told = f"memory_limit={memory_limit!r} must be {least} or more for each worker"
            raise ValueError(f"{told}, of {workers}")
        memory = LEAST_MEMORY * workers
    return Options(
        _seconds(older_than),
        keys,
        parse_bytes("target_size", target_size),
        _rule(promote),
        to == "parquet",
        memory,
        workers,
        dry_run,
    )


def _rule(promote: Sequence[str] | str) -> str | tuple[str, ...]:
    if isinstance(promote, str) and promote in (AUTO, NONE):
        return promote
    names = (promote,) if isinstance(promote, str) else tuple(dict.fromkeys(promote))
    if words := [name for name in names if name in (AUTO, NONE)]:
        raise ValueError(f"promote: {words[0]!r} stands alone; name all attributes, or none")
    if taken := [name for name in names if name in COLUMNS or not name]:
        raise ValueError(f"promote: {taken[0]!r} is not an attribute")
    return names or NONE


def _seconds(age: float | timedelta | str) -> float:
    if isinstance(age, timedelta):
        age = age.total_seconds()
    return 0.0 if _NO_TIME.fullmatch(str(age)) else parse_age("older_than", age) / SECOND


def compact(
    directory: Path,
    options: Options,
    *,
    now: float | None = None,
    executor: Executor | None = None,
    tell: Tell = lambda _: None,
) -> Report:
    """Compact the dates of a directory.

    Args:
        directory: The dataset's, absolute.
        options: How.
        now: Seconds since 1970; None asks the clock.
        executor: Runs the tasks; None makes one of `options.workers`.
        tell: Is told now and then how far it is.

    Raises:
        MaintenanceBusy: Another process compacts it, or removes what is old.
        DatasetError: The directory cannot be read.
        OSError: Nothing can be written there.
    """
    moment = time.time() if now is None else now
    if options.dry_run:
        return _run(directory, options, moment, executor, tell)
    find_folders(directory)  # else the lock would make the directory
    with maintaining(directory, "logbatch compact"):
        clean(directory / JOURNAL)
        remove_old(directory / JOURNAL)
        return _run(directory, options, moment, executor, tell)


def _run(
    directory: Path, options: Options, now: float, executor: Executor | None, tell: Tell
) -> Report:
    tasks = _make_tasks(directory, options, now)
    total = sum((count_names(Path(task.folder)) for task in tasks), Count())
    with contextlib.ExitStack() as stack:
        if executor is None and tasks:
            executor = stack.enter_context(make_executor(min(options.workers, len(tasks))))
        outcomes = _hand_out(tasks, executor, total, tell) if executor else []
    return Report(tuple(outcomes), options.dry_run)


def _make_tasks(directory: Path, options: Options, now: float) -> list[CompactTask]:
    folders = find_folders(directory)
    closed = [each for each in folders if is_older(each.name, options.older_than, now)]
    jsonl = options.to_parquet or any(_has_parquet(folder) for folder in folders)
    workers = min(options.workers, len(closed)) or 1
    names = () if isinstance(options.promote, str) else options.promote
    return [
        CompactTask(
            folder=str(folder),
            place=str(directory / JOURNAL / f"{PREFIX}{new_producer()}"),
            cluster_by=options.cluster_by,
            target_size=options.target_size,
            promote=options.promote if isinstance(options.promote, str) else "names",
            names=names,
            jsonl=jsonl,
            memory=options.memory_limit // workers,
            threads=max((os.cpu_count() or 1) // workers, 1),
            dry_run=options.dry_run,
        )
        for folder in closed
    ]


def _has_parquet(folder: Path) -> bool:
    return any(name.endswith(".parquet") and name[:1] != "." for name in list_files(folder))


def is_older(name: str, seconds: float, now: float) -> bool:
    """Return whether the date of a folder ended at least so many seconds ago.

    Args:
        name: Of the folder.
        seconds: How many; 0 is true of every folder, also of today's.
        now: Seconds since 1970.
    """
    if not seconds:
        return True
    try:
        begin = datetime.fromisoformat(name.removeprefix("date=")).replace(tzinfo=UTC)
        return (begin + timedelta(days=1)).timestamp() + seconds <= now
    except (ValueError, OverflowError):
        return False


# ------------------------------------------------------------------ handing out


def make_executor(workers: int) -> Executor:
    """Make what runs tasks: one thread beside ours, which can then be interrupted, or processes."""
    if workers == 1:
        return ThreadPoolExecutor(1, "logbatch-compact")
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _begin_worker)


def _begin_worker() -> None:
    """Leave Ctrl-C to the process that waits for us, which asks us to end; do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="logbatch-parent", daemon=True).start()


def _end_with_parent() -> None:
    """End at once when the process that waits for us was killed: it asks nothing of us any more.

    A worker of a pool would wait for its next task for ever.  What it leaves is as if it had been
    killed as well: the next compaction cleans that up.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _hand_out(
    tasks: Sequence[CompactTask], executor: Executor, total: Count, tell: Tell
) -> list[Outcome]:
    futures = {executor.submit(compact_folder, task): task for task in tasks}
    try:
        for read, written in _watch(futures):
            tell(Done(total, read, written))
    except BaseException:
        _stop(futures)
        raise
    return [_outcome_of(future, task) for future, task in futures.items()]


def _outcome_of(future: Future[Outcome], task: CompactTask) -> Outcome:
    """Return what became of a task, whose process may have been killed."""
    try:
        return future.result()
    except BrokenExecutor:
        reason = "the process that was to compact it died; nothing was lost: run it again"
        return Outcome(Path(task.folder).name, failure=reason)


def _watch(futures: dict[Future[Outcome], CompactTask]) -> Iterator[tuple[Count, int]]:
    """Yield what was read and written, until all is done."""
    pending = set(futures)
    while pending:
        _, pending = wait(pending, _LOOK)
        read, written = Count(), 0
        for future, task in futures.items():
            if future.done():
                outcome = _outcome_of(future, task)
                read += outcome.before
                written += outcome.after.rows
            else:
                files, size, rows, wrote = read_progress(Path(task.place))
                read += Count(files, size, rows)
                written += wrote
        yield read, written


def _stop(futures: dict[Future[Outcome], CompactTask]) -> None:
    """Have tasks end that are running; their folders stay as they are."""
    pending = {future for future in futures if not future.cancel()}
    while pending:
        for future in pending:
            stop(Path(futures[future].place))
        _, pending = wait(pending, _LOOK)


def raise_failures(report: Report) -> None:
    """Raise what kept folders from being compacted.

    Raises:
        DatasetError: There are such.
    """
    if report.failures:
        raise DatasetError("\n".join(report.failures))
