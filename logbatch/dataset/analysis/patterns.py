"""Messages by their templates: how often each is logged, and what changed between two ranges.

The template is stored with each record, so nothing is guessed.  A message that was formatted before
it was logged is its own template: of such ones there may be as many as records.  DuckDB counts them
all, on the disk where memory does not suffice; those with the fewest records are not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from logbatch.dataset.analysis import repeats
from logbatch.dataset.analysis.comparison import Change, Verdict, compare
from logbatch.dataset.engine import Engine
from logbatch.dataset.filter.language import Filter
from logbatch.dataset.filter.literals import among, quoted_time
from logbatch.dataset.matching import Matches
from logbatch.dataset.snapshot import Snapshot
from logbatch.dataset.source import Source
from logbatch.epoch import SECOND, to_datetime

Range = tuple[int | None, int | None]
"""Microseconds since 1970: the first that counts, and the first that does not; None for no end."""

_NUMBER = "md5_number_lower(concat_ws(chr(0), text, logger, level))"  # of a pattern
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
    given = source, snapshot, asked.where, [*repeats.COLUMNS, "level"], engine
    start, end = asked.hull()
    with Matches(*given, start=start, end=end, timeout=asked.timeout, keeps=False) as matches:
        counter = _Counter(matches, asked)
        found = counter.count()
        if not found:
            return Patterns()
        judged = _judge(found, asked)[: asked.limit]
        return Patterns(
            _show(judged, counter.newest([each for each, _ in judged]), asked, found[0]),
            total=found[0]["total"],
            distinct=found[0]["kinds"],
        )


class _Counter:
    """Counts records by template, logger and level."""

    def __init__(self, matches: Matches, asked: Asked) -> None:
        self._matches = matches
        self._asked = asked
        facts = matches.table(
            f"SELECT count(*) FILTER ({repeats.IS_REPEAT}), count(*) FILTER (template IS NULL)"
            " FROM {matches}"
        )
        self._has_repeats, self._has_bare = (column[0].as_py() > 0 for column in facts.columns)

    def _events(self, *columns: str) -> str:
        """Return a query for records, with the text that stands for their template."""
        needed = dict.fromkeys(("timestamp", "level", "logger", "template", *columns))
        if self._has_bare:
            needed["message"] = None
        text = "coalesce(template, message)" if self._has_bare else "template"
        return (
            f"SELECT *, {text} AS text FROM ({repeats.select_events([*needed], self._has_repeats)})"
        )

    def count(self) -> list[dict[str, Any]]:
        """Return the patterns with the most records, each with what holds for all."""
        asked = self._asked
        counted = ", ".join(
            f"coalesce(sum({repeats.TIMES}) FILTER ({_is_within(each)}), 0)::BIGINT AS n{number}"
            for number, each in enumerate(asked.ranges)
        )
        sums = " + ".join(f"n{number}" for number in range(len(asked.ranges)))
        most = max(asked.limit, 1 if asked.compared is None else _COMPARED)
        return self._matches.table(
            f"""
            WITH patterns AS (
                SELECT text, logger, level, {counted},
                min(epoch_us(timestamp)) AS low, max(epoch_us(timestamp)) AS high
                FROM ({self._events()})
                WHERE {" OR ".join(f"({_is_within(each)})" for each in asked.ranges)}
                GROUP BY text, logger, level)
            SELECT {_NUMBER} AS number, * EXCLUDE (text, logger, level) FROM (
                SELECT *, sum(n0) OVER ()::BIGINT AS total, count(*) OVER () AS kinds,
                min(low) OVER () AS lowest, max(high) OVER () AS highest
                FROM patterns ORDER BY {sums} DESC, text, logger, level LIMIT {most})
            ORDER BY {sums} DESC, text, logger, level
            """
        ).to_pylist()

    def newest(self, chosen: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Return what the newest record of each pattern says, by the pattern's number."""
        if not chosen:
            return {}
        times = among("timestamp", (quoted_time(each) for each in {row["high"] for row in chosen}))
        numbers = among(_NUMBER, (str(row["number"]) for row in chosen))
        rows = self._matches.table(
            f"SELECT DISTINCT ON (number) {_NUMBER} AS number, text, logger, level, message"
            f" FROM ({self._events('message')}) WHERE {times} AND {numbers}"
            " ORDER BY number, timestamp DESC, message"
        ).to_pylist()
        return {row["number"]: row for row in rows}


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
    judged: Sequence[_Judged],
    newest: Mapping[int, Mapping[str, Any]],
    asked: Asked,
    everything: dict[str, Any],
) -> Iterable[Pattern]:
    seconds = _seconds(asked.range, everything)
    for each, verdict in judged:
        told = newest[each["number"]]
        yield Pattern(
            template=told["text"],
            logger=told["logger"],
            level=told["level"],
            count=each["n0"],
            share=each["n0"] / (everything["total"] or 1),
            rate=each["n0"] / seconds,
            first=to_datetime(each["low"]),
            last=to_datetime(each["high"]),
            example=told["message"],
            before=each["n1"] if verdict else None,
            after=each["n2"] if verdict else None,
            change=verdict.change if verdict else None,
            ratio=verdict.ratio if verdict else None,
            chance=verdict.chance if verdict else None,
        )
