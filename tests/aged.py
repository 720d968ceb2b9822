"""Directories whose records are of many days, as tests of retention and export need them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from make import START, batch_of, event

from logbatch.dataset.reader import Dataset
from logbatch.identity import new_producer
from logbatch.transports import build

NOW = START.timestamp()
DAY = 86_400


def aged_event(days: float, number: int, **fields: Any) -> dict[str, Any]:
    """Make an event that was logged so many days before `NOW`; each fifth is an error."""
    moment = START - timedelta(days=days) + timedelta(seconds=number % 1000)
    level, levelno = ("INFO", 20) if number % 5 else ("ERROR", 40)
    given: dict[str, Any] = {
        "message": f"message {number}",
        "timestamp": f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}",
        "level": level,
        "levelno": levelno,
        "attributes": {"number": number},
    }
    return event(**given | fields)


def publish_aged(
    directory: Path,
    producer: str,
    first: int,
    count: int,
    days: float,
    kind: str = "parquet",
    **options: Any,
) -> None:
    """Publish consecutive events of a producer as a file, on the day on which they were logged."""
    transport: Any = build({"type": kind, "path": directory}, **options)
    transport.now = lambda: NOW - days * DAY
    events = (aged_event(days, number) for number in range(first, first + count))
    transport.send(batch_of(producer, first, *events))
    transport.close()


def fill(directory: Path, days: int, count: int = 10, kind: str = "parquet", **options: Any) -> str:
    """Publish a file of one process for each of so many days, the newest an hour before `NOW`."""
    producer = new_producer()
    for day in range(days):
        age = days - 1 - day + 1 / 24
        publish_aged(directory, producer, day * count, count, age, kind, **options)
    return producer


def numbers(directory: Path, where: str | None = None) -> list[int]:
    """The sequences of all records that match, in the order of time."""
    return [row["sequence"] for row in Dataset(directory).rows(where)]


def names_in(directory: Path) -> list[str]:
    """The names of all files that are not hidden, with those of their folders."""
    return sorted(
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if not path.is_dir() and ".journal" not in path.parts
    )
