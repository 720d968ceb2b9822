"""Events, lines, batches and published files, as tests need them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from logbatch.events.event import LineEncoder
from logbatch.identity import Ranges, new_producer
from logbatch.storage.coverage import KEY, Coverage, compacted_name, encode_coverage
from logbatch.transports import build
from logbatch.transports.base import Batch

if TYPE_CHECKING:
    from logbatch.dataset.reader import Dataset
    from logbatch.dataset.snapshot import ReadPending

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
MIDNIGHT = 1795305600.0  # at the end of that day, UTC
DAY = "date=2026-11-21"

# Producers: two that were born in 2016, and two of November 2026.
P, Q = "01arz3ndektsv4rrffq69g5fav", "01arz3ndektsv4rrffq69g5faw"
A, B = "01m7y4mnsn285g6hxmhvdgyfrf", "01m7y4mnsn3485d53gqmkbwabw"

encoder = LineEncoder()


def event(message: str = "hello", **fields: Any) -> dict[str, Any]:
    """Make an event that has what every event has, and these fields."""
    return {
        "timestamp": "2026-11-21T10:00:00.123456Z",
        "level": "INFO",
        "levelno": 20,
        "logger": "app",
        "message": message,
        **fields,
    }


def numbered(number: int, **fields: Any) -> dict[str, Any]:
    """Make the n-th event of a producer that logs every second; each fifth is an error."""
    moment = START + timedelta(seconds=number % 50_000)
    level, levelno = ("INFO", 20) if number % 5 else ("ERROR", 40)
    given: dict[str, Any] = {
        "message": f"message {number}",
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "level": level,
        "levelno": levelno,
        "process": 7,
        "attributes": {
            "n": number,
            "user_id": number % 3,
            "path": "/é",
            "user": {"id": "é", "list": [number]},
        },
    }
    return event(**given | fields)


def encode(*events: dict[str, Any]) -> bytes:
    """Return the lines of events."""
    return b"".join(msgspec.json.encode(each) + b"\n" for each in events)


def line(number: int, **fields: Any) -> bytes:
    """Make the line of the n-th event of a producer."""
    return encode(numbered(number, **fields)) if fields else _line(number)


@cache
def _line(number: int) -> bytes:
    return encode(numbered(number))


def lines(first: int, last: int, **fields: Any) -> bytes:
    """Make the lines of a range of sequences."""
    return b"".join(line(number, **fields) for number in range(first, last + 1))


def padded_line(message: object, size: int = 0) -> bytes:
    """Make a line with a message; dots after it make the line as long as `size`."""
    short = encode(event(str(message)))
    return short[:-3] + b"." * (size - len(short)) + short[-3:]


def logged_line(message: str, level: int = logging.INFO, **attributes: Any) -> bytes:
    """Make a line as a handler does."""
    return encoder.text(message, level=level, logger="test", attributes=attributes)


def with_identity(data: bytes, producer: str, first: int) -> bytes:
    """Add producer and sequence to each line, as a JSONL file has them."""
    return b"".join(
        text[:-2] + b',"producer":"%b","sequence":%d}\n' % (producer.encode(), sequence)
        for sequence, text in enumerate(data.splitlines(keepends=True), first)
    )


def make_batch(first: int, last: int, producer: str = P) -> Batch:
    """Make the batch of a range of sequences."""
    return Batch(producer, first, last, lines(first, last))


def batch_of(producer: str, first: int, *events: dict[str, Any] | bytes) -> Batch:
    """Make a batch of events, or of lines."""
    data = b"".join(each if isinstance(each, bytes) else encode(each) for each in events)
    return Batch(producer, first, first + data.count(b"\n") - 1, data)


def named_line(producer: str, number: int) -> bytes:
    """Make the line of an event whose message names the record."""
    return encode(event(f"{producer}/{number}", attributes={"number": number}))


def named_batch(producer: str, first: int, last: int) -> Batch:
    """Make a batch of such lines."""
    return batch_of(producer, first, *(named_line(producer, n) for n in range(first, last + 1)))


def publish(directory: Path, *batches: Batch, kind: str = "parquet", **options: Any) -> None:
    """Publish batches as files of a kind."""
    transport = build({"type": kind, "path": directory}, **options)
    for batch in batches:
        transport.send(batch)
    transport.close()


def publish_events(directory: Path, *events: dict[str, Any], kind: str = "parquet") -> str:
    """Publish events as one process that has ended; return its id."""
    producer = new_producer()
    publish(directory, batch_of(producer, 0, *events), kind=kind)
    return producer


def write_compacted(
    folder: Path, *batches: Batch, says: Coverage | None = None, group: int = 20_000
) -> Path:
    """Write a compacted file of some batches, in the order of time.

    Args:
        folder: Of which day.
        batches: What it holds.
        says: What it says that it holds; None for what it does hold.
        group: Rows of a row group.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from logbatch.storage.arrow import table_from_lines

    ranges: dict[str, Ranges] = {}
    for each in batches:
        ranges.setdefault(each.producer, Ranges()).add(each.first, each.last)
    tables = [table_from_lines(each.lines, each.producer, each.first) for each in batches]
    order: Any = [(name, "ascending") for name in ("timestamp", "producer", "sequence")]
    table = pa.concat_tables(tables).sort_by(order)
    metadata = {KEY: encode_coverage(says or Coverage(ranges))}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / compacted_name()
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=group)
    return path


class Waiting(NamedTuple):
    """Lines in a journal, for tests that say themselves what is in it."""

    producer: str
    first: int
    lines: bytes
    alive: bool = True


def with_pending(dataset: Dataset, read_pending: ReadPending) -> Dataset:
    """Have a dataset read its journals by a function."""
    dataset._source.read_pending = read_pending
    return dataset
