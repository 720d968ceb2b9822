"""Each record once, to whatever time the clock is set meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from clocks import DAY, producer_born, with_clock
from hypothesis import given, settings
from hypothesis import strategies as st
from make import MIDNIGHT, make_batch

from logbatch.dataset.verify import verify
from logbatch.identity import Ranges, new_producer
from logbatch.testing import ManualClock
from logbatch.transports import build
from logbatch.transports.directory import DirectoryTransport

KINDS: dict[str, dict[str, Any]] = {
    "parquet": {"type": "parquet"},
    "jsonl": {"type": "jsonl"},
    "jsonl-zstd": {"type": "jsonl", "rotate_bytes": 300, "compression": "zstd"},
}
SET = [days * sign for days in (1, 2, 366, 3653) for sign in (1, -1)]  # by so many days


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of each kind of transport."""
    return KINDS[request.param]


@pytest.fixture
def clock() -> ManualClock:
    """A clock that shows a minute before midnight."""
    return ManualClock(MIDNIGHT - 60)


def start(kind: dict[str, Any], directory: Path, clock: ManualClock) -> DirectoryTransport:
    """Make a transport, as a process does that starts."""
    transport = with_clock(build({**kind, "path": directory}), clock)
    assert isinstance(transport, DirectoryTransport)
    return transport


def check(directory: Path, producer: str, last: int) -> None:
    """Check that all records are there, each once."""
    report = verify(directory)
    (found,) = report.producers
    assert ((), producer) == (report.problems, found.producer)
    assert (((0, last),), (), ()) == (found.present, found.missing, found.twice)


@pytest.mark.parametrize("days", SET)
def test_between_two_batches(
    kind: dict[str, Any], tmp_path: Path, clock: ManualClock, days: float
) -> None:
    """A batch that is sent again after the clock was set is where it was."""
    producer = producer_born(clock.now)
    transport = start(kind, tmp_path, clock)
    transport.send(make_batch(0, 9, producer))
    clock.now += days * DAY
    transport.send(make_batch(5, 14, producer))
    transport.close()
    transport.send(make_batch(0, 19, producer))
    transport.close()

    check(tmp_path, producer, 19)


@pytest.mark.parametrize("days", SET)
def test_between_a_crash_and_the_next_process(
    kind: dict[str, Any], tmp_path: Path, clock: ManualClock, days: float
) -> None:
    """What a process that died has written is found, whichever day it is now."""
    producer = producer_born(clock.now)
    dead = start(kind, tmp_path, clock)
    dead.send(make_batch(0, 9, producer))
    dead.after_fork()  # closes the files as the end of a process does
    clock.now += days * DAY
    heir = start(kind, tmp_path, clock)
    heir.send(make_batch(5, 14, producer))
    heir.close()
    clock.now -= 2 * days * DAY

    assert Ranges([(0, 14)]) == start(kind, tmp_path, clock).published(producer)
    check(tmp_path, producer, 14)


@pytest.mark.parametrize("days", SET)
def test_between_birth_and_the_first_batch(
    kind: dict[str, Any], tmp_path: Path, clock: ManualClock, days: float
) -> None:
    """A process that saw the clock set before it wrote anything is one like any other."""
    producer = producer_born(clock.now - days * DAY)
    for first in (0, 5, 10):
        transport = start(kind, tmp_path, clock)
        transport.send(make_batch(first, first + 9, producer))
        transport.after_fork()

    check(tmp_path, producer, 19)


def test_after_an_interrupt(
    kind: dict[str, Any], tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that was written when an interrupt came is looked for on all days."""
    producer = producer_born(clock.now)
    transport = start(kind, tmp_path, clock)
    transport.begin(producer)
    clock.now -= 400 * DAY
    name = "rename" if kind["type"] == "parquet" else "fsync"
    real = getattr(os, name)

    def interrupted(*args: Any) -> None:
        real(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, name, interrupted)
        transport.send(make_batch(0, 9, producer))
    clock.now += 500 * DAY
    transport.send(make_batch(0, 19, producer))
    transport.close()

    check(tmp_path, producer, 19)


def test_a_producer_that_begins(kind: dict[str, Any], tmp_path: Path, clock: ManualClock) -> None:
    """Of one that begins nothing can be there, so nothing is looked for."""
    producer = new_producer()
    transport = start(kind, tmp_path, clock)
    transport.begin(producer)
    other = start(kind, tmp_path, clock)
    other.send(make_batch(0, 4, producer))
    other.close()
    transport.send(make_batch(0, 9, producer))
    transport.close()

    (found,) = verify(tmp_path).producers
    assert (((0, 9),), ((0, 4),)) == (found.present, found.twice)


def walks() -> st.SearchStrategy[list[tuple[int, int, bool]]]:
    """Draw steps: by how many hours the clock is set, how many records came, who sends them."""
    hours = st.integers(-4000 * 24, 4000 * 24) | st.sampled_from([0, 1, -1, 24, -24, 48, -48])
    return st.lists(st.tuples(hours, st.integers(1, 9), st.booleans()), min_size=1, max_size=8)


@settings(max_examples=60)
@given(walks(), st.data())
@pytest.mark.parametrize("name", KINDS)
def test_any_walk_of_the_clock(
    name: str, walk: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    """However the clock walks, and whoever sends what is sent again, each record is there once."""
    clock = ManualClock(MIDNIGHT + 20_000 * DAY)
    producer, last = producer_born(clock.now), -1
    with TemporaryDirectory() as folder:
        transport = start(KINDS[name], Path(folder), clock)
        for hours, count, dies in walk:
            clock.now += hours * 3600
            last += count
            first = data.draw(st.integers(0, last), label="first")
            first = min(first, last - count + 1)
            transport.send(make_batch(first, last, producer))
            if dies:
                transport.after_fork()
                transport = start(KINDS[name], Path(folder), clock)
        transport.close()

        check(Path(folder), producer, last)
