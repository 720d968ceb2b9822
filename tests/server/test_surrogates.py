r"""Half a surrogate pair in a text, as JavaScript sends it: `"\ud83d"`."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from make import P
from receivers import Client, MakeEntry

from logbatch.server.surrogates import mark_lone_surrogates

NDJSON = {"Content_Type": "application/x-ndjson"}
HALF = rb"""{"message":"a\ud83d","level":"INFO","k":{"\udc00":["\ude00\ud83d"]}}"""
GOOD = rb"""{"message":"\ud83d\ude00 \\ud83d","level":"INFO"}"""
STORED = ["a\\ud83d", {"k": {"\\udc00": ["\\ude00\\ud83d"]}}]

# What strings of JSON are made of, as far as this is concerned.
parts = st.sampled_from(
    [r"\ud83d", r"\uDBFF", r"\ude00", r"\uDC00", r"\u00e9", r"\\", r"\n", r"\"", "a", "ud83d", "u"]
)


@given(st.lists(parts, max_size=8).map("".join))
@example(r"\\ud83d\ude00")
@example(r"\\\ud83d\ude00")
@example(r"\ud83d\\\ude00")
@example("\\\\" * 40 + r"\ud83d\ude00")
@example("\\\\" * 40 + r"ud83d\ude00")
def test_any_text(text: str) -> None:
    """Each half alone becomes six characters; all else means what it meant."""
    meant = json.loads(f'"{text}"').encode("utf-8", "backslashreplace").decode()
    marked = msgspec.json.decode(mark_lone_surrogates(f'"{text}"'.encode()))
    assert meant.casefold() == marked.casefold()


def test_very_many() -> None:
    """A text of nothing else costs little, in whatever it stands."""
    began = time.process_time()
    for unit in (rb"\ud83d", rb"\ud83d\ude00", b"\\", rb"\n"):
        text = rb"\ud83d" + unit * ((4 << 20) // len(unit))
        assert mark_lone_surrogates(text) in (text, b"\\" + text)
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("before", "between", "after", "headers"),
    [(b'{"logs":[', b",", b"]}", {}), (b"[", b",", b"]", {}), (b"", b"\n", b"\n", NDJSON)],
    ids=["logs", "array", "lines"],
)
def test_siblings_are_stored(
    client: Client, before: bytes, between: bytes, after: bytes, headers: dict[str, str]
) -> None:
    """One such text refused the whole batch, as no JSON; it and all others are stored."""
    body = before + between.join([GOOD, HALF, GOOD]) + after
    for added in (3, 0):
        answer = client.send(body, f"{P}/0-2", **headers)
        assert (200, added, []) == (
            answer.status_code, *(answer.json()[name] for name in ("logs_added", "rejected"))
        )  # fmt: skip
    rows: list[Any] = [[m, json.loads(a)] for m, a in client.rows("message", "attributes")]
    assert [["😀 \\ud83d", {}], STORED, ["😀 \\ud83d", {}]] == rows


def test_one_entry(client: Client) -> None:
    """So is a single one."""
    assert 200 == client.send(HALF, None, "/v1/log").status_code
    assert [[STORED[0], json.dumps(STORED[1])]] == [
        [m, json.dumps(json.loads(a))] for m, a in client.rows("message", "attributes")
    ]


def test_in_a_line_of_ours(client: Client, line: MakeEntry) -> None:
    """And one in a line that would else be stored byte for byte."""
    entry = line("x", attributes={"a": "x"})
    body = json.dumps([line("b"), entry]).encode().replace(b'"x"', rb'"\ud83d"')
    assert 2 == client.send(body).json()["logs_added"]
    assert ["b", "\\ud83d"] == client.rows("message")


def test_in_otlp(client: Client) -> None:
    """And one in a record of OpenTelemetry's JavaScript SDK, or in its resource."""
    text = {"stringValue": "HALF"}
    record = {"severityNumber": 9, "body": text, "attributes": [{"key": "k", "value": text}]}
    resource = {"attributes": [{"key": "r", "value": text}]}
    logs = {"resource": resource, "scopeLogs": [{"logRecords": [record]}]}
    body = json.dumps({"resourceLogs": [logs]}).replace("HALF", r"\ud83d").encode()
    answer = client.send(body, None, "/otlp/v1/logs")
    assert (200, b"{}") == (answer.status_code, answer.content)
    ((message, attributes),) = client.rows("message", "attributes")
    assert ("\\ud83d", {"resource": {"r": "\\ud83d"}, "k": "\\ud83d"}) == (
        message, json.loads(attributes)
    )  # fmt: skip
