"""OTLP/HTTP, in JSON and protobuf, from clients that we did not write as well."""

from __future__ import annotations

import gzip
import json
import logging
import math
import os
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from receivers import Client, Start, length

from logbatch.server import otlp, otlp_json, otlp_protobuf
from logbatch.server.budget import Budget, Memory
from logbatch.server.limits import Limits, Refusal
from logbatch.server.normalise import Rejected

PATH = "/otlp/v1/logs"
PROTOBUF = "application/x-protobuf"
TIME = 1_795_246_121_123_456_789
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
EXPECTED: dict[str, Any] = {
    "timestamp": "2026-11-21T07:28:41.123456+00:00", "level": "WARNING", "levelno": 30,
    "logger": "shop.cart", "message": "hello", "exception_type": "ValueError",
    "exception_message": "no", "stacktrace": "Traceback", "pathname": "/a.py", "lineno": 7,
    "func_name": "buy", "process": 12, "thread": 5, "thread_name": "main", "trace_id": TRACE,
    "span_id": SPAN, "service": "shop", "host": "web1",
    "attributes": {
        "resource": {"os": "linux"}, "scope": {"version": "1.2"}, "b": True, "i": -(1 << 63),
        "d": 1.5, "nan": "NaN", "bytes": "AP8=", "list": [1, "x", None], "map": {"k": {"l": 2}},
        "event_name": "bought",
    },
}  # fmt: skip


def value(given: Any) -> dict[str, Any]:
    """Write a value as OTLP/JSON has it."""
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {"doubleValue": "NaN" if math.isnan(given) else given}
    if isinstance(given, bytes):
        return {"bytesValue": "AP8="}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(each) for each in given]}}
    if isinstance(given, dict):
        return {"kvlistValue": {"values": pairs(given)}}
    return {} if given is None else {"stringValue": given}


