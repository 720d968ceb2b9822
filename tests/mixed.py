"""A directory with everything in it: each kind of file, overlaps, a journal, and odd records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from make import (
    DAY,
    START,
    A,
    B,
    P,
    Q,
    Waiting,
    batch_of,
    encode,
    event,
    publish,
    with_pending,
    write_compacted,
)

from logbatch.dataset.reader import Dataset
from logbatch.epoch import to_microseconds, to_text

LEVELS = (("DEBUG", 10), ("INFO", 20), ("ERROR", 40), ("NOTICE", 25), ("odd 'level'", 17))
HUGE = msgspec.Raw(b"1" * 40)
ODD: Sequence[dict[str, Any]] = (
    {"timestamp": "1969-12-31T23:59:59.999999Z", "attributes": {"user": {"id": 7, "Id": 8}}},
    {
        "timestamp": "0001-01-01T00:00:00Z",
        "service": "",
        "attributes": {"n": 2**63, "N": msgspec.Raw(b"1" * 40)},
    },
    {"timestamp": "9999-12-31T23:59:59.999999Z", "logger": "a\"b'c", "attributes": {"user.id": 9}},
    {"message": "null\0byte", "service": "null\0byte", "attributes": {"k\0": "v\0", "": 1}},
    {"attributes": {"a'b": 1, 'a"b': "2", "level": "x", "since": 5, "attributes.y": 1, "x": None}},
    {"attributes": {"user": None, "user.id": None, "tags": ["a", 1, {"b": None}], "empty": {}}},
    {"attributes": {"user": {"id": "7", "deep": {"er": {"n": True}}}, "n": 0.5, "a/b~c": "é"}},
    {"attributes": {"n": "5", "N": 5, "user": "plain", "text": "", "a.b": 1, "a": {"b": 2}}},
    {"attributes": {"a": {"b": 3}, "a.b": None}, "service": "shop", "process": None},
    {"attributes": {"a.b": {"c": 1}, "a": {"b.c": 2}}, "service": "shop"},
    {"attributes": {"a": {"b.c": 2, "b": {"c": 3}}}, "thread_name": "main", "process": 2**62},
)
"""What records may have that is not usual."""


def numbered_event(number: int, step: timedelta = timedelta(seconds=1)) -> dict[str, Any]:
    """Make the n-th record of a producer; some are at the same time."""
    level, levelno = LEVELS[number % 7 % len(LEVELS)]
    moment = START + step * (number // 3)
    usual: dict[str, Any] = {
        "timestamp": to_text(to_microseconds(moment)),
        "level": level,
        "levelno": levelno,
        "logger": ("app", "app.web", "app.web.api", "db")[number % 4],
        "process": number % 3,
        "attributes": {"n": number % 11, "user_id": number, "user": {"id": number % 5}},
    }
    odd = ODD[number % 50] if number % 50 < len(ODD) else {}
    return event(**{"message": f"message {number}"} | usual | odd)


def make_mixed(directory: Path, step: timedelta = timedelta(seconds=1)) -> Dataset:
    """Write some hundred records; some of them are in two files, or in a file and the journal."""

    def batch(producer: str, first: int, last: int) -> Any:
        return batch_of(producer, first, *(numbered_event(n, step) for n in range(first, last + 1)))

    publish(directory, *(batch(A, n, n + 19) for n in range(0, 100, 20)))
    publish(directory, batch(A, 90, 130))
    write_compacted(directory / DAY, batch(A, 30, 69), batch(P, 0, 149), group=32)
    publish(directory, batch(B, 0, 99), kind="jsonl")
    publish(directory, batch(Q, 0, 19))
    lines = encode(*(numbered_event(n, step) for n in range(10, 60)))
    return with_pending(Dataset(directory), lambda _: [Waiting(Q, 10, lines)])
