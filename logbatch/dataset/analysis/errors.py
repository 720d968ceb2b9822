"""Errors as error trackers show them: those of one kind together, by their fingerprints.

An error is a record with an exception, whatever its level, or with level ERROR or above.  DuckDB
puts together those that are alike but for what no fingerprint looks at, and counts them; so Python
takes apart one stack trace of each kind, not one of each record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from logbatch.dataset.analysis import repeats
from logbatch.dataset.analysis.fingerprints import (
    VARIABLE,
    Fingerprint,
    of_exception,
    of_template,
)
from logbatch.dataset.analysis.tracebacks import Frame
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_text
from logbatch.dataset.footers import FIXED
from logbatch.dataset.matching import Matches
from logbatch.dataset.pieces import conform
from logbatch.dataset.rows import Row, rows_of_table
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.epoch import to_datetime
from logbatch.events.stacktrace import HEADER, STACK_HEADER
from logbatch.storage.columns import COLUMNS

MOST = 3000
"""Kinds that are taken apart, those with the most records first; the others are only counted."""

_ERRORS = Filter.parse("exception_type=* or level>=ERROR")
_HALF = 16_000  # characters of the beginning and of the end of a stack trace that are looked at
_OUTSIDE = -1  # the bin of what is outside of the range


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
    with Matches(*given, timeout=wanted.timeout) as matches:
        facts = _look(matches)
        span = facts.span(wanted)
        if span is None:
            return ErrorGroups()
        kinds, total = _count(matches, wanted, facts, *span)
        groups = _gather(matches, kinds)
        chosen = sorted(groups.values(), key=lambda group: group.order(wanted.since))
        return ErrorGroups(
            _show(matches, chosen[: wanted.limit], wanted),
            start=to_datetime(span[0]),
            end=to_datetime(span[1]),
            total=total,
        )


class _Facts(NamedTuple):
    """What is to be known of the errors before they are counted."""

    low: int | None  # when the first was logged
    high: int | None
    repeats: int
    bare: int  # records without a template

    def span(self, wanted: Wanted) -> tuple[int, int] | None:
        """Return where the range begins and ends; None where nothing can be in it."""
        if self.low is None or self.high is None:
            return None
        start = self.low if wanted.start is None else wanted.start
        end = self.high + 1 if wanted.end is None else wanted.end
        return (start, end) if start < end else None


def _look(matches: Matches) -> _Facts:
    found = matches.table(
        "SELECT min(epoch_us(timestamp)), max(epoch_us(timestamp)),"
        f" count(*) FILTER ({repeats.IS_REPEAT}), count(*) FILTER (template IS NULL)"
        " FROM {matches}"
    )
    return _Facts(*(column[0].as_py() for column in found.columns))


# ------------------------------------------------------------------ in DuckDB

_REST = "#"  # what stands for a part of a text that varies
_TRACE = f"""
CASE WHEN starts_with(stacktrace, {quoted_text(STACK_HEADER)}) THEN NULL
WHEN contains(exception_message, chr(10)) AND ends_with(stacktrace, exception_message)
THEN left(stacktrace, length(stacktrace) - length(exception_message)) ELSE stacktrace END
"""
_HAS_PLACES = r"%[-+#0-9.*]*[a-zA-Z(]|\{\w*\}"  # for arguments; else a text may hold values


def _text(column: str) -> str:
    """Return what tells errors without a stack trace from one another."""
    plain = f"regexp_replace({column}, {quoted_text(VARIABLE)}, '{_REST}', 'g')"
    return (
        f"CASE WHEN regexp_matches({column}, {quoted_text(_HAS_PLACES)}) THEN {column}"
        f" ELSE {plain} END"
    )


_PRINTED = quoted_text(  # frames, and the types of exceptions, in what Python printed
    r'(?m)^[ |]*(?:File "[^"\n]*", line [0-9]+[^\n]*|[A-Za-z_][\w.<>]*(?:: |:?$))'
)
_INDENTED = quoted_text(r"(?m)^[ \t]+[^\n]*")
_SHAPE = f"""
CASE WHEN contains(trace, {quoted_text(HEADER)}) THEN regexp_extract_all(trace, {_PRINTED})
ELSE [regexp_replace(coalesce(nullif(array_to_string(regexp_extract_all(trace, {_INDENTED}),
chr(10)), ''), trace), '[0-9]+', '{_REST}', 'g')] END
"""
_CUT = f"""
CASE WHEN length(trace) > {2 * _HALF}
THEN left(trace, {_HALF}) || chr(10) || '…[cut: ' || chr(10) || right(trace, {_HALF})
ELSE trace END
"""
_NEEDED = (
    *("timestamp", "producer", "sequence", "logger", "pathname", "template"),
    *("exception_type", "exception_message", "stacktrace"),
)
_TEMPLATE = "coalesce(template, message)"


class _Kind(NamedTuple):
    """Errors of which DuckDB says that they are alike."""

    size: int
    first: int
    last: int
    producer: str  # of the newest
    sequence: int
    bins: Mapping[int, int]


def _count(
    matches: Matches, wanted: Wanted, facts: _Facts, start: int, end: int
) -> tuple[list[_Kind], int]:
    """Return which kinds have the most errors in the range, and how many errors there are in it."""
    needed = (*_NEEDED, "message") if facts.bare else _NEEDED  # to read messages takes long
    text = _text(_TEMPLATE if facts.bare else "template")
    events = repeats.select_events(needed, facts.repeats > 0)
    at = "epoch_us(timestamp)"
    place = f"(({at} - {start})::HUGEINT * {wanted.bins} // {end - start})::INTEGER"
    is_inside = f"{at} >= {start} AND {at} < {end}"
    found = matches.table(
        f"""
        WITH events AS ({events}),
        traced AS (SELECT *, {_TRACE} AS trace FROM events),
        keyed AS (
            SELECT *, CASE WHEN {is_inside} THEN {place} ELSE {_OUTSIDE} END AS bin,
            hash(exception_type, logger, CASE WHEN trace IS NULL THEN {text} ELSE pathname END,
                CASE WHEN trace IS NULL THEN NULL ELSE {_SHAPE} END) AS kind
            FROM traced),
        counted AS (
            SELECT kind, bin, sum({repeats.TIMES})::BIGINT AS n,
            min({at}) AS low, max({at}) AS high,
            arg_max({{'producer': producer, 'sequence': sequence}}, timestamp) AS newest
            FROM keyed GROUP BY kind, bin),
        kinds AS (
            SELECT sum(n) FILTER (bin >= 0)::BIGINT AS count, min(low) AS first,
            max(high) FILTER (bin >= 0) AS last, arg_max(newest, high) FILTER (bin >= 0) AS newest,
            list({{'bin': bin, 'n': n}}) FILTER (bin >= 0) AS bins
            FROM counted GROUP BY kind)
        SELECT *, sum(count) OVER ()::BIGINT AS total FROM kinds WHERE count > 0
        ORDER BY count DESC, last DESC LIMIT {MOST}
        """
    ).to_pylist()
    kinds = [
        _Kind(
            row["count"],
            row["first"],
            row["last"],
            row["newest"]["producer"],
            row["newest"]["sequence"],
            {each["bin"]: each["n"] for each in row["bins"]},
        )
        for row in found
    ]
    return kinds, found[0]["total"] if found else 0


def _at(places: Iterable[tuple[str, int]]) -> str:
    """Return the condition that a record is one of these; there must be one."""
    values = ", ".join(f"({quoted_text(producer)}, {number})" for producer, number in places)
    return f"(producer, sequence) IN (VALUES {values})"


# ------------------------------------------------------------------ by their fingerprints


class _Group:
    """Errors of one fingerprint."""

    def __init__(self, found: Fingerprint, kind: _Kind) -> None:
        self.found = found
        self.kind = kind

    def add(self, found: Fingerprint, kind: _Kind) -> None:
        """Add others."""
        if (kind.last, kind.producer, kind.sequence) > self.kind[2:5]:
            self.found, newest = found, kind
        else:
            newest = self.kind
        bins = dict(self.kind.bins)
        for bin, count in kind.bins.items():
            bins[bin] = bins.get(bin, 0) + count
        first, size = min(self.kind.first, kind.first), self.kind.size + kind.size
        self.kind = newest._replace(first=first, size=size, bins=bins)

    def is_new(self, since: int | None) -> bool:
        """Return whether the first was logged at some time or later."""
        return since is not None and self.kind.first >= since

    def order(self, since: int | None) -> tuple[bool, int, int, str]:
        """Return what they are sorted by."""
        return not self.is_new(since), -self.kind.size, -self.kind.last, self.found.digest


def _gather(matches: Matches, kinds: Sequence[_Kind]) -> dict[str, _Group]:
    """Put together what has the same fingerprint."""
    groups: dict[str, _Group] = {}
    known = {(kind.producer, kind.sequence): kind for kind in kinds}
    for place, found in _fingerprints(matches, list(known)):
        group = groups.get(found.digest)
        if group is None:
            groups[found.digest] = _Group(found, known[place])
        else:
            group.add(found, known[place])
    return groups


def _fingerprints(
    matches: Matches, places: Sequence[tuple[str, int]]
) -> Iterator[tuple[tuple[str, int], Fingerprint]]:
    if not places:
        return
    batches = matches.batches(
        f"WITH traced AS (SELECT *, {_TRACE} AS trace FROM {{matches}} WHERE {_at(places)}) SELECT"
        f" producer, sequence, exception_type, logger, pathname, {_text(_TEMPLATE)} AS text,"
        f" {_CUT} AS trace FROM traced"
    )
    for batch in batches:
        for row in batch.to_pylist():
            yield (row["producer"], row["sequence"]), _fingerprint(row)


def _fingerprint(row: Mapping[str, Any]) -> Fingerprint:
    kind, logger, path = row["exception_type"], row["logger"], row["pathname"]
    if row["trace"] is not None:
        return of_exception(kind, row["trace"], logger, path)
    return Fingerprint(of_template(kind, logger, row["text"]), (), None)


def _show(matches: Matches, groups: Sequence[_Group], wanted: Wanted) -> Iterator[ErrorGroup]:
    """Yield groups with their newest error in full."""
    if not groups:
        return
    places = [(group.kind.producer, group.kind.sequence) for group in groups]
    table = matches.table(f"SELECT * FROM {{matches}} WHERE {_at(places)}")
    rows = {(row["producer"], row["sequence"]): row for row in rows_of_table(conform(table, FIXED))}
    for place, group in zip(places, groups, strict=True):
        kind, example = group.kind, rows[place]
        message = example["message"]
        if example["exception_type"] is not None and example["exception_message"] is not None:
            message = example["exception_message"]
        yield ErrorGroup(
            fingerprint=group.found.digest,
            type=example["exception_type"],
            message=message,
            frames=group.found.frames,
            culprit=group.found.culprit or _logged_at(example),
            count=kind.size,
            first=to_datetime(kind.first),
            last=to_datetime(kind.last),
            counts=tuple(kind.bins.get(bin, 0) for bin in range(wanted.bins)),
            example=example,
            is_new=group.is_new(wanted.since),
        )


def _logged_at(row: Row) -> str:
    """Return where an error was logged that does not tell where it arose."""
    path, function = row["pathname"], row["func_name"]
    if not path:
        return str(row["logger"])
    name = "/".join(path.replace("\\", "/").split("/")[-2:])
    return f"{name} in {function}" if function else name
