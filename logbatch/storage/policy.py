"""What is too old, or too much: pure decisions over what is known of the files.

A clock decides what is old, and a clock may be wrong by years.  So its word is not enough: age is
counted up to the newest time that something else bears witness of.  The records themselves do, and
earlier looks of a retention run, as soon as one or the other goes on for half a day.  A single jump
ahead, as of a machine that starts with a wrong clock, makes nothing old; a log that went on, and a
retention run that comes by every day, do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from logbatch.epoch import SECOND

DAY = 86_400 * SECOND
WITNESSED = DAY // 2
"""Microseconds that times must go on for after a jump until they are believed."""

_AGE = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")
_PART = re.compile(r"([0-9.]+)([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_LONGEST = 10_000 * 366 * 86_400

Span = tuple[int, int]


class Policy(NamedTuple):
    """What may stay.

    Attributes:
        max_age: Microseconds after which a file goes; None keeps those of any age.
        max_bytes: The most bytes that all files may take; None for any number.
        keep_age: Microseconds after which also those records go that are worth keeping longer.
    """

    max_age: int | None = None
    max_bytes: int | None = None
    keep_age: int | None = None

    @classmethod
    def build(cls, max_age: Any, max_bytes: Any, keep_age: Any = None) -> Policy:
        """Read it from what a user wrote.

        Raises:
            ValueError: A value cannot be understood; the text names it.
        """
        return cls(
            None if max_age is None else parse_age("max_age", max_age),
            None if max_bytes is None else parse_bytes("max_bytes", max_bytes),
            None if keep_age is None else parse_age("keep_age", keep_age),
        )


def parse_age(name: str, value: Any) -> int:
    """Read how long something lasts, `14d`, `36h`, `1w12h`, or a number of seconds.

    Args:
        name: Of the option, for the message.
        value: What the user wrote.

    Returns:
        Microseconds.

    Raises:
        ValueError: It is none.
    """
    seconds = 0.0
    if isinstance(value, str) and _AGE.fullmatch(value.strip()):
        parts = _PART.findall(value)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    elif not isinstance(value, str | bool):
        seconds = _number(value)
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"{name}={value!r} must be a duration such as '14d', '36h' or '90m'")
    return max(int(seconds * SECOND), 1)


def parse_bytes(name: str, value: Any) -> int:
    """Read a number of bytes: `5GB`, `512MiB`, or a number.

    Args:
        name: Of the option, for the message.
        value: What the user wrote.

    Raises:
        ValueError: It is none.
    """
    size = 0.0
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None:
        unit = 1024 if match[3] else 1000
        size = float(match[1]) * unit ** _POWERS[match[2].upper()]
    elif not isinstance(value, str | bool):
        size = _number(value)
    if not 1 <= size < 1 << 63:
        raise ValueError(f"{name}={value!r} must be a size such as '5GB' or '500MB'")
    return int(size)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0


# ------------------------------------------------------------------ which time it is


def believe(now: int, witnesses: Iterable[int], seen: Span | None, gap: int) -> int:
    """Return up to which time age is counted: `now`, or an earlier one if nobody bears it out.

    Times that follow one another within `gap` belong together.  The last ones are believed if
    they go on for half a day, or if there are no others; else those before them are asked.

    Args:
        now: What the clock says.
        witnesses: Times of records.
        seen: From when to when earlier looks at the directory were made.
        gap: The longest time without one of these that is nothing special.
    """
    gap = max(gap, DAY)
    spans = [(min(at, now), min(at, now)) for at in witnesses]
    if seen is not None and seen[1] <= now:
        spans.append(seen)
    groups: list[Span] = []
    for first, last in sorted([*spans, (now, now)]):
        if groups and first - groups[-1][1] <= gap:
            groups[-1] = (groups[-1][0], max(groups[-1][1], last))
        else:
            groups.append((first, last))
    while len(groups) > 1 and groups[-1][1] - groups[-1][0] < WITNESSED:
        groups.pop()
    return groups[-1][1]


def extend(seen: Span | None, now: int, gap: int) -> Span:
    """Return from when to when looks were made, now that there was another one.

    One after a long time begins anew, and so does one by a clock that was set back.
    """
    if seen is None or not 0 <= now - seen[1] <= max(gap, DAY):
        return now, now
    return seen[0], now


# ------------------------------------------------------------------ which files go


class Weighed(NamedTuple):
    """What is weighed of a file.

    Attributes:
        newest: Time of its newest record.
        bytes: What it takes.
        growing: Whether it still grows.
    """

    newest: int
    bytes: int
    growing: bool


def choose_old(files: Sequence[Weighed], max_age: int | None, now: int) -> list[int]:
    """Return the indexes of the files whose newest record is older than that, oldest first."""
    if max_age is None:
        return []
    old = [at for at, file in enumerate(files) if file.newest < now - max_age]
    return sorted(old, key=lambda at: files[at].newest)


def choose_excess(files: Sequence[Weighed], max_bytes: int | None) -> list[int]:
    """Return the indexes of the files that must go until the others fit, oldest first.

    A file that grows is counted, and stays.
    """
    if max_bytes is None:
        return []
    left = sum(file.bytes for file in files) - max_bytes
    chosen = []
    for at in sorted(range(len(files)), key=lambda at: files[at].newest):
        if left <= 0:
            break
        if not files[at].growing:
            chosen.append(at)
            left -= files[at].bytes
    return chosen
