"""Entries that other programs made: what each needs to become a line of ours.

An entry needs a message; one without a level gets that of the receiver's default.  The usual other
names of message, level and time are understood, among them those that Fluent Bit, Vector and
journald use unless they are told otherwise.  The fixed columns are taken where their values fit,
and all else, so also a `producer` or a `sequence` of the sender's own making, goes into
`attributes`.

Source: https://docs.fluentbit.io/manual/pipeline/outputs/http (`json_date_format`),
https://vector.dev/docs/reference/configuration/sinks/http/#encoding.timestamp_format and
https://systemd.io/JOURNAL_EXPORT_FORMATS/
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from logbatch.epoch import SECOND, to_datetime
from logbatch.levels import from_name, from_priority, name_of
from logbatch.storage.columns import Int32
from logbatch.storage.line import format_time, parse_time, salvage

Level = tuple[str, int]
"""Name and number of a level."""

DEFAULT_LEVEL: Final[Level] = ("INFO", logging.INFO)
"""The level of an entry that has none, unless the receiver is told otherwise."""

# Of several names the first one counts; the others stay attributes.
_MESSAGES = ("message", "msg", "MESSAGE", "log", "body")
_LEVELS = ("level", "severity", "levelname")
_PRIORITY = "PRIORITY"  # of journald: 6, or "6"
_TIMES = ("timestamp", "@timestamp", "time", "date", "__REALTIME_TIMESTAMP")

# A time that is a number: the least one of each unit, and what makes microseconds of it.  Each unit
# begins in March 1973, which is where the one before it ends: at seconds of the year 5138.
_UNITS = (
    (10**17, 1, 1000),
    (10**14, 1, 1),
    (10**11, 1000, 1),
    (10**8, SECOND, 1),
)
_END = 10**20
_LONGEST_NUMBER = 20  # digits

_VALUES = 20_000  # in one entry; each key of it costs some microseconds and hundreds of bytes

_Fields = dict[str, msgspec.Raw]

_decode_object = msgspec.json.Decoder(_Fields).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_level = msgspec.json.Decoder(str | Int32).decode
_decode_number = msgspec.json.Decoder(Int32).decode
_decode_time = msgspec.json.Decoder(str | int | float).decode
_encode_line = msgspec.json.Encoder().encode
_UNDECODABLE = (msgspec.MsgspecError, ValueError)


class Rejected(Exception):
    """An entry cannot be stored; the text says why, and holds nothing that came from the wire."""


class Made(NamedTuple):
    """A line that was made of an entry, without its newline.

    Attributes:
        line: The line.
        dated: Whether the entry said when it happened; else the line has the time of receipt.
    """

    line: bytes
    dated: bool


def normalise(entry: bytes, received: str, default: Level = DEFAULT_LEVEL) -> Made:
    """Make a line of an entry.

    Args:
        entry: JSON, nested no deeper than the parser takes.
        received: When it was received, in the form that is stored.
        default: The level of an entry that has none.

    Raises:
        Rejected: It is no object, has no message, a level that is none, or far too many values.
    """
    if entry.count(b",") > _VALUES:
        raise Rejected("it has too many values")
    try:
        found = _decode_object(entry)
    except _UNDECODABLE:
        raise Rejected("it is not a JSON object") from None
    message = _pop_message(found)
    level, number = _pop_level(found, default)
    moment = _pop_time(found)
    fields: dict[str, Any] = {
        **found,
        "timestamp": moment or received,
        "level": level,
        "levelno": number,
        "message": message,
    }
    return Made(make_line(fields), moment is not None)


def make_line(fields: dict[str, Any]) -> bytes:
    """Make a line of fields, of which those that are no columns go into the attributes."""
    return _encode_line(salvage(_encode_line(fields), ""))


def _pop_message(found: _Fields) -> str:
    for name in _present(_MESSAGES, found):
        try:
            return _decode_text(found.pop(name))
        except _UNDECODABLE:
            raise Rejected("its message is not a text") from None
    raise Rejected("it has no message")


def _present(names: tuple[str, ...], found: _Fields) -> Iterator[str]:
    return (name for name in names if name in found)


# ------------------------------------------------------------------ levels


def _pop_level(found: _Fields, default: Level) -> Level:
    number = _pop_number(found)
    for name in _present(_LEVELS, found):
        raw = found.pop(name)
        if bytes(raw) != b"null":
            return _find_level(_read_level(raw), number)
    if number is not None:
        return name_of(number), number
    if _PRIORITY in found:
        return _find_priority(_read_level(found.pop(_PRIORITY)))
    return default


def _read_level(raw: msgspec.Raw) -> str | int:
    try:
        level: str | int = _decode_level(raw)
    except _UNDECODABLE:
        raise Rejected("its level is neither a name nor a number") from None
    return level


def _find_level(value: str | int, number: int | None) -> Level:
    if isinstance(value, int):
        return name_of(value), value
    if number is not None:
        return value, number
    known = from_name(value)
    if known is None:
        raise Rejected("its level is unknown")
    return known


def _find_priority(value: str | int) -> Level:
    """Return the level of a priority, which journald and Fluent Bit write as a text."""
    if isinstance(value, str) and _is_number(value):
        value = int(value)
    known = from_name(value) if isinstance(value, str) else from_priority(value)
    if known is None:
        raise Rejected("its level is unknown")
    return known


def _pop_number(found: _Fields) -> int | None:
    """Take the number of the level; one that is odd stays, and becomes an attribute."""
    if "levelno" not in found:
        return None
    raw = found.pop("levelno")
    try:
        return _decode_number(raw)
    except _UNDECODABLE:
        found["levelno (as sent)"] = raw  # a column of that name gets the right number
        return None


# ------------------------------------------------------------------ times


def _pop_time(found: _Fields) -> str | None:
    """Take the first time that is one; those before it stay, and become attributes."""
    for name in _present(_TIMES, found):
        moment = _read_time(found[name])
        if moment is not None:
            del found[name]
            break
    else:
        moment = None
    if "timestamp" in found:  # a column of that name gets the right time
        found["timestamp (as sent)"] = found.pop("timestamp")
    return moment


def _read_time(raw: msgspec.Raw) -> str | None:
    """Read a time: ISO 8601, or a number of seconds, milli-, micro- or nanoseconds since 1970."""
    try:
        value = _decode_time(raw)
    except _UNDECODABLE:
        return None
    if isinstance(value, str):
        if not _is_number(value):
            return parse_time(value)
        value = int(value)
    if value < _END:
        for least, times, divided_by in _UNITS:
            if value >= least:
                whole = (round(value * times) + divided_by // 2) // divided_by
                return format_time(to_datetime(whole))
    return None


def _is_number(text: str) -> bool:
    return len(text) <= _LONGEST_NUMBER and text.isascii() and text.isdecimal()
