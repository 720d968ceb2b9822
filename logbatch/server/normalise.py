"""Entries that other programs made: what each needs to become a line of ours.

An entry needs a message and a level.  The usual other names of these and of the time are
understood; the fixed columns are taken where their values fit, and all else, so also a `producer`
or a `sequence` of the sender's own making, goes into `attributes`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from logbatch.levels import from_name, name_of
from logbatch.storage.columns import Int32
from logbatch.storage.line import parse_time, salvage

_MESSAGES = ("message", "msg", "MESSAGE")
_LEVELS = ("level", "severity", "levelname", "PRIORITY")
_TIMES = ("timestamp", "@timestamp", "time")

_VALUES = 20_000  # in one entry; each key of it costs some microseconds and hundreds of bytes

_Fields = dict[str, msgspec.Raw]

_decode_object = msgspec.json.Decoder(_Fields).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_level = msgspec.json.Decoder(str | Int32).decode
_decode_number = msgspec.json.Decoder(Int32).decode
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


def normalise(entry: bytes, received: str) -> Made:
    """Make a line of an entry.

    Args:
        entry: JSON, nested no deeper than the parser takes.
        received: When it was received, in the form that is stored.

    Raises:
        Rejected: It is no object, has no message or no level, or far too many values.
    """
    if entry.count(b",") > _VALUES:
        raise Rejected("it has too many values")
    try:
        found = _decode_object(entry)
    except _UNDECODABLE:
        raise Rejected("it is not a JSON object") from None
    message = _pop_message(found)
    level, number = _pop_level(found)
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
    for name in _MESSAGES:
        if name in found:
            try:
                return _decode_text(found.pop(name))
            except _UNDECODABLE:
                raise Rejected("its message is not a text") from None
    raise Rejected("it has no message")


def _pop_level(found: _Fields) -> tuple[str, int]:
    number = _pop_number(found)
    for name in _LEVELS:
        if name in found:
            try:
                value = _decode_level(found.pop(name))
            except _UNDECODABLE:
                raise Rejected("its level is neither a name nor a number") from None
            return _find_level(value, number)
    if number is None:
        raise Rejected("it has no level")
    return name_of(number), number


def _find_level(value: str | int, number: int | None) -> tuple[str, int]:
    if isinstance(value, int):
        return name_of(value), value
    if number is not None:
        return value, number
    known = from_name(value)
    if known is None:
        raise Rejected("its level is unknown")
    return known


def _pop_number(found: _Fields) -> int | None:
    """Take the number of the level; one that is odd stays, and becomes an attribute."""
    try:
        number = _decode_number(found["levelno"])
    except (KeyError, *_UNDECODABLE):
        if "levelno" in found:  # the name is that of a column, which gets the right number
            found["levelno (as sent)"] = found.pop("levelno")
        return None
    del found["levelno"]
    return number


def _pop_time(found: _Fields) -> str | None:
    """Take the time; one that is odd stays, and becomes an attribute."""
    for name in _TIMES:
        if name in found:
            try:
                moment = parse_time(_decode_text(found[name]))
            except _UNDECODABLE:
                moment = None
            if moment is None:
                found[f"{name} (as sent)"] = found.pop(name)
                return None
            del found[name]
            return moment
    return None
