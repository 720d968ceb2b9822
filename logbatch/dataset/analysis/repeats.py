"""Events, where a log says of some of them only how often they were repeated.

With `collapse_repeats` a run of the same event is stored as the first, and as "last message
repeated N times".  Who counts errors or templates wants the N at what was repeated.
"""

from __future__ import annotations

from collections.abc import Sequence

from logbatch.batching.repeats import TEMPLATE
from logbatch.dataset.filter.literals import quoted_text

COLUMNS = (
    *("timestamp", "levelno", "logger", "message", "template", "attributes"),
    *("producer", "sequence"),
)
"""What `Matches` must have for it."""

TIMES = "times"
"""A column: how many events a row stands for."""

IS_REPEAT = f"template = {quoted_text(TEMPLATE)}"
"""The condition that a record says how often others were repeated."""

_IS_EVENT = f"template IS DISTINCT FROM {quoted_text(TEMPLATE)}"
_SAME = (
    "r.producer = m.producer AND r.logger = m.logger AND r.levelno = m.levelno"
    " AND r.repeated = m.message AND r.sequence > m.sequence"
)


def select_events(columns: Sequence[str], has_repeats: bool) -> str:
    """Return a query for events, with `TIMES`, of the relation `{matches}` of `COLUMNS` and others.

    Repeats stand as the event that was repeated, at the time of the last of them; where that does
    not match, or its message is too long to be told from others, they stand for themselves, once.

    Args:
        columns: What is wanted of an event.
        has_repeats: Whether any record is one that `IS_REPEAT`.
    """
    plain = f"SELECT {', '.join(columns)}, 1 AS {TIMES} FROM {{matches}} WHERE "
    if not has_repeats:
        return f"{plain}TRUE"
    repeats = (
        "SELECT *, attributes->>'message' AS repeated,"
        " try_cast(attributes->>'repeated' AS BIGINT) AS often"
        f" FROM {{matches}} WHERE {IS_REPEAT}"
    )
    candidates = (
        f"SELECT * FROM {{matches}} WHERE {_IS_EVENT}"
        f" AND message IN (SELECT repeated FROM ({repeats}))"
    )
    chosen = ", ".join(
        f"r.{name}"
        if name == "timestamp"
        else f"CASE WHEN m.sequence IS NULL THEN r.{name} ELSE m.{name} END AS {name}"
        for name in columns
    )
    times = "CASE WHEN m.sequence IS NULL OR r.often IS NULL THEN 1 ELSE r.often END"
    return (
        f"{plain}{_IS_EVENT} UNION ALL SELECT {chosen}, {times} AS {TIMES}"
        f" FROM ({repeats}) r ASOF LEFT JOIN ({candidates}) m ON {_SAME}"
    )
