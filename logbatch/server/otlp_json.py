"""OTLP in JSON: names in camel case, 64-bit integers as text or numbers, ids in hexadecimal.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from logbatch.levels import SEVERITY_NUMBERS
from logbatch.server.budget import Budget
from logbatch.server.entries import check_text
from logbatch.server.limits import Refusal
from logbatch.server.normalise import Rejected
from logbatch.server.otlp import (
    ORIGIN,
    Found,
    LogRecord,
    charged,
    check_depth,
    check_size,
    make_origin,
    plain_number,
)


class _Json(msgspec.Struct, rename="camel"):
    """A message; fields that are not known are passed over."""


class _Array(_Json):
    values: list[_Value] | None = None


class _Pair(_Json):
    key: str = ""
    value: _Value | None = None


class _Pairs(_Json):
    values: list[_Pair] | None = None


class _Value(_Json):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: _Array | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Record(_Json):
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    body: _Value | None = None
    attributes: list[_Pair] | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _Resource(_Json):
    attributes: list[_Pair] | None = None


class _Scope(_Json):
    name: str | None = None
    version: str | None = None
    attributes: list[_Pair] | None = None


class _ScopeLogs(_Json):
    scope: _Scope | None = None
    log_records: list[msgspec.Raw] | None = None


class _ResourceLogs(_Json):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Request(_Json):
    resource_logs: list[_ResourceLogs] | None = None


_decode_request = msgspec.json.Decoder(_Request).decode
_decode_record = msgspec.json.Decoder(_Record).decode
_UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)


OBJECT = 64
"""Bytes that a value or a bracket of a request takes when it is decoded, at the most."""


def find_records(body: bytes, budget: Budget) -> Found:
    """Yield the records of an `ExportLogsServiceRequest`.

    Raises:
        Refusal: It is not one (400), or holds too much (413).
    """
    depth = budget.limits.max_depth
    check_text(body)
    try:
        request = _decode_request(body)
    except _UNDECODABLE:
        raise _malformed() from None
    for outer in request.resource_logs or ():
        budget.step(ORIGIN)
        resource = _attributes(outer.resource, depth)
        for inner in outer.scope_logs or ():
            budget.step(ORIGIN)
            scope = inner.scope or _Scope()
            said = _attributes(scope, depth)
            origin = make_origin(resource, said, scope.name or "", scope.version or "")
            for raw in inner.log_records or ():
                yield origin, partial(_read, raw, budget)


def _malformed() -> Refusal:
    return Refusal(400, "the body is not an ExportLogsServiceRequest in JSON")


def _read(raw: msgspec.Raw, budget: Budget) -> LogRecord:
    size = len(bytes(raw))
    check_size(size)
    with charged(budget, size):
        return _decode(raw, budget.limits.max_depth)


def _decode(raw: msgspec.Raw, max_depth: int) -> LogRecord:
    try:
        record = _decode_record(raw)
    except RecursionError:
        raise Rejected(f"it is nested deeper than {max_depth} levels") from None
    except _UNDECODABLE:
        raise _malformed() from None
    return LogRecord(
        _time(record.time_unix_nano),
        _time(record.observed_time_unix_nano),
        _severity(record.severity_number),
        record.severity_text or "",
        _value(record.body, 1, max_depth),
        _attributes(record, max_depth),
        record.trace_id or "",
        record.span_id or "",
        record.event_name or "",
    )


def _time(given: int | str | None) -> int:
    number = _integer(given or 0)
    if not isinstance(number, int) or not 0 <= number < 1 << 64:
        raise _malformed()
    return number


def _severity(given: int | str | None) -> int:
    """Return the number of a severity; some write the name that it has in the protocol."""
    number = _integer(given or 0)
    return number if isinstance(number, int) else SEVERITY_NUMBERS.get(number, 0)


def _integer(given: int | str) -> int | str:
    """Return an integer of 64 bits; what is none stays a text."""
    text = str(given)
    if len(text) <= 20 and text.removeprefix("-").isdecimal() and text.isascii():
        return int(text)
    return text


def _attributes(holder: Any, max_depth: int) -> dict[str, Any]:
    if holder is None:
        return {}
    return {each.key: _value(each.value, 2, max_depth) for each in holder.attributes or ()}


def _value(value: _Value | None, depth: int, most: int) -> Any:
    check_depth(depth, most)
    if value is None:
        return None
    if value.array_value is not None:
        return [_value(each, depth + 1, most) for each in value.array_value.values or ()]
    if value.kvlist_value is not None:
        pairs = value.kvlist_value.values or ()
        return {each.key: _value(each.value, depth + 1, most) for each in pairs}
    if value.int_value is not None:
        return _integer(value.int_value)
    if isinstance(value.double_value, float):
        return plain_number(value.double_value)
    for plain in (value.string_value, value.bool_value, value.double_value, value.bytes_value):
        if plain is not None:
            return plain
    return None
