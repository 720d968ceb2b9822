"""Old records go from a SQLite file, in short steps, and never by a clock that is wrong."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from make import P, batch_of, event

from logbatch.testing import ManualClock
from logbatch.transports import build
from logbatch.transports.retaining import read_policy
from logbatch.transports.trimming import Trimming

DAY = 86_400.0
NOW = 1_795_246_121.0  # 2026-11-21 07:28:41


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is made."""
    return tmp_path / "logs.db"


def numbers(path: Path) -> list[int]:
    """Read the attribute `n` of all records."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT json_extract(attributes, '$.n') FROM events ORDER BY 1")
        return [n for (n,) in found]


def fill(path: Path, days: int, count: int = 10) -> None:
    """Write records of so many days up to now, some a day."""
    moments = [NOW - DAY * (days - n / count) for n in range(days * count + 1)]
    texts = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)) for moment in moments]
    events = [event("m" * 200, timestamp=text, attributes={"n": n}) for n, text in enumerate(texts)]
    build(f"sqlite:{path}").send(batch_of(P, 0, *events))


def go_on(trimming: Trimming, clock: ManualClock, seconds: float) -> None:
    """Have time pass."""
    end = clock.now + seconds
    while clock.now < end:
        wait = trimming.step()
        assert wait > 0
        clock.now = min(clock.now + wait, end)


def make(path: Path, ahead: float = 0.0, **options: Any) -> tuple[Trimming, ManualClock]:
    """Make what removes from the file, and its clock."""
    clock = ManualClock(0.0)
    policy = read_policy(options.get("retain_age"), options.get("retain_bytes"))
    return Trimming(path, policy, clock, lambda: NOW + ahead + clock.now), clock


def test_age(path: Path) -> None:
    """After a minute what is too old is gone, and the rest stays."""
    fill(path, 20)
    trimming, clock = make(path, retain_age="14d")
    go_on(trimming, clock, 59)
    assert 201 == len(numbers(path))
    go_on(trimming, clock, 60)
    assert list(range(61, 201)) == numbers(path)
    go_on(trimming, clock, 2 * DAY)
    assert list(range(81, 201)) == numbers(path)


def test_a_clock_that_is_wrong_removes_nothing(path: Path) -> None:
    """A single jump of years is not believed."""
    fill(path, 20)
    trimming, clock = make(path, ahead=5 * 365 * DAY, retain_age="30d")
    go_on(trimming, clock, 3600)
    assert 201 == len(numbers(path))


def test_bytes(path: Path) -> None:
    """The oldest records go, some thousand at a time, and the file becomes smaller."""
    fill(path, 20, 500)
    before = path.stat().st_size
    trimming, clock = make(path, retain_bytes=before // 2)
    go_on(trimming, clock, 300)
    found = numbers(path)
    assert 3000 < len(found) < 5100
    assert list(range(10_001 - len(found), 10_001)) == found
    assert path.stat().st_size < before * 0.6
    go_on(trimming, clock, 300)
    assert found == numbers(path)


def test_no_file(path: Path) -> None:
    """Nothing is made."""
    trimming, clock = make(path, retain_age="14d")
    go_on(trimming, clock, 300)
    assert not path.exists()


def test_a_lock_is_left_to_those_who_write(path: Path) -> None:
    """It is no trouble, and done later."""
    fill(path, 20)
    trimming, clock = make(path, retain_age="14d")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        go_on(trimming, clock, 100)
    assert 201 == len(numbers(path))
    go_on(trimming, clock, 20)
    assert 150 > len(numbers(path))


def test_a_handler_does_it(path: Path) -> None:
    """A transport with the options removes, one without them does not, nor a child at once."""
    fill(path, 20)
    assert float("inf") == build(f"sqlite:{path}").retain()
    for options in ({"retain_age": "14d"}, {"retain_bytes": "1MB"}):
        transport = build(f"sqlite:{path}", **options)
        for _ in range(2):
            assert 0 < transport.retain() <= 90
            transport.after_fork()
    assert 201 == len(numbers(path))
