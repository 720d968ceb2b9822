"""OTLP in protobuf, read record by record.

Made into objects at once, a body of 64 MiB can take gigabytes: an empty record is two bytes.  So
the outer messages are walked through here, and one record at a time is given to the library.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from logbatch.server.budget import Budget
from logbatch.server.limits import Refusal
from logbatch.server.otlp import (
    LARGEST,
    ORIGIN,
    Found,
    LogRecord,
    charged,
    check_depth,
    check_size,
    make_origin,
    plain_number,
)

_MESSAGE = 2  # wire type of what has a length
_FIXED = {1: 8, 5: 4}  # wire type -> bytes

# Numbers of fields.
_RESOURCE_LOGS = _RESOURCE = _SCOPE = 1
_SCOPE_LOGS = _LOG_RECORDS = 2


class _Span(NamedTuple):
    start: int
    end: int


def find_records(body: bytes, budget: Budget) -> Found:
    """Yield the records of an `ExportLogsServiceRequest`.

    Raises:
        Refusal: It is not one (400), or holds too much (413).
    """
    walk = _Walk(body, budget)
    for outer in walk.find(_Span(0, len(body)), _RESOURCE_LOGS):
        resource, _, _ = walk.origin(Resource.FromString, outer, _RESOURCE)
        for inner in walk.find(outer, _SCOPE_LOGS):
            origin = make_origin(
                resource, *walk.origin(InstrumentationScope.FromString, inner, _SCOPE)
            )
            for span in walk.find(inner, _LOG_RECORDS):
                yield origin, partial(walk.read, span)


class _Walk:
    """A way through a body.

    Args:
        body: The body.
        budget: What the request may take; each field and each value is charged.
    """

    def __init__(self, body: bytes, budget: Budget) -> None:
        self._body = body
        self._budget = budget
        self._step = budget.step
        self._depth = budget.limits.max_depth

    # -------------------------------------------------------------- the wire format
    # Source: https://protobuf.dev/programming-guides/encoding/

    def find(self, within: _Span, wanted: int) -> Iterator[_Span]:
        """Yield the messages of one field."""
        at = within.start
        while at < within.end:
            self._step()
            tag, at = self._varint(at, within.end)
            kind = tag & 7
            if kind == 0:
                _, at = self._varint(at, within.end)
            elif kind in _FIXED:
                at += _FIXED[kind]
            elif kind == _MESSAGE:
                length, start = self._varint(at, within.end)
                at = start + length
                if tag >> 3 == wanted and at <= within.end:
                    yield _Span(start, at)
            else:
                raise _malformed()
            if at > within.end:
                raise _malformed()

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        number = shift = 0
        while at < end and shift < 64:
            byte = self._body[at]
            at += 1
            number |= (byte & 127) << shift
            if byte < 128:
                return number, at
            shift += 7
        raise _malformed()

    def origin(
        self, parse: Callable[[bytes], Any], within: _Span, field: int
    ) -> tuple[dict[str, Any], str, str]:
        """Read the resource or scope of a message: its attributes, name and version.

        It stands there once; several are merged, as the format has it.
        """
        self._step(ORIGIN)
        data = b"".join([self._body[start:end] for start, end in self.find(within, field)])
        if len(data) > LARGEST:
            raise Refusal(413, f"a resource or scope is larger than {LARGEST} bytes")
        with charged(self._budget, len(data)):
            try:
                found = parse(data)
            except DecodeError:
                raise _malformed() from None
            name, version = getattr(found, "name", ""), getattr(found, "version", "")
            return self.attributes(found), name, version

    # -------------------------------------------------------------- records and values

    def read(self, span: _Span) -> LogRecord:
        """Read a record."""
        size = span.end - span.start
        check_size(size)
        with charged(self._budget, size):
            return self._parse(self._body[span.start : span.end])

    def _parse(self, data: bytes) -> LogRecord:
        try:
            record = logs_pb2.LogRecord.FromString(data)
        except DecodeError:
            raise _malformed() from None
        return LogRecord(
            record.time_unix_nano,
            record.observed_time_unix_nano,
            record.severity_number,
            record.severity_text,
            self._value(record.body, 1),
            self.attributes(record),
            record.trace_id.hex(),
            record.span_id.hex(),
            getattr(record, "event_name", ""),  # older ones of the library have it not
        )

    def attributes(self, holder: Any) -> dict[str, Any]:
        """Read the attributes of a record, a resource or a scope."""
        return {each.key: self._value(each.value, 2) for each in holder.attributes}

    def _value(self, value: Any, depth: int) -> Any:
        self._step()
        check_depth(depth, self._depth)
        kind = value.WhichOneof("value")
        if kind in ("string_value", "bool_value", "int_value"):
            return getattr(value, kind)
        if kind == "double_value":
            return plain_number(value.double_value)
        if kind == "bytes_value":
            return b64encode(value.bytes_value).decode()
        if kind == "array_value":
            return [self._value(each, depth + 1) for each in value.array_value.values]
        if kind == "kvlist_value":
            pairs = value.kvlist_value.values
            return {each.key: self._value(each.value, depth + 1) for each in pairs}
        return None


def _malformed() -> Refusal:
    return Refusal(400, "the body is not an ExportLogsServiceRequest in protobuf")
