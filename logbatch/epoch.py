"""Times as numbers: microseconds since 1970, in UTC, as every file stores them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SECOND = 1_000_000


def to_datetime(microseconds: int) -> datetime:
    """Return the time in UTC.

    Raises:
        OverflowError: The year is not in 1 to 9999.
    """
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(moment: datetime) -> int:
    """Return the time as a number; one without an offset is in UTC."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def to_text(microseconds: int) -> str:
    """Return the time in the form `2026-11-21T10:00:03.123456Z`.

    Raises:
        OverflowError: The year is not in 1 to 9999.
    """
    return f"{to_datetime(microseconds).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


FIRST = to_microseconds(datetime.min)
LAST = to_microseconds(datetime.max)
