"""OTLP/HTTP: log records of OpenTelemetry become lines.

    severity number and text   level, levelno
    body                       message; as JSON where it is not a text
    event or observed time     timestamp
    instrumentation scope      logger
    service.name, host.name    service, host (of the resource)
    exception.*, code.*        exception_type …, pathname, lineno, func_name
    thread.*, process.pid      thread, thread_name, process
    all other attributes       attributes; those of the resource and the scope under these names

Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp and
https://opentelemetry.io/docs/specs/otel/logs/data-model/
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from logbatch.epoch import to_datetime
from logbatch.levels import from_severity
from logbatch.server.access import JSON, PROTOBUF
from logbatch.server.budget import Budget
from logbatch.server.entries import Checked
from logbatch.server.limits import Refusal
from logbatch.server.normalise import Rejected
from logbatch.storage.columns import COLUMNS
from logbatch.storage.line import Line, format_time

MEDIA = frozenset((JSON, PROTOBUF))

LARGEST = 1 << 20  # bytes of one record, resource or scope: an empty attribute is two of them
ORIGIN = 20
"""Values that a resource or a scope counts as, if it has none; so much work it is."""

_GROWTH = 50  # bytes that an object for each of those two takes
_SMALL = 16 << 10  # bytes of a record that are not worth counting what is made of them
_REJECTED = 300  # bytes for a record that is refused

_TRACE = re.compile(r"[0-9a-f]{32}")
_SPAN = re.compile(r"[0-9a-f]{16}")
_encode = msgspec.json.Encoder().encode

# Attribute -> column.  Of two names for one column the first is today's.
_COLUMNS = {
    "exception.type": "exception_type",
    "exception.message": "exception_message",
    "exception.stacktrace": "stacktrace",
    "code.file.path": "pathname",
    "code.filepath": "pathname",
    "code.function.name": "func_name",
    "code.function": "func_name",
    "code.line.number": "lineno",
    "code.lineno": "lineno",
    "thread.id": "thread",
    "thread.name": "thread_name",
    "process.pid": "process",
}
_OF_RESOURCE = {
    "service.name": "service",
    "host.name": "host",
    "process.pid": "process",
}


class LogRecord(NamedTuple):
    """A record as it came, in plain Python; times are nanoseconds since 1970, 0 for none."""

    time: int
    observed: int
    severity: int
    severity_text: str
    body: Any
    attributes: dict[str, Any]
    trace_id: str
    span_id: str
    event: str


class Origin(NamedTuple):
    """Where records come from.

    Attributes:
        columns: What the resource and the scope say about columns.
        attributes: What else they say, as JSON: it is the same in all their records.
    """

    columns: dict[str, Any]
    attributes: dict[str, msgspec.Raw]


Found = Iterator[tuple[Origin, Callable[[], LogRecord]]]
"""Where a record comes from, and what reads it; reading it may raise `Rejected`."""


def make_origin(resource: dict[str, Any], scope: dict[str, Any], name: str, version: str) -> Origin:
    """Sort out what is said of the resource and the scope of records."""
    columns: dict[str, Any] = {"logger": name}
    rest = _split_columns(resource, _OF_RESOURCE, columns)
    if version:
        scope = {"version": version, **scope}
    said = {"resource": rest, "scope": scope}
    raws = {key: msgspec.Raw(_encode(value)) for key, value in said.items() if value}
    return Origin(columns, raws)


def check(found: Found, budget: Budget, now: float) -> Checked:
    """Make lines of records, and charge them: a resource of 1 MiB is in each line of its records.

    Raises:
        Refusal: There are too many records, or their lines are too long (413).
    """
    most = budget.limits.max_records
    lines: list[bytes | None] = []
    rejected: dict[int, str] = {}
    received = format_time(datetime.fromtimestamp(now, UTC))
    for index, (origin, read) in enumerate(found):
        if index >= most:
            raise Refusal(413, f"a request may hold {most} records")
        try:
            line = _make_line(read(), origin, received)
        except Rejected as error:
            budget.grow(_REJECTED)
            rejected[index] = str(error)
            lines.append(None)
        else:
            budget.add_lines(1, len(line))
            lines.append(line)
    return Checked(lines, rejected)


def _make_line(record: LogRecord, origin: Origin, received: str) -> bytes:
    level, number = from_severity(record.severity, record.severity_text)
    columns: dict[str, Any] = dict(origin.columns)
    attributes = {**origin.attributes, **_split_columns(record.attributes, _COLUMNS, columns)}
    if record.event:
        attributes.setdefault("event_name", record.event)
    moment = record.time or record.observed
    line = Line(
        timestamp=_time(moment) if moment else received,
        level=level,
        levelno=number,
        message=_message(record),
        trace_id=_identity(record.trace_id, _TRACE),
        span_id=_identity(record.span_id, _SPAN),
        attributes=msgspec.Raw(_encode(attributes)),
        **columns,
    )
    return _encode(line)


def _message(record: LogRecord) -> str:
    if isinstance(record.body, str):
        return record.body
    return record.event if record.body is None else _encode(record.body).decode()


def _split_columns(
    given: dict[str, Any], names: dict[str, str], columns: dict[str, Any]
) -> dict[str, Any]:
    """Add to the columns what fits them; return what is left."""
    rest = {}
    for name, value in given.items():
        column = names.get(name)
        if column is not None and column not in columns and _fits(value, COLUMNS[column].type):
            columns[column] = value
        else:
            rest[name] = value
    return rest


_BITS = {"int32": 32, "int64": 64}


def _fits(value: object, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    bits = _BITS[kind]
    return type(value) is int and -(1 << (bits - 1)) <= value < 1 << (bits - 1)


def _time(nanoseconds: int) -> str:
    return format_time(to_datetime(nanoseconds // 1000))


def _identity(text: str, form: re.Pattern[str]) -> str | None:
    """Return a trace or span; one that is all zeros or has another form is none."""
    lower = text.lower()
    return lower if form.fullmatch(lower) and lower.strip("0") else None


# ------------------------------------------------------------------ values


def check_depth(depth: int, most: int) -> None:
    """Refuse a record whose values are nested deeper than allowed.

    Raises:
        Rejected: They are.
    """
    if depth > most:
        raise Rejected(f"it is nested deeper than {most} levels")


def check_size(size: int) -> None:
    """Refuse a record that is too large to be read at once.

    Raises:
        Rejected: It is.
    """
    if size > LARGEST:
        raise Rejected(f"it is larger than {LARGEST} bytes")


def charged(budget: Budget, size: int) -> AbstractContextManager[None]:
    """Charge what is built of a record, a resource or a scope, for as long as it is read."""
    return budget.borrowed(_GROWTH * size if size > _SMALL else 0)


def plain_number(value: float) -> float | str:
    """Return a number, or the text that stands for one that JSON has not."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


# ------------------------------------------------------------------ answers

_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 8, 415: 3, 503: 14}  # of gRPC


def encode_success(rejected: dict[int, str], media: str) -> bytes:
    """Encode the answer to a request that was stored, perhaps without some of its records."""
    reason = f"record {min(rejected)}: {rejected[min(rejected)]}" if rejected else ""
    if media == JSON:
        if not rejected:
            return b"{}"
        partial = {"rejectedLogRecords": str(len(rejected)), "errorMessage": reason}
        return _encode({"partialSuccess": partial})
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    answer = ExportLogsServiceResponse()
    if rejected:
        answer.partial_success.rejected_log_records = len(rejected)
        answer.partial_success.error_message = reason
    return answer.SerializeToString()


def encode_refusal(refusal: Refusal, media: str) -> bytes:
    """Encode the answer to a request that was refused: a `google.rpc.Status`."""
    code = _CODES.get(refusal.status, 2)
    if media == JSON:
        return _encode({"code": code, "message": refusal.reason})
    text = refusal.reason.encode()[:127]  # so short that its length is one byte
    return bytes((0x08, code, 0x12, len(text))) + text
