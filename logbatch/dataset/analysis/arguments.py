"""What the methods that count are given, checked."""

from __future__ import annotations

from datetime import datetime

from logbatch.epoch import to_microseconds


def at_least(least: int, name: str, value: int) -> int:
    """Return a number that must not be less.

    Raises:
        ValueError: It is.
    """
    if value < least:
        raise ValueError(f"{name}={value!r} must be {least} or more")
    return value


def seconds(timeout: float | None) -> float | None:
    """Return a time limit.

    Raises:
        ValueError: It is none.
    """
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout={timeout!r} must be a number of seconds above 0, or None")
    return timeout


def instant(moment: datetime | None) -> int | None:
    """Return a time in microseconds since 1970."""
    return None if moment is None else to_microseconds(moment)
