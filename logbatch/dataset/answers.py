"""What an answer to a query holds, as values of Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from logbatch.epoch import to_datetime


def values_of(column: Any) -> list[Any]:
    """Return the values of a column; times with a zone are aware, intervals are texts."""
    import pyarrow as pa  # late: who only explains itself, as `--help` does, does without

    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # By hand: Arrow would look for a database of time zones, which not every machine has.
        naive = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64())
        return [None if at is None else to_datetime(at) for at in naive.to_pylist()]
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us"), safe=False)
    values: list[Any] = column.to_pylist()
    return [_interval(*value) if isinstance(value, pa.MonthDayNano) else value for value in values]


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """Write how long something lasts: `2 months 1 day 3:00:00.5`."""
    amounts = ((months, "month"), (days, "day"))
    words = [f"{n} {name}{'' if abs(n) == 1 else 's'}" for n, name in amounts if n]
    seconds = abs(nanoseconds) // 1_000 / 1_000_000
    if nanoseconds or not words:
        clock = f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:09.6f}"
        words.append(("-" if nanoseconds < 0 else "") + clock.rstrip("0").rstrip("."))
    return " ".join(words)


def unique(names: Sequence[str]) -> list[str]:
    """Rename columns that have the same name: `n`, `n_1`."""
    found: list[str] = []
    for name in names:
        number, free = 0, name
        while free in found:
            number, free = number + 1, f"{name}_{number + 1}"
        found.append(free)
    return found
