"""Messages by their templates: how often each is logged, and what changed between two ranges.

The template is stored with each record, so nothing is guessed.  A message that was formatted before
it was logged is its own template: such ones there may be as many as records.  DuckDB counts them
all, on the disk where memory does not suffice; those with the fewest records are only counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from logbatch.dataset.analysis import repeats
from logbatch.dataset.analysis.comparison import Change, Verdict, compare
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import quoted_text
from logbatch.dataset.matching import Matches
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.epoch import SECOND, to_datetime

Range = tuple[int | None, int | None]
"""Microseconds since 1970: the first that counts, and the first that does not; None for no end."""

_COMPARED = 10_000  # patterns that are compared, those with the most records first


@dataclass(frozen=True, slots=True)
class Pattern:
    """Records of one template, logger and level.

    Attributes:
        template: The text before its arguments; the message, where no template is stored.
        logger: Who logged them.
        level: As it is called.
        count: How many there are in the range.
        share: The part of all records in the range that they are.
        rate: How many a second.
        first: When the first was logged, of those that are counted or compared.
        last: When the last was.
        example: The message of the last.
        before: How many are in the first of the ranges that are compared; None without any.
        after: How many are in the second.
        change: What became of them from the first to the second: new, gone, more, less or same.
        ratio: The rate in the second as a multiple of that in the first; infinite for new ones.
        chance: How probable counts that differ so much are where nothing changed.
    """

    template: str
    logger: str
    level: str
    count: int
    share: float
    rate: float
    first: datetime
    last: datetime
    example: str
    before: int | None = None
    after: int | None = None
    change: Change | None = None
    ratio: float | None = None
    chance: float | None = None


class Patterns(tuple[Pattern, ...]):
    """Patterns, and what is to be said of all of them.

    Attributes:
        total: How many records there are in the range.
        distinct: How many patterns there are in the range and those that are compared.
        left_out: How many of the records are of no pattern here: there were more than were wanted.
    """

    total: int
    distinct: int
    left_out: int

    def __new__(
        cls, patterns: Iterable[Pattern] = (), *, total: int = 0, distinct: int = 0
    ) -> Patterns:
        """Make them.

        Args:
            patterns: Those that are shown.
            total: How many records there are.
            distinct: How many patterns there are.
        """
        self = super().__new__(cls, patterns)
        self.total, self.distinct = total, distinct
        self.left_out = total - sum(pattern.count for pattern in self)
        return self


class Asked(NamedTuple):
    """What is asked.

    Attributes:
        where: Which records.
        range: When they were logged.
        compared: Two ranges that are compared, if any.
        limit: The most patterns that are wanted.
        timeout: Seconds that it may take; None for any number.
    """

    where: Filter
    range: Range = (None, None)
    compared: tuple[Range, Range] | None = None
    limit: int = 1000
    timeout: float | None = None

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The range, and those that are compared."""
        return (self.range, *(self.compared or ()))

    def hull(self) -> Range:
        """Return the range that all of them are in."""
        starts, ends = zip(*self.ranges, strict=True)
        return (
            None if None in starts else min(starts),
            None if None in ends else max(ends),
        )


def find_patterns(
    source: Source, snapshot: Snapshot, asked: Asked, engine: Engine | None = None
) -> Patterns:
    """Count records by their templates; see `Dataset.patterns`.

    Raises:
        Vanished, Damaged: A file cannot be read.
        QueryError: DuckDB is not installed, or it took too long.
    """
    columns = [*repeats.COLUMNS, "level"]
    start, end = asked.hull()
    with Matches(
        source,
        snapshot,
        asked.where,
        columns,
        engine,
        start=start,
        end=end,
        timeout=asked.timeout,
    ) as matches:
        found = _count(matches, asked)
        if not found:
            return Patterns()
        judged = _judge(found, asked)
        return Patterns(
            _show(matches, judged[: asked.limit], asked, found[0]),
            total=found[0]["total"],
            distinct=found[0]["kinds"],
        )


