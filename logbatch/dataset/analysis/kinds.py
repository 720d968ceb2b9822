"""Errors that are alike but for what no fingerprint looks at, put together and counted by DuckDB.

A kind is a number, made of what a fingerprint may look at: type, logger and file, and of the stack
trace the frames and the types of exceptions; or type, logger and template.  Several kinds may have
one fingerprint, never the other way round.  The number is an MD5: DuckDB's own `hash` is the same
for many texts that are alike.

While they are counted no text is kept of any, so memory holds some numbers for each; what the
newest of a kind says is read when that is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from logbatch.dataset.analysis import repeats
from logbatch.dataset.analysis.fingerprints import VARIABLE
from logbatch.dataset.analysis.tracebacks import CRASH, CRASHES
from logbatch.dataset.filter.literals import among, quoted_text, quoted_time
from logbatch.dataset.matching import Matches
from logbatch.events.stacktrace import HEADER, STACK_HEADER

_HALF = 16_000  # characters of the beginning and of the end of a stack trace that are looked at
_OUTSIDE = -1  # the bin of what is outside of the range
REST = "#"
"""What stands for a part of a text that varies."""

HAS_PLACES = r"%[-+#0-9.*]*[a-zA-Z(]|\{\w*\}"
"""What a template has places for arguments by; any other text may hold values."""

_PRINTED = quoted_text(  # frames, and the types of exceptions, in what Python printed
    r'(?m)^[ |]*(?:File "[^"\n]*", line [0-9]+[^\n]*|[A-Za-z_][\w.<>]*(?:: |:?$))'
)
_CRASHED = quoted_text(rf"(?m)^(?:{'|'.join(CRASHES)}|  File )[^\n]*")
_INDENTED = quoted_text(r"(?m)^[ \t]+[^\n]*")

_TRACE = f"""
CASE WHEN starts_with(stacktrace, {quoted_text(STACK_HEADER)}) THEN NULL
WHEN contains(exception_message, chr(10)) AND ends_with(stacktrace, exception_message)
THEN left(stacktrace, length(stacktrace) - length(exception_message)) ELSE stacktrace END
"""
# Lists are cast to texts: to join them takes twice as long as to find what is in them.
_SHAPE = f"""
CASE WHEN trace IS NULL THEN NULL
WHEN contains(trace, {quoted_text(HEADER)}) THEN regexp_extract_all(trace, {_PRINTED})::VARCHAR
WHEN contains(trace, {quoted_text(CRASH)}) THEN regexp_extract_all(trace, {_CRASHED})::VARCHAR
WHEN regexp_matches(trace, {_INDENTED})
THEN regexp_replace(regexp_extract_all(trace, {_INDENTED})::VARCHAR, '[0-9]+', '{REST}', 'g')
ELSE regexp_replace(trace, '[0-9]+', '{REST}', 'g') END
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
_AT = "epoch_us(timestamp)"


class Kind(NamedTuple):
    """Errors that are alike.

    Attributes:
        number: Which kind.
        size: How many there are in the range.
        first: When the first was logged, in the range or not.
        last: When the last in the range was.
        bins: How many there are in each part of the range that has any.
    """

    number: int
    size: int
    first: int
    last: int
    bins: Mapping[int, int]


class Newest(NamedTuple):
    """What the newest error of a kind says.

    Attributes:
        number: Which kind.
        producer: Who wrote it.
        sequence: Which of the producer's records it is.
        type: The exception's, if there is one.
        logger: Who logged it.
        pathname: In which file.
        text: The template, or the message without what varies.
        trace: The stack trace, if it is an exception's; the middle may be cut out.
    """

    number: int
    producer: str
    sequence: int
    type: str | None
    logger: str
    pathname: str | None
    text: str
    trace: str | None


