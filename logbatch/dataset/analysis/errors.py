"""Errors as error trackers show them: those of one kind together, by their fingerprints.

An error is a record with an exception, whatever its level, or with level ERROR or above.  DuckDB
puts together those that are alike but for what no fingerprint looks at, and counts them; so Python
takes apart one stack trace of each kind, not one of each record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from logbatch.dataset.analysis.fingerprints import Fingerprint, of_exception, of_template
from logbatch.dataset.analysis.kinds import Kind, Kinds, Newest
from logbatch.dataset.analysis.lookups import filter_for
from logbatch.dataset.analysis.tracebacks import Frame
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.footers import FIXED
from logbatch.dataset.matching import Matches
from logbatch.dataset.pieces import conform
from logbatch.dataset.rows import Row, rows_of_table
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.epoch import to_datetime
from logbatch.storage.columns import COLUMNS

MOST = 3000
"""Kinds that are taken apart, those with the most records first; the others are only counted."""

_BEGINNING = 2000  # characters of a stack trace that are kept
_ERRORS = Filter.parse("exception_type=* or levelno>=40")


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one kind.

    Attributes:
        fingerprint: What they have in common, as a hexadecimal number.
        type: The exception's; None where there is no exception.
        message: The newest exception's, or the newest record's.
        frames: File and function of the application's own frames in the newest, the outermost
            first; those of packages, or all, where none is its own.
        culprit: Where they arise: `shop/web.py in handle`.
        count: How many there are in the range.
        first: When the first was logged, in the range or before it.
        last: When the last in the range was logged.
        counts: How many there are in each bin of the range.
        example: The newest.
        is_new: Whether the first was logged at or after `since`.
        where: The text of a filter that finds them, unless their stack traces were cut, and
            perhaps a few others of the same type and place.
    """

    fingerprint: str
    type: str | None
    message: str
    frames: tuple[Frame, ...]
    culprit: str
    count: int
    first: datetime
    last: datetime
    counts: tuple[int, ...]
    example: Row
    is_new: bool
    where: str


class ErrorGroups(tuple[ErrorGroup, ...]):
    """Kinds of errors, and what is to be said of all of them.

    Attributes:
        start: Where the first bin begins; None where there are no errors and no range was given.
        end: Where the last bin ends.
        total: How many errors there are in the range.
        left_out: How many of them are in no group here: there were more kinds than were wanted.
    """

    start: datetime | None
    end: datetime | None
    total: int
    left_out: int

    def __new__(
        cls,
        groups: Iterable[ErrorGroup] = (),
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        total: int = 0,
    ) -> ErrorGroups:
        """Make them.

        Args:
            groups: The kinds.
            start: Where the first bin begins.
            end: Where the last bin ends.
            total: How many errors there are.
        """
        self = super().__new__(cls, groups)
        self.start, self.end, self.total = start, end, total
        self.left_out = total - sum(group.count for group in self)
        return self


class Wanted(NamedTuple):
    """What is asked.

    Attributes:
        where: Which records.
        start: Microseconds since 1970 with which the range begins; None for the first error.
        end: The same, with which it ends; None for the last error.
        since: The same, from which on an error counts as new; None where nothing is asked.
        limit: The most kinds that are wanted.
        bins: In how many parts the range is divided.
        timeout: Seconds that it may take.
    """

    where: Filter
    start: int | None
    end: int | None
    since: int | None
    limit: int
    bins: int
    timeout: float | None


def find_errors(
    source: Source, snapshot: Snapshot, wanted: Wanted, engine: Engine | None = None
) -> ErrorGroups:
    """Put errors together; see `Dataset.errors`.

    Raises:
        Vanished, Damaged: A file cannot be read.
        QueryError: DuckDB is not installed, or it took too long.
    """
    where = wanted.where & _ERRORS
    given = source, snapshot, where, list(COLUMNS), engine
    with Matches(*given, timeout=wanted.timeout, keeps=False) as matches:
        kinds = Kinds(matches)
        span = _span(kinds, wanted)
        if span is None:
            return ErrorGroups()
        counted, total = kinds.count(*span, wanted.bins, MOST)
        groups = sorted(
            _gather(kinds, counted).values(), key=lambda group: group.order(wanted.since)
        )
        return ErrorGroups(
            _show(kinds, groups[: wanted.limit], wanted),
            start=to_datetime(span[0]),
            end=to_datetime(span[1]),
            total=total,
        )


