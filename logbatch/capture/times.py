"""The time that a line says at its beginning, or in a field.

With a zone it is taken as it is.  Without one it is taken only where it can mean one moment
whatever the zone is: if in some zone, each a number of quarters of an hour away from UTC, it lies
within the minute before the line was read.  So no setting of this machine is needed, and a line
that tells of another day is not mistaken.  Whole seconds say less than when the line was read,
where both are the same second.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

_QUARTER = 900.0  # seconds
_PATIENCE = 60.0  # seconds that a line may have waited in the program's buffer
_WEST, _EAST = -12 * 3600.0, 14 * 3600.0

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_PARTS = ("year", "month", "day", "clock", "fraction", "zone")
_CLOCK = r"(?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
_ZONE = r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)\b)?"
_MONTH = r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_FORMS = (
    # 2026-11-28T09:05:57.123Z, 2026-11-28 09:05:57,123 +0100, 2026/11/28 09:05:57
    rf"(?P<year>\d{{4}})[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T ]{_CLOCK}{_ZONE}",
    # 28/Nov/2026:09:05:57 +0000, 28 Nov 2026 09:05:57.123
    rf"(?P<day>\d\d)[/ -]{_MONTH}[/ -](?P<year>\d{{4}})[: ]{_CLOCK}{_ZONE}",
    # Sat Nov 28 09:05:57.123456 2026
    rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {_MONTH} {{1,2}}(?P<day>\d{{1,2}}) {_CLOCK}(?P<zone>)"
    r" (?P<year>\d{4})",
)
_MATCHES = tuple(re.compile(form, re.ASCII).match for form in _FORMS)

# What may stand before the time: <6>, a level, a letter for one, [, the name of a program.
_BEFORE = re.compile(r"(?:<\d{1,3}>(?:\d )?)?(?:\[?[A-Z]{1,8}\]?[,:]? {1,4})?[\[(]?")
_AFTER_PID = re.compile(r"\d{1,10}:[A-Z] ")  # Redis
# An access log: 127.0.0.1 - - [28/Nov/2026:09:05:57 +0000] "GET / HTTP/1.1" 200 12
_ACCESS = re.compile(r"[^\s\[]{1,100} [^\s\[]{1,100} [^\s\[]{1,100} \[")

# A time that is a number: the least one of each unit, and how many there are in a second.  Each
# unit begins in March 1973, which is where the one before it ends.
_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1.0))
_LAST = 1e20


def time_at_start(text: str, read: float) -> tuple[datetime | None, int]:
    """Return the time at the beginning of a line, and where it ends; 0 if there is none.

    Args:
        text: The line.
        read: When it was read, in seconds since 1970.
    """
    start = 0
    if not text[:1].isdecimal():
        before = _BEFORE.match(text)
        start = before.end() if before else 0
    elif (after := _AFTER_PID.match(text)) is not None:
        start = after.end()
    if text[start : start + 1].isalnum():
        for match in _MATCHES:
            found = match(text, start)
            if found:
                return _decide(found, read), found.end()
    access = _ACCESS.match(text) if "[" in text else None
    if access and (found := _MATCHES[1](text, access.end())):
        return _decide(found, read), found.end()
    return None, 0


def time_of_field(value: Any, read: float) -> datetime | None:
    """Return the time that a field holds: a text, or a number since 1970 in any unit."""
    if isinstance(value, str):
        for match in _MATCHES:
            found = match(value)
            if found and found.end() == len(value):
                return _decide(found, read)
        return _of_number(float(value)) if _is_number(value) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _of_number(value) if abs(value) < _LAST else None
    if isinstance(value, dict) and len(value) == 1 and "$date" in value:  # MongoDB
        return time_of_field(value["$date"], read)
    return None


def _is_number(text: str) -> bool:
    return len(text) <= 25 and re.fullmatch(r"\d{9,20}(?:\.\d{1,9})?", text, re.ASCII) is not None


def _of_number(value: float) -> datetime | None:
    if not math.isfinite(value):
        return None
    for least, units in _UNITS:
        if value >= least:
            whole, rest = divmod(value, units)
            moment = _datetime(whole)
            return moment and moment + timedelta(microseconds=round(rest * 1e6 / units))
    return None


def _datetime(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _decide(found: re.Match[str], read: float) -> datetime | None:
    year, month, day, clock, fraction, zone = found.group(*_PARTS)
    moment = _second(year, month, day, clock)
    if moment is None:
        return None
    if fraction:
        moment += timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
    if not zone:
        return _without_zone(moment, read, exact=bool(fraction))
    if zone[0] in "+-":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        try:
            moment -= timedelta(minutes=-minutes if zone[0] == "-" else minutes)
        except OverflowError:
            return None
    return None if not fraction and 0 <= read - moment.timestamp() < 1 else moment


@lru_cache(maxsize=64)
def _second(year: str, month: str, day: str, clock: str) -> datetime | None:
    """Return a time to the second, as if in UTC; lines of one second come together."""
    number = _MONTHS.get(month) or int(month)
    hour, minute, second = map(int, clock.split(":"))
    try:  # a leap second counts as the one before
        return datetime(int(year), number, int(day), hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None


def _without_zone(moment: datetime, read: float, exact: bool) -> datetime | None:
    """Return the moment within the minute before `read`, if there is one in some zone."""
    ahead = moment.timestamp() - read
    if not _WEST - _PATIENCE <= ahead <= _EAST:
        return None
    ago = -ahead % _QUARTER
    if ago > _PATIENCE or (not exact and ago < 1):
        return None
    return moment - timedelta(seconds=round((ahead + ago) / _QUARTER) * _QUARTER)
