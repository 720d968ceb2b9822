"""Bodies of requests: lines joined, renamed, compressed."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make import logged_line
from scripted import inflate

from logbatch.transports.http.bodies import SMALL, compress, join, media_type, rename

_texts = st.text(max_size=30) | st.sampled_from(["\n", "\r\n", "\u2028", '"', "\\", "\x85"])


def encode(*messages: str) -> bytes:
    """Make lines as a handler does."""
    return b"".join(logged_line(message, m=message) for message in messages)


@given(st.lists(_texts, min_size=1, max_size=8))
def test_each_form_holds_every_line(messages: list[str]) -> None:
    """Byte for byte, as no line holds a newline of its own."""
    lines = encode(*messages)
    events = [msgspec.json.decode(line) for line in lines.split(b"\n")[:-1]]
    assert len(messages) == len(events)

    assert {"logs": events} == json.loads(join(lines, "logs"))
    assert events == json.loads(join(lines, "array"))
    assert lines == join(lines, "ndjson")
    for line in lines.split(b"\n")[:-1]:
        assert line in join(lines, "logs")


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("logs", "application/json"),
        ("array", "application/json"),
        ("ndjson", "application/x-ndjson"),
    ],
)
def test_the_media_type_tells_the_form(form: str, kind: str) -> None:
    """NDJSON is no JSON."""
    assert kind == media_type(form)


def test_keys_are_renamed_and_values_stay() -> None:
    """Only at the top; a number keeps its digits."""
    line = b'{"timestamp":"t","level":"INFO","message":"a\\u0001","attributes":{"message":1e400}}\n'
    renamed = rename(line * 2, {"timestamp": "time", "message": "msg", "level": None})

    one = b'{"time":"t","msg":"a\\u0001","attributes":{"message":1e400}}\n'
    assert one * 2 == renamed


@given(st.lists(_texts, min_size=1, max_size=5))
def test_renamed_lines_are_still_as_many(messages: list[str]) -> None:
    """Whatever they hold."""
    renamed = rename(encode(*messages), {"message": "text"})
    events = [json.loads(line) for line in renamed.split(b"\n")[:-1]]

    assert [event["text"] for event in events] == [
        json.loads(line)["message"] for line in encode(*messages).split(b"\n")[:-1]
    ]


@pytest.mark.parametrize("size", [1, SMALL - 1, SMALL, 300_000])
@pytest.mark.parametrize("method", ["auto", "gzip", "zstd", "none"])
def test_what_is_compressed_is_the_same_each_time(method: str, size: int) -> None:
    """A batch that is sent again is the same, byte for byte."""
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    data, encoding = compress(body, method)

    assert (data, encoding) == compress(body, method)
    assert body == inflate(data, encoding)
    plain = method == "none" or (method == "auto" and size < SMALL)
    assert plain == (encoding is None)
    assert len(data) < len(body) or size < SMALL or plain
