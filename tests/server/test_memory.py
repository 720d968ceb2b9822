"""Whatever is sent, the receiver keeps within its memory: under a limit on the address space."""

from __future__ import annotations

import gzip
import json
import re
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pyarrow as pa
import pytest
from make import P, Q, event
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from receivers import Client, Process, StartProcess, is_closed_after, length

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs prlimit and /proc")

MIB = 1 << 20
BODY = 4 * MIB
MEMORY = 8 * BODY
CONSTANT = 64 * MIB
"""What the receiver takes beside `--max-memory-bytes`, for its threads and connections."""

CPU = 4.0  # seconds for one request; a slow machine may need a tenth of that
CLIENTS = 5  # more than the receiver has threads
LIMITS = (f"--max-body-bytes={BODY}", f"--max-memory-bytes={MEMORY}", "--max-records=10000")
OTLP, PROTOBUF = "/otlp/v1/logs", "application/x-protobuf"


@pytest.fixture(params=["jsonl"])
def receiver(
    request: pytest.FixtureRequest, process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Process]:
    """A receiver that is out of memory as soon as it takes more than it says."""
    # Allocators reserve address space that nobody uses, which would hide what is used.
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    found = process("--format", request.param, *LIMITS, anew=True)
    warm_up(found)
    most = address_space(found) + MEMORY + CONSTANT
    resource.prlimit(found.child.pid, resource.RLIMIT_AS, (most, most))
    yield found
    assert 200 == found.client.send([event("after")]).status_code
    code, said = found.end()
    assert (0, "") == (code, said)


def warm_up(receiver: Process) -> None:
    """Have it import and start all that it needs once, in all of its threads."""
    spaces, request = zstd(b"[" + b" " * (2 * MIB) + b"]"), otlp_protobuf(b"x", 1)
    with ThreadPoolExecutor(CLIENTS) as threads:
        for _ in range(CLIENTS):
            threads.submit(receiver.client.send, spaces, Content_Encoding="zstd")
            threads.submit(receiver.client.send, request, None, OTLP, Content_Type=PROTOBUF)
            threads.submit(receiver.client.send, [event("a")], f"{P}/0-0")
            threads.submit(receiver.client.send, [{"message": "a", "level": "INFO"}] * 100)


