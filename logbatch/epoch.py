"""Times as numbers: microseconds since 1970, in UTC, which is what every file stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SECOND = 1_000_000


def to_datetime(microseconds: int) -> datetime:
    """Return the time in UTC.

    Raises:
        OverflowError: Its year is not one of 1 to 9999.
    """
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(moment: datetime) -> int:
    """Return the time as a number; one without an offset is in UTC."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def to_text(microseconds: int) -> str:
    """Return the time in the one form that is searched and sent: `2026-11-21T10:00:03.123456Z`.

    Raises:
        OverflowError: Its year is not one of 1 to 9999.
    """
    return f"{to_datetime(microseconds).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


FIRST = to_microseconds(datetime.min)
LAST = to_microseconds(datetime.max)