def _count(matches: Matches, asked: Asked) -> list[dict[str, Any]]:
    """Return the patterns with the most records, each with what holds for all."""
    facts = matches.table(
        f"SELECT count(*) FILTER ({repeats.IS_REPEAT}), count(*) FILTER (template IS NULL)"
        " FROM {matches}"
    )
    has_repeats, has_bare = (column[0].as_py() > 0 for column in facts.columns)
    needed = ["timestamp", "level", "logger", "template", "producer", "sequence"]
    events = repeats.select_events(needed + ["message"] * has_bare, has_repeats)
    counted = ", ".join(
        f"coalesce(sum({repeats.TIMES}) FILTER ({_is_within(each)}), 0)::BIGINT AS n{number}"
        for number, each in enumerate(asked.ranges)
    )
    sums = " + ".join(f"n{number}" for number in range(len(asked.ranges)))
    most = asked.limit if asked.compared is None else max(asked.limit, _COMPARED)
    return matches.table(
        f"""
        WITH events AS ({events}),
        patterns AS (
            SELECT {"coalesce(template, message)" if has_bare else "template"} AS template,
            logger, level, {counted},
            min(epoch_us(timestamp)) AS low, max(epoch_us(timestamp)) AS high,
            arg_max({{'producer': producer, 'sequence': sequence}}, timestamp) AS newest
            FROM events WHERE {" OR ".join(f"({_is_within(each)})" for each in asked.ranges)}
            GROUP BY 1, 2, 3)
        SELECT *, sum(n0) OVER ()::BIGINT AS total, count(*) OVER () AS kinds,
        min(low) OVER () AS lowest, max(high) OVER () AS highest
        FROM patterns ORDER BY {sums} DESC, template, logger, level LIMIT {most}
        """
    ).to_pylist()


def _is_within(given: Range) -> str:
    start, end = given
    tests = [f"epoch_us(timestamp) >= {start}"] if start is not None else []
    tests += [f"epoch_us(timestamp) < {end}"] if end is not None else []
    return " AND ".join(tests) or "TRUE"


def _seconds(given: Range, everything: dict[str, Any]) -> float:
    """Return how long a range is: one without an end goes as far as there are records."""
    start = everything["lowest"] if given[0] is None else given[0]
    end = everything["highest"] + 1 if given[1] is None else given[1]
    is_given = None not in given
    return max(end - start, 1 if is_given else SECOND) / SECOND


_Judged = tuple[dict[str, Any], Verdict | None]


def _judge(found: Sequence[dict[str, Any]], asked: Asked) -> list[_Judged]:
    """Compare them, and sort them: those that changed first, the least probable before others."""
    if asked.compared is None:
        return [(each, None) for each in found]
    before, after = (_seconds(each, found[0]) for each in asked.compared)
    judged = [(each, compare(each["n1"], each["n2"], before, after, len(found))) for each in found]
    judged.sort(
        key=lambda each: (each[1].change == "same", each[1].change != "same" and each[1].chance)
    )
    return list(judged)


def _show(
    matches: Matches, judged: Sequence[_Judged], asked: Asked, everything: dict[str, Any]
) -> Iterable[Pattern]:
    places = [(each["newest"]["producer"], each["newest"]["sequence"]) for each, _ in judged]
    values = ", ".join(f"({quoted_text(producer)}, {number})" for producer, number in places)
    rows = matches.table(
        "SELECT producer, sequence, message FROM {matches}"
        f" WHERE (producer, sequence) IN (VALUES {values})"
    ).to_pylist()
    messages = {(row["producer"], row["sequence"]): row["message"] for row in rows}
    seconds = _seconds(asked.range, everything)
    for place, (each, verdict) in zip(places, judged, strict=True):
        yield Pattern(
            template=each["template"],
            logger=each["logger"],
            level=each["level"],
            count=each["n0"],
            share=each["n0"] / (everything["total"] or 1),
            rate=each["n0"] / seconds,
            first=to_datetime(each["low"]),
            last=to_datetime(each["high"]),
            example=messages[place],
            before=each["n1"] if verdict else None,
            after=each["n2"] if verdict else None,
            change=verdict.change if verdict else None,
            ratio=verdict.ratio if verdict else None,
            chance=verdict.chance if verdict else None,
        )