def _span(kinds: Kinds, wanted: Wanted) -> tuple[int, int] | None:
    """Return where the range begins and ends; None where nothing can be in it."""
    if kinds.low is None or kinds.high is None:
        return None
    start = kinds.low if wanted.start is None else wanted.start
    end = kinds.high + 1 if wanted.end is None else wanted.end
    return (start, end) if start < end else None


class _Group:
    """Errors of one fingerprint.

    Attributes:
        found: The fingerprint, with what is told of the newest.
        kind: How many there are, and when.
        newest: What the newest says.
    """

    def __init__(self, found: Fingerprint, kind: Kind, newest: Newest) -> None:
        self.found = found
        self.kind = kind
        self.newest = newest

    @property
    def place(self) -> tuple[str, int]:
        """Where the newest is: producer and sequence."""
        return self.newest.producer, self.newest.sequence

    def add(self, other: _Group) -> None:
        """Add others."""
        one, two = self.kind, other.kind
        if (two.last, other.place) > (one.last, self.place):
            self.found, self.newest = other.found, other.newest
        bins = dict(one.bins)
        for bin, count in two.bins.items():
            bins[bin] = bins.get(bin, 0) + count
        first, last = min(one.first, two.first), max(one.last, two.last)
        self.kind = Kind(one.number, one.size + two.size, first, last, bins)

    def is_new(self, since: int | None) -> bool:
        """Return whether the first was logged at some time or later."""
        return since is not None and self.kind.first >= since

    def order(self, since: int | None) -> tuple[bool, int, int, str]:
        """Return what they are sorted by."""
        return not self.is_new(since), -self.kind.size, -self.kind.last, self.found.digest


def _gather(kinds: Kinds, counted: Sequence[Kind]) -> dict[str, _Group]:
    """Put together what has the same fingerprint."""
    groups: dict[str, _Group] = {}
    known = {kind.number: kind for kind in counted}
    for newest in kinds.newest(counted) if counted else ():
        beginning = newest.trace and newest.trace[:_BEGINNING]
        kind = known[newest.number]
        group = _Group(_fingerprint(newest), kind, newest._replace(trace=beginning))
        before = groups.setdefault(group.found.digest, group)
        if before is not group:
            before.add(group)
    return groups


def _fingerprint(newest: Newest) -> Fingerprint:
    if newest.trace is not None:
        return of_exception(newest.type, newest.trace, newest.logger, newest.pathname)
    digest = of_template(newest.type, newest.logger, newest.text)
    return Fingerprint(digest, newest.type, (), None)


def _show(kinds: Kinds, groups: Sequence[_Group], wanted: Wanted) -> Iterator[ErrorGroup]:
    """Yield groups with their newest error in full."""
    if not groups:
        return
    table = conform(kinds.rows(group.place for group in groups), FIXED)
    rows = {(row["producer"], row["sequence"]): row for row in rows_of_table(table)}
    for group in groups:
        kind, example = group.kind, rows[group.place]
        message = example["message"]
        if example["exception_type"] is not None and example["exception_message"] is not None:
            message = example["exception_message"]
        yield ErrorGroup(
            fingerprint=group.found.digest,
            type=group.found.type,
            message=message,
            frames=group.found.frames,
            culprit=group.found.culprit or _logged_at(example),
            count=kind.size,
            first=to_datetime(kind.first),
            last=to_datetime(kind.last),
            counts=tuple(kind.bins.get(bin, 0) for bin in range(wanted.bins)),
            example=example,
            is_new=group.is_new(wanted.since),
            where=str(filter_for(group.found, group.newest)),
        )


def _logged_at(row: Row) -> str:
    """Return where an error was logged that does not tell where it arose."""
    path, function = row["pathname"], row["func_name"]
    if not path:
        return str(row["logger"])
    name = "/".join(path.replace("\\", "/").split("/")[-2:])
    return f"{name} in {function}" if function else name
