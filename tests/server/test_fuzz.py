"""Whatever is sent, the answer is a refusal in order or a success; the receiver goes on."""

from __future__ import annotations

import gzip
import json
import random

import pyarrow as pa
import pytest
import requests
from make import P

ROUNDS = 300
MEDIA = [
    *["application/json"] * 4, "application/x-ndjson", "application/x-protobuf", "text/plain",
    "application/json; charset=latin-1", "application/jsonl", "",
]  # fmt: skip
PATHS = [("POST", "/v1/logs"), ("POST", "/v1/log"), ("PATCH", "/v1/log"), ("POST", "/otlp/v1/logs")]
ENCODINGS = ["", "", "", "gzip", "zstd", "identity", "br"]
KEYS = [None, None, f"{P}/0-0", f"{P}/0-1", f"{P}/3-99", "x", "\xff", f"{P}/9-2"]
PIECES = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b"\0", b"\xff", b"\\ud800", b"1e999",
    b"-", b"null", b"true", b'"message"', b'"level"', b'"logs"', b'"levelno"', b'"timestamp"',
    b'"attributes"', b'"INFO"', b"99999999999999999999", b'"9999-99-99T99:99:99Z"', b"[" * 40,
    b'{"a":' * 40, b"\xed\xa0\x80", b"\x0a\x00", b"\x12\x02\x08\x01", b'"producer"',
    b"\xef\xbb\xbf",
    b'"resourceLogs"', b'{"message":"a","level":"INFO"}',
]  # fmt: skip


def make_body(chance: random.Random) -> bytes:
    """Make a body that is nearly one, or nothing like one."""
    entry = {"message": "a", "level": "INFO", "timestamp": "2026-11-21T10:00:00Z", "levelno": 20,
             "logger": "x", "lineno": 1, "attributes": {"k": [1, {"l": None}]}}  # fmt: skip
    records = [
        {"body": {"stringValue": "a"}, "attributes": [{"key": "k", "value": {"intValue": "1"}}]}
    ]
    otlp = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
    wholes = [{"logs": [entry, entry]}, [entry], entry, otlp, {"logs": [{}, 1, entry]}]
    body = bytearray(json.dumps(chance.choice(wholes)).encode())
    for _ in range(chance.choice([0, 1, 1, 2, 5, 30])):
        at = chance.randrange(len(body) + 1)
        body[at : at + chance.choice([0, 0, 1, 5, 50])] = chance.choice(PIECES)
    return bytes(body)


def pack(body: bytes, encoding: str, chance: random.Random) -> bytes:
    """Compress a body, and damage it now and then."""
    if encoding == "gzip":
        body = gzip.compress(body)
    elif encoding == "zstd":
        body = pa.compress(body, "zstd", asbytes=True)
    if encoding and chance.random() < 0.3:
        at = chance.randrange(len(body))
        body = body[:at] + bytes([chance.randrange(256)]) + body[at + chance.randrange(3) :]
    return body


@pytest.mark.parametrize("seed", range(4))
def test_anything(client, seed: int) -> None:
    """Bodies, headers and paths of all kinds: only answers that are meant, and no bug."""
    chance = random.Random(seed)
    seen: dict[int, int] = {}
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(ROUNDS):
            method, path = chance.choice(PATHS)
            encoding, key = chance.choice(ENCODINGS), chance.choice(KEYS)
            headers = {"Content-Type": chance.choice(MEDIA), "Content-Encoding": encoding}
            headers |= {} if key is None else {"Idempotency-Key": key}
            body = pack(make_body(chance), encoding, chance)
            answer = session.request(
                method, client.url + path, data=body, headers=headers, timeout=30
            )
            assert answer.status_code in (200, 400, 409, 413, 415, 422), (answer.text, body)
            seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
    assert {200, 400, 415} <= seen.keys()
    assert 200 == client.get("/healthz").status_code
    client.verify()
    client.rows("message")


def test_bytes_on_the_wire(client) -> None:
    """Bytes that are nearly HTTP end in an answer or a closed connection."""
    chance = random.Random(7)
    whole = (
        b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2\r\n\r\n[]"
    )
    for _ in range(150):
        sent = bytearray(whole)
        for _ in range(chance.choice([1, 2, 5])):
            sent[chance.randrange(len(sent))] = chance.randrange(256)
        with client.connect() as connection:
            connection.sendall(sent)
            connection.shutdown(1)  # no more is coming
            connection.settimeout(10)
            got = connection.recv(1000)
            assert got[:9] in (b"", b"HTTP/1.1 ") and got[9:12] not in (b"500", b"501")
    assert 200 == client.get("/healthz").status_code
