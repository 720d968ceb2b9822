"""A line as a typed row, whatever the line.

Lines that logbatch made decode straight into `Line`.  A line that was made by other means or by a
later version, or that is damaged, still becomes a row:

- a value of another type than its column's is null there, or its JSON if the column is text; the
  value itself is kept in `attributes`, as is a key that is not a column;
- what must not be null is filled in: the name or number of the level from the other of the two,
  the timestamp from the time when the producer began;
- a line that is not a JSON object becomes the message of an ERROR of the logger "logbatch".
"""

from __future__ import annotations

import contextlib
import logging
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from logbatch.levels import name_of, number_of
from logbatch.storage.columns import COLUMNS, FIELDS, JSON_TYPES
from logbatch.storage.segments import born


class Line(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """The fields of a line, in order; the attributes stay JSON text."""

    timestamp: str
    level: str
    levelno: int
    logger: str
    message: str
    template: str | None = None
    exception_type: str | None = None
    exception_message: str | None = None
    stacktrace: str | None = None
    pathname: str | None = None
    lineno: int | None = None
    func_name: str | None = None
    process: int | None = None
    thread: int | None = None
    thread_name: str | None = None
    task: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    service: str | None = None
    host: str | None = None
    attributes: msgspec.Raw = msgspec.Raw(b"{}")


decode_lines = msgspec.json.Decoder(Line).decode_lines
"""Decodes lines that fit; it counts JSON values, not newlines, and does not check ranges."""

_types = {name: JSON_TYPES[COLUMNS[name].type] for name in FIELDS} | {"timestamp": str}
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(kind) for name, kind in _types.items()
}
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_find_timestamp = re.compile(rb'"timestamp":"([0-9T:.Z+-]{19,40})"').search
_UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)


def salvage(line: bytes, producer: str) -> Line:
    """Make a row of any line.  This never fails, and returns the same row each time.

    Args:
        line: The line, with its newline or without.
        producer: Who wrote it.
    """
    try:
        found = _decode_object(line)
    except _UNDECODABLE as error:
        return _make_of_damaged(line, producer, f"{type(error).__name__}: {error}")
    attributes = found.pop("attributes", msgspec.Raw(b"{}"))
    values, odd = _sort_out(found)
    moment = parse_time(values.pop("timestamp", ""))
    if moment is None and "timestamp" in found:
        odd["timestamp"] = found["timestamp"]
    return Line(
        timestamp=moment or _time_of_birth(producer),
        attributes=_merge(attributes, odd),
        **_fill_in(values),
    )


def _sort_out(found: dict[str, msgspec.Raw]) -> tuple[dict[str, Any], dict[str, msgspec.Raw]]:
    """Split what was found into values that fit their columns and those that do not."""
    values: dict[str, Any] = {}
    odd: dict[str, msgspec.Raw] = {}
    for name, raw in found.items():
        if name not in _decoders:
            odd[name] = raw
        elif bytes(raw) != b"null":
            try:
                values[name] = _decoders[name].decode(raw)
            except _UNDECODABLE:
                odd[name] = raw
                if COLUMNS[name].type == "string":
                    values[name] = bytes(raw).decode(errors="backslashreplace")
    return values, odd


def _fill_in(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in the columns that must not be null."""
    if "level" not in values:
        values["level"] = name_of(values.get("levelno", 0))
    if "levelno" not in values:
        values["levelno"] = number_of(values["level"]) or logging.NOTSET
    return {"logger": "", "message": "", **values}


def _merge(attributes: msgspec.Raw, odd: dict[str, msgspec.Raw]) -> msgspec.Raw:
    """Add to the attributes what fits no column; keys that are there already win."""
    text = bytes(attributes)
    try:
        known = _decode_object(text)
        text.decode()  # the decoder does not check what it leaves raw
    except _UNDECODABLE:
        known = {} if text == b"null" else {"attributes": _as_text(text)}
    else:
        if not odd:
            return attributes
    return msgspec.Raw(msgspec.json.encode({**_readable(odd), **known}))


def _readable(odd: dict[str, msgspec.Raw]) -> dict[str, Any]:
    return {name: _as_text(bytes(raw)) for name, raw in odd.items()}


def _as_text(raw: bytes) -> Any:
    """Return JSON as it is; what is not UTF-8 as a text that shows its bytes."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode(errors="backslashreplace")
    return msgspec.Raw(raw)


def _make_of_damaged(line: bytes, producer: str, why: str) -> Line:
    moment = None
    if match := _find_timestamp(line):
        moment = parse_time(match[1].decode())
    return Line(
        timestamp=moment or _time_of_birth(producer),
        level="ERROR",
        levelno=logging.ERROR,
        logger="logbatch",
        message=line.removesuffix(b"\n").decode(errors="backslashreplace"),
        attributes=msgspec.Raw(msgspec.json.encode({"damaged": why})),
    )


def parse_time(text: str) -> str | None:
    """Return a timestamp in the one form that is stored; None if it is not one.

    Args:
        text: A time in ISO 8601; without "Z" or an offset it is in UTC.
    """
    with contextlib.suppress(msgspec.ValidationError, OverflowError):
        moment = msgspec.convert(text, datetime)
        return format_time(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return None


def _time_of_birth(producer: str) -> str:
    return format_time(datetime.fromtimestamp(born(producer), UTC))


def format_time(moment: datetime) -> str:
    """Return a time in the one form that is stored."""
    return moment.astimezone(UTC).isoformat()