def pairs(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Write attributes as OTLP/JSON has them."""
    return [{"key": key, "value": value(each)} for key, each in given.items()]


def request(*records: dict[str, Any]) -> dict[str, Any]:
    """Make a request of records of one resource and scope."""
    resource = {"service.name": "shop", "host.name": "web1", "process.pid": 12, "os": "linux"}
    scopes = [{"scope": {"name": "shop.cart", "version": "1.2"}, "logRecords": list(records)}]
    return {"resourceLogs": [{"resource": {"attributes": pairs(resource)}, "scopeLogs": scopes}]}


def record(**more: Any) -> dict[str, Any]:
    """Make a record that has everything."""
    attributes = {
        "exception.type": "ValueError", "exception.message": "no",
        "exception.stacktrace": "Traceback", "code.file.path": "/a.py", "code.line.number": 7,
        "code.function.name": "buy", "thread.id": 5, "thread.name": "main", "b": True,
        "i": -(1 << 63), "d": 1.5, "nan": float("nan"), "bytes": b"\0\xff",
        "list": [1, "x", None], "map": {"k": {"l": 2}},
    }  # fmt: skip
    return {
        "timeUnixNano": str(TIME), "severityNumber": 13, "severityText": "WARN",
        "body": {"stringValue": "hello"}, "attributes": pairs(attributes), "traceId": TRACE,
        "spanId": SPAN, "eventName": "bought", "unknownField": {"x": [1]}, **more,
    }  # fmt: skip


def to_protobuf(given: dict[str, Any]) -> bytes:
    """Make protobuf of OTLP/JSON, by way of the library's own reader."""
    from base64 import b64encode

    from google.protobuf.json_format import ParseDict

    for outer in given["resourceLogs"]:
        for inner in outer["scopeLogs"]:
            for each in inner["logRecords"]:
                for name in ("traceId", "spanId"):  # there these are in base64
                    if name in each:
                        each[name] = b64encode(bytes.fromhex(each[name])).decode()
    return ParseDict(
        given, ExportLogsServiceRequest(), ignore_unknown_fields=True
    ).SerializeToString()


def make_budget(**given: Any) -> Budget:
    """Make what one request may take, of limits."""
    limits = Limits(**given)
    return Budget(Memory(limits.max_memory_bytes), limits)


def make_lines(given: dict[str, Any], media: str) -> list[Any]:
    """Make lines of a request."""
    budget = make_budget()
    if media == PROTOBUF:
        found = otlp_protobuf.find_records(to_protobuf(given), budget)
    else:
        found = otlp_json.find_records(json.dumps(given).encode(), budget)
    return [line and json.loads(line) for line in otlp.check(found, budget, TIME / 1e9).lines]


@pytest.mark.parametrize("media", ["application/json", PROTOBUF])
class TestBoth:
    def test_every_field(self, media: str) -> None:
        """Each field finds its column, all else the attributes."""
        assert [EXPECTED] == make_lines(request(record()), media)

    def test_nothing(self, media: str) -> None:
        """A record may be empty; its time is that of receipt."""
        [line] = make_lines({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}]}]}]}, media)
        moment = datetime.fromisoformat(line.pop("timestamp"))
        assert 1 > abs(moment.timestamp() - TIME / 1e9)
        expected = {"level": "NOTSET", "levelno": 0, "logger": "", "message": "", "attributes": {}}
        assert expected == line

    def test_times_and_bodies(self, media: str) -> None:
        """The observed time stands in for the event's; a body that is no text is shown as JSON."""
        given: list[dict[str, Any]] = [
            {"observedTimeUnixNano": str(TIME), "body": value({"a": [1, {"b": "x"}]})},
            {"timeUnixNano": str(TIME), "observedTimeUnixNano": "1", "body": value(5)},
            {"timeUnixNano": str((1 << 64) - 1), "eventName": "e"},
        ]
        lines = make_lines(request(*given), media)
        assert ['{"a":[1,{"b":"x"}]}', "5", "e"] == [line["message"] for line in lines]
        times = [EXPECTED["timestamp"]] * 2 + ["2554-07-21T23:34:33.709551+00:00"]
        assert times == [line["timestamp"] for line in lines]

    def test_odd_attributes(self, media: str) -> None:
        """What does not fit its column stays an attribute; all-zero ids are none."""
        odd = {"exception.type": 5, "code.line.number": 1 << 40, "code.lineno": 8, "thread.id": "x"}
        [line] = make_lines(
            request({"attributes": pairs(odd), "traceId": "0" * 32, "spanId": "ab"}), media
        )
        expected = {"exception.type": 5, "code.line.number": 1 << 40, "thread.id": "x"}
        assert expected | EXPECTED["attributes"] != line["attributes"]
        assert expected.items() <= line["attributes"].items()
        assert (8, None, None) == (line["lineno"], line.get("trace_id"), line.get("span_id"))

    def test_over_http(self, client: Client, media: str) -> None:
        """Records are stored, plain and compressed, and answered in the same encoding."""
        data = json.dumps(request(record())).encode()
        data = to_protobuf(request(record())) if media == PROTOBUF else data
        for sent, encoding in ((data, "identity"), (gzip.compress(data), "gzip")):
            answer = client.send(sent, None, PATH, Content_Type=media, Content_Encoding=encoding)
            assert (200, media) == (answer.status_code, answer.headers["content-type"])
            assert {PROTOBUF: b"", "application/json": b"{}"}[media] == answer.content
        assert ["hello", "hello"] == client.rows("message")

    def test_a_bad_record(self, client: Client, media: str) -> None:
        """A record nested too deeply is told as a partial success; its siblings are stored."""
        deep: Any = 1
        for _ in range(32):
            deep = [deep]
        given = request(record(), record(body=value(deep)), record(body=value(deep[0])))
        if media == PROTOBUF:
            answer = client.send(to_protobuf(given), None, PATH, Content_Type=media)
            partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
            said = partial.rejected_log_records, partial.error_message
        else:
            partial = client.send(given, None, PATH).json()["partialSuccess"]
            said = int(partial["rejectedLogRecords"]), partial["errorMessage"]
        assert (1, "record 1: it is nested deeper than 32 levels") == said
        assert 2 == len(client.rows("message"))

    def test_a_large_record(self, client: Client, media: str) -> None:
        """A record of more than a megabyte is refused, its siblings are stored."""
        given = request(record(), record(body=value("x" * (1 << 20))))
        data = to_protobuf(given) if media == PROTOBUF else json.dumps(given).encode()
        answer = client.send(data, None, PATH, Content_Type=media)
        assert (200, True) == (answer.status_code, b"larger than 1048576 bytes" in answer.content)
        assert ["hello"] == client.rows("message")

    def test_what_is_none(self, client: Client, media: str) -> None:
        """What is no such request is refused with a Status."""
        bodies = [b"\xff", b"\x0a\xff\xff", b"{", b"[]", b'{"resourceLogs":5}', b"\x0b"]
        for body in bodies:
            answer = client.send(body, None, PATH, Content_Type=media)
            assert 400 == answer.status_code, body
            if media == PROTOBUF:
                assert (b"\x08\x03\x12", len(answer.content) - 4) == (
                    answer.content[:3], answer.content[3]
                )  # fmt: skip
            else:
                assert (3, True) == (answer.json()["code"], bool(answer.json()["message"]))
        assert [] == client.rows("message")

    def test_many(self, start: Start, media: str) -> None:
        """8,500 records in one request, as the collector sends them; too many are refused."""
        data = json.dumps(request(*[record()] * 8500)).encode()
        if media == PROTOBUF:
            message = ExportLogsServiceRequest.FromString(to_protobuf(request(record())))
            records = message.resource_logs[0].scope_logs[0].log_records
            records.extend([records[0]] * 8499)
            data = message.SerializeToString()
        client = start()
        assert 200 == client.send(data, None, PATH, Content_Type=media).status_code
        assert 8500 == len(client.rows("message"))
        client.stop()
        client = start(max_records=8499)
        assert 413 == client.send(data, None, PATH, Content_Type=media).status_code