class Kinds:
    """Asks about the kinds of errors.

    Args:
        matches: The errors, with all fixed columns.

    Attributes:
        low: When the first of all was logged; None if there is none.
        high: When the last was.
    """

    def __init__(self, matches: Matches) -> None:
        self._matches = matches
        found = matches.table(
            f"SELECT min({_AT}), max({_AT}), count(*) FILTER ({repeats.IS_REPEAT}),"
            " count(*) FILTER (template IS NULL) FROM {matches}"
        )
        facts = [column[0].as_py() for column in found.columns]
        self.low: int | None = facts[0]
        self.high: int | None = facts[1]
        self._has_repeats = facts[2] > 0
        self._has_bare = facts[3] > 0  # records without a template

    def _keyed(self, columns: Sequence[str], within: str = "TRUE") -> str:
        """Return a query for errors with their trace, their text, and the number of their kind."""
        # To read the messages of all takes long.
        needed = (*columns, "message") if self._has_bare else columns
        template = "coalesce(template, message)" if self._has_bare else "template"
        text = (
            f"CASE WHEN regexp_matches({template}, {quoted_text(HAS_PLACES)}) THEN {template}"
            f" ELSE regexp_replace({template}, {quoted_text(VARIABLE)}, '{REST}', 'g') END"
        )
        events = repeats.select_events(needed, self._has_repeats)
        place = f"CASE WHEN trace IS NULL THEN {text} ELSE pathname END"
        parts = ", ".join(
            f"coalesce({each}, chr(1))" for each in ("exception_type", "logger", place, _SHAPE)
        )
        return (
            f"SELECT *, {text} AS text, (md5_number_lower(concat_ws(chr(0), {parts})) >> 1)::BIGINT"
            f" AS kind FROM (SELECT *, {_TRACE} AS trace FROM ({events}) WHERE {within})"
        )

    def count(self, start: int, end: int, bins: int, most: int) -> tuple[list[Kind], int]:
        """Return the kinds with the most errors in a range, and how many errors there are in it.

        Args:
            start: Microseconds since 1970 with which the range begins.
            end: The same, with which it ends.
            bins: Into how many parts it is divided.
            most: The most kinds that are wanted.
        """
        place = f"(({_AT} - {start})::HUGEINT * {bins} // {end - start})::INTEGER"
        is_inside = f"{_AT} >= {start} AND {_AT} < {end}"
        found = self._matches.table(
            f"""
            WITH counted AS (
                SELECT kind, CASE WHEN {is_inside} THEN {place} ELSE {_OUTSIDE} END AS bin,
                sum({repeats.TIMES})::BIGINT AS n, min({_AT}) AS low, max({_AT}) AS high
                FROM ({self._keyed(_NEEDED)}) GROUP BY kind, bin),
            kinds AS (
                SELECT kind, sum(n) FILTER (bin >= 0)::BIGINT AS size, min(low) AS first,
                max(high) FILTER (bin >= 0) AS last,
                list({{'bin': bin, 'n': n}}) FILTER (bin >= 0) AS bins
                FROM counted GROUP BY kind)
            SELECT *, sum(size) OVER ()::BIGINT AS total FROM kinds WHERE size > 0
            ORDER BY size DESC, last DESC, kind LIMIT {most}
            """
        ).to_pylist()
        kinds = [
            Kind(
                row["kind"],
                row["size"],
                row["first"],
                row["last"],
                {each["bin"]: each["n"] for each in row["bins"]},
            )
            for row in found
        ]
        return kinds, found[0]["total"] if found else 0

    def newest(self, kinds: Sequence[Kind]) -> Iterator[Newest]:
        """Yield what the newest in the range of each kind says; there must be a kind."""
        times = among("timestamp", (quoted_time(each) for each in {kind.last for kind in kinds}))
        numbers = among("kind", (str(kind.number) for kind in kinds))
        batches = self._matches.batches(
            "SELECT DISTINCT ON (kind) kind, producer, sequence, exception_type, logger, pathname,"
            f" text, {_CUT} AS trace FROM ({self._keyed(_NEEDED, times)}) WHERE {numbers}"
            " ORDER BY kind, timestamp DESC, producer DESC, sequence DESC"
        )
        for batch in batches:
            for row in batch.to_pylist():
                yield Newest(*row.values())

    def rows(self, places: Iterable[tuple[str, int]]) -> Any:
        """Return the records with these producers and sequences, of which there must be one."""
        values = (f"({quoted_text(producer)}, {number})" for producer, number in places)
        chosen = f"(producer, sequence) IN (VALUES {', '.join(values)})"
        return self._matches.table(f"SELECT * FROM {{matches}} WHERE {chosen}")