def address_space(receiver: Process) -> int:
    """Return how many bytes a receiver has mapped."""
    status = Path(f"/proc/{receiver.child.pid}/status").read_text()
    found = re.search(r"VmSize:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


def cpu_seconds(receiver: Process) -> float:
    """Return how long a receiver has had a processor."""
    used = psutil.Process(receiver.child.pid).cpu_times()
    return used.user + used.system


def zstd(data: bytes) -> bytes:
    """Make one frame of zstd."""
    return pa.compress(data, codec="zstd", asbytes=True)


def otlp_protobuf(attribute: bytes, records: int) -> bytes:
    """Make a request of empty records, of one resource."""
    request = ExportLogsServiceRequest()
    outer = request.resource_logs.add()
    each = outer.resource.attributes.add()
    each.key, each.value.string_value = "k", attribute.decode()
    inner = outer.scope_logs.add()
    for _ in range(records):
        inner.log_records.add()
    return request.SerializeToString()


def otlp_json(attribute: str, records: int) -> bytes:
    """Make the same in JSON."""
    pair = {"key": "k", "value": {"stringValue": attribute}}
    inner: dict[str, Any] = {"logRecords": [{}] * records}
    outer = {"resource": {"attributes": [pair]}, "scopeLogs": [inner]}
    return json.dumps({"resourceLogs": [outer]}).encode()


class Attack(NamedTuple):
    """A request, and how it may be answered."""

    name: str
    body: bytes
    answers: set[int]
    path: str = "/v1/logs"
    media: str = "application/json"
    encoding: str = "identity"
    key: str | None = None

    def send(self, client: Client) -> str:
        """Send it; return what was wrong with the answer."""
        answer = client.send(
            self.body, self.key, self.path, Content_Type=self.media, Content_Encoding=self.encoding
        )
        allowed = answer.status_code in self.answers and "no memory" not in answer.text
        return "" if allowed else f"{self.name}: {answer.status_code} {answer.text[:200]}"


def fill(head: bytes, unit: bytes, tail: bytes, size: int = BODY // 8) -> bytes:
    """Repeat something up to a size, by default one that may be worked on."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def make_attacks() -> Iterator[Attack]:
    """Make requests of which each takes much more than its bytes, if it may."""
    refused = {400, 413, 422, 503}
    taken = {200, 413, 503}  # 413: what is made of it would be too much
    spaces = b" " * BODY

    # What is refused must not stay.
    yield Attack("a bomb of zstd", zstd(spaces * 16), {413, 503}, encoding="zstd")
    yield Attack("a bomb of gzip", gzip.compress(spaces * 2), {413, 503}, encoding="gzip")
    yield Attack("no JSON", zstd(spaces), refused, encoding="zstd")
    yield Attack("no OTLP", zstd(b"\x0b" * BODY), refused, OTLP, PROTOBUF, "zstd")
    yield Attack("another number", fill(b"[", b"1,", b"1]"), refused, key=f"{P}/0-5")
    # What compression may ask for.
    window = b"\x28\xb5\x2f\xfd\x00\x88" + b"\x01\x00\x00"  # 128 MiB
    yield Attack("a window of zstd", window, refused, encoding="zstd")
    frame = b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"
    yield Attack("frames of zstd", frame * 200_000, refused, encoding="zstd")
    # What a parser makes of JSON.
    for name, body in (
        ("values", fill(b"[", b"1,", b"1]")),
        ("brackets", fill(b"", b"[", b"")),
        ("objects", fill(b"[", b"{},", b"{}]")),
        ("pairs", fill(b'[{"a":', b'{"":', b"")),
        ("values in one", fill(b'[{"message":"a","level":"INFO","x":[', b"1,", b"1]}]")),
        ("strings", fill(b'[{"message":"a","level":"INFO","x":[', b'"",', b'""]}]')),
        ("keys", b'[{%b"message":1}]' % b"".join(b'"%d":1,' % n for n in range(50_000))),
        ("digits", fill(b'[{"message":"a","level":', b"1", b"}]")),
        ("a key", fill(b'[{"message":"a","level":"INFO","', b"k", b'":1}]')),
    ):
        yield Attack(name, body, refused | taken)
        lines = body.strip(b"[]").replace(b"},{", b"}\n{")
        yield Attack(f"{name}, in lines", lines, refused | taken, media="application/x-ndjson")
        yield Attack(f"{name}, as OTLP", body, refused, OTLP)
    text = fill(b"[" * 40, b'""', b"", 400_000)
    yield Attack("strings of no list", text, refused | taken, media="application/x-ndjson")
    # What is mended.
    halves = fill(b'[{"message":"', rb"\ud83d", b'","level":"INFO"}]')
    yield Attack("halves of pairs", halves, taken)
    head = json.dumps(event(attributes={}), separators=(",", ":")).encode().removesuffix(b"}}")
    for unit in (b'"":1,', b'"":{"":1},'):
        repeated = fill(b"[" + head, unit, b'"":1}}]', BODY // 16)
        yield Attack("a key again and again", repeated, refused | taken)
    # A text that takes four times its bytes.
    wide = json.dumps(event("x" * (BODY // 2)), ensure_ascii=False).encode()
    wide = wide.replace(b"xx", "\U0001f600".encode(), 1)
    yield Attack("a wide text", b"[%b]" % wide, taken)
    wide = wide.replace(b'"levelno": 20, ', b"")
    yield Attack("a wide text of another program", b"[%b]" % wide, taken)
    own = json.dumps(event("x" * 900)).encode()
    yield Attack("records", fill(b"[", own + b",", own + b"]", BODY), taken)
    foreign = b'{"msg":"","level":"INFO"}'
    yield Attack("entries that grow", fill(b"[", foreign + b",", foreign + b"]"), taken)
    odd = rb'{"msg":"a","level":"INFO","service":["%b"]}' % (rb"\"" * 1000)
    yield Attack("values that are not their column's", fill(b"[", odd + b",", odd + b"]"), taken)
    # What is looked through once more.
    for name, half in (("halves of pairs", rb"\ud83d"), ("pairs", rb"\ud83d\ude00")):
        yield Attack(name, fill(b'[{"message":"', half, b'"}]', BODY // 2), refused | taken)
    head = json.dumps(event("a")).encode()[:-1]
    names = b"".join(b'"%d":1,' % n for n in range(120_000))
    for many in (names * 2, b'"a":{' * 25 + names * 2 + b'"":1' + b"}" * 25 + b","):
        keys = b'[%b,"attributes":{%b"":1}}]' % (head, many)
        yield Attack("keys that are there again", keys, refused | taken)
    twice = b'%b,"attributes":{"a":1,"a":2}}' % head
    yield Attack("keys twice in each", fill(b"[", twice + b",", twice + b"]", BODY // 2), taken)
    # What OTLP multiplies.
    quotes = otlp_protobuf(b'"' * 500_000, 1)
    yield Attack("a resource that grows", quotes, taken, OTLP, PROTOBUF)
    large = gzip.compress(otlp_protobuf(b"x" * 100_000, 40_000))
    yield Attack("a resource of many records", large, {413, 503}, OTLP, PROTOBUF, "gzip")
    large = gzip.compress(otlp_json("x" * 100_000, 40_000))
    yield Attack("the same in JSON", large, {413, 503}, OTLP, encoding="gzip")
    empty = gzip.compress(b"\x0a\x00" * (BODY // 2))
    yield Attack("empty resources", empty, {413, 503}, OTLP, PROTOBUF, "gzip")
    for name, body in (
        ("resources", fill(b'{"resourceLogs":[', b"{},", b"{}]}")),
        ("scopes", fill(b'{"resourceLogs":[{"scopeLogs":[', b"{},", b"{}]}]}")),
        ("attributes", fill(b'{"resourceLogs":[{"resource":{"attributes":[', b"{},", b"{}]}}]}")),
        ("values", fill(b'{"resourceLogs":[{"resource":{"attributes":[', b'{"value":{}},', b"")),
    ):
        yield Attack(f"{name} in JSON", body, refused | taken, OTLP)
    for tags in (b"\x12\x12\x0a", b"\x0a\x0a"):  # attributes of a record, of a resource
        body = (b"\x32\x00" if tags[0] == 0x12 else b"\x0a\x00") * 200_000
        for tag in tags:
            body = bytes((tag,)) + length(body) + body
        yield Attack("attributes", body, refused | taken, OTLP, PROTOBUF)


both_formats = pytest.mark.parametrize("receiver", ["jsonl", "parquet"], indirect=True)


@both_formats
def test_whatever_is_sent(receiver: Process) -> None:
    """Requests that would take many times their bytes are refused, or taken one by one.

    None takes the processor for long, either.
    """
    with ThreadPoolExecutor(CLIENTS) as threads:
        for attack in make_attacks():
            before = cpu_seconds(receiver)
            said = list(threads.map(attack.send, [receiver.client] * CLIENTS))
            assert [] == [each for each in said if each]
            assert cpu_seconds(receiver) - before < CLIENTS * CPU, attack.name


@both_formats
def test_whatever_is_stored(receiver: Process) -> None:
    """What is stored is read back to be compared with what came again: that is charged as well."""
    large = [event("x" * MIB) for _ in range(3)]
    for first in range(0, 36, 3):
        assert 200 == receiver.client.send(large, f"{Q}/{first}-{first + 2}").status_code
    small = Attack("other", json.dumps([event()] * 36).encode(), {409, 413, 503}, key=f"{Q}/0-35")
    same = Attack("again", json.dumps(large[:2]).encode(), {200, 503}, key=f"{Q}/1-2")
    with ThreadPoolExecutor(CLIENTS) as threads:
        for attack in (small, same):
            said = list(threads.map(attack.send, [receiver.client] * CLIENTS))
            assert [] == [each for each in said if each]


def test_chunks_without_end(receiver: Process) -> None:
    """Clients that send a body in chunks of one byte are dropped."""
    head = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    with ThreadPoolExecutor(20) as threads:
        assert all(
            threads.map(is_dropped, [receiver] * 20, [b"1\r\n \r\n" * 20_000] * 20, [head] * 20)
        )


def test_requests_without_end(receiver: Process) -> None:
    """Clients that send request after request and read no answer are dropped."""
    head = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: 28\r\n\r\n" + b'[{"msg":"a","level":"INFO"}]'
    with ThreadPoolExecutor(50) as threads:
        assert all(threads.map(is_dropped, [receiver] * 50, [request * 2000] * 50))


def is_dropped(receiver: Process, data: bytes, head: bytes = b"") -> bool:
    """Send the same again and again; return whether the other end closes."""
    with receiver.client.connect() as connection:
        return is_closed_after(connection, head, *[data] * 50)