class TestBombs:
    @pytest.mark.parametrize("unit", [b"\x12\x00", b"\x08\x00", b"\x0a\x00", b"\x1a\x00"])
    def test_tiny_fields(self, unit: bytes) -> None:
        """Millions of fields of two bytes are given up before they cost much, at each level."""
        for levels in range(3):
            body = unit * 200_000
            for _ in range(levels):
                body = (b"\x12" if _ < levels - 1 else b"\x0a") + length(body) + body
            budget = make_budget(max_records=1000)
            with pytest.raises(Refusal) as caught:
                otlp.check(otlp_protobuf.find_records(body, budget), budget, 0)
            assert 413 == caught.value.status

    def test_tiny_attributes(self) -> None:
        """So are attributes."""
        budget = make_budget(max_records=1000)
        record = b"\x32\x00" * 200_000
        for tag in (b"\x12", b"\x12", b"\x0a"):
            record = tag + length(record) + record
        with pytest.raises(Refusal) as caught:
            otlp.check(otlp_protobuf.find_records(record, budget), budget, 0)
        assert 413 == caught.value.status

    def test_json(self, client: Client) -> None:
        """So are records in JSON."""
        body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + b"{}," * (10 << 20) + b"{}]}]}]}"
        assert 413 == client.send(body, None, PATH).status_code

    @pytest.mark.parametrize("media", ["application/json", PROTOBUF])
    def test_depth(self, client: Client, media: str) -> None:
        """Values nested by the thousand are no bug."""
        if media == PROTOBUF:
            deep = AnyValue(string_value="x")
            for _ in range(40):
                outer = AnyValue()
                outer.array_value.values.append(deep)
                deep = outer
            body = deep.SerializeToString()
            for _ in range(1000):
                body = b"\x0a" + length(body) + body
                body = b"\x2a" + length(body) + body
            for tag in (b"\x2a", b"\x12", b"\x12", b"\x0a"):
                body = tag + length(body) + body
        else:
            body = b'{"arrayValue":{"values":[' * 100_000
            body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + body
        assert 400 == client.send(body, None, PATH, Content_Type=media).status_code


@given(st.binary(max_size=60))
def test_any_bytes(body: bytes) -> None:
    """Whatever the bytes are, they are records or they are refused."""
    budget = make_budget()
    for found in (otlp_protobuf.find_records(body, budget), otlp_json.find_records(body, budget)):
        try:
            otlp.check(found, budget, 0)
        except (Refusal, Rejected):
            continue


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers(-5, 5), max_size=5))
def test_attributes(given: dict[str, Any]) -> None:
    """The walk over protobuf finds what the library finds."""
    body = ExportLogsServiceRequest()
    logs = body.resource_logs.add().scope_logs.add().log_records.add()
    for name, each in given.items():
        kind = "string_value" if isinstance(each, str) else "int_value"
        logs.attributes.append(KeyValue(key=name, value=AnyValue(**{kind: each})))
    budget = make_budget()
    found = otlp_protobuf.find_records(body.SerializeToString(), budget)
    [line] = otlp.check(found, budget, 0).lines
    assert given == json.loads(line or "")["attributes"]


def test_the_sdk_of_python(client: Client) -> None:
    """The exporter of OpenTelemetry's own SDK delivers what was logged."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource

    handler_class = find_logging_handler()
    exporter = OTLPLogExporter(endpoint=client.url + PATH)
    provider = LoggerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    log = logging.getLogger("tests.otlp")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    handler = handler_class(logger_provider=provider)
    log.addHandler(handler)
    try:
        for number in range(1000):
            log.warning("n %d", number, extra={"number": number})
        try:
            raise ValueError("no")
        except ValueError:
            log.exception("failed")
    finally:
        log.removeHandler(handler)
        provider.shutdown()
    rows = client.rows("message", "levelno", "service", "logger", "exception_type", "process")
    expected = [[f"n {n}", 30, "shop", "tests.otlp", None, rows[0][5]] for n in range(1000)]
    assert expected == sorted(rows[:1000], key=lambda row: int(row[0][2:]))
    assert [["failed", 40, "shop", "tests.otlp", "ValueError"]] == [row[:5] for row in rows[1000:]]
    assert rows[0][5] in (None, os.getpid())


def find_logging_handler() -> Any:
    """Find the SDK's handler for `logging`, which newer versions call deprecated."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opentelemetry.sdk._logs import LoggingHandler

    class Quiet(LoggingHandler):
        def __init__(self, **given: Any) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                super().__init__(**given)

    return Quiet
