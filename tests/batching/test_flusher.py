"""The flusher's steps, driven by hand."""

import contextlib
import os
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from make import logged_line as line

from logbatch.batching.inbox import Request
from logbatch.batching.session import FAR, Session
from logbatch.errors import DeniedError, TemporaryError
from logbatch.events.event import LineEncoder
from logbatch.identity import new_producer
from logbatch.journal import Journal, JournalFull
from logbatch.testing import CapturingTransport


def make_bench(directory: Path | None = None, **options: Any) -> Bench[CapturingTransport]:
    """Make one whose transport remembers."""
    return Bench(CapturingTransport(), directory, **options)


def test_a_session_that_is_closed_during_a_step_is_ended_by_the_next(tmp_path: Path) -> None:
    """A close that comes in the middle of a step does not take the journal away from under it."""
    bench = make_bench(tmp_path)
    closed: Any = bench.session
    closed.journal.append(line("a"))

    def close_now() -> Any:
        if not bench.inbox.retiring and not closed.ended:
            bench.inbox.retiring.append(closed)
        return closed

    bench.current = close_now  # type: ignore[method-assign]  # as Bench says
    bench.flusher.step()
    assert not closed.ended
    bench.session = Session(Journal(tmp_path, new_producer()))
    bench.current = lambda: bench.session  # type: ignore[method-assign]
    bench.flusher.step()
    assert closed.ended
    assert ["a"] == bench.transport.messages
    bench.session.end()


def test_adaptive_flushes_soon_while_events_flow_and_rarely_while_they_trickle() -> None:
    """With `adaptive` the wait is 2 s at the beginning and 0.5 s once many events came."""
    bench = make_bench(flush_interval="adaptive")
    bench.session.journal.append(line("a"))
    assert 2.0 == pytest.approx(bench.flusher.step())
    for _ in range(10):
        bench.clock.advance(2.0)
        for n in range(500):
            bench.session.journal.append(line(str(n)))
        bench.flusher.step()
    bench.session.journal.append(line("b"))
    bench.clock.advance(0.01)
    assert bench.flusher.step() < 0.6
    bench.session.end()


def test_the_next_segment_is_made_when_one_is_half_full(tmp_path: Path) -> None:
    """Who fills a segment by half wakes the flusher, which makes the next one ready, once."""
    bench = make_bench(tmp_path, flush_interval=3600.0)
    journal, writer = bench.session.journal, bench.session.writer
    journal.append(line("a"))
    bench.flusher.step()
    assert [] == list(tmp_path.glob("*.spare"))
    half = bench.session.wake_offset
    (segment,) = tmp_path.glob("*.journal")
    assert segment.stat().st_size == 2 * half
    while writer.position() < half:
        journal.append(line("x" * 10_000))
    bench.flusher.step()
    assert 1 == len(list(tmp_path.glob("*.spare")))
    assert bench.session.wake_offset > 2 * half
    bench.session.end()


@pytest.mark.parametrize("interval", [0.1, 60.0], ids=["outage", "long interval"])
def test_what_waits_for_longer_than_a_second_is_brought_to_the_disk(
    tmp_path: Path, interval: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: what a power failure during an outage could cost was not the last second."""
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda number: synced.add(os.fstat(number).st_ino))
    transport = CapturingTransport(repeat(TemporaryError("away")))
    bench = Bench(transport, tmp_path, flush_interval=interval)

    def is_synced_within_a_second() -> bool:
        synced.clear()
        deadline = bench.clock() + 1.0
        while bench.clock() <= deadline:
            bench.clock.advance(max(min(bench.flusher.step(), 1.0), 0.001))
        (segment,) = tmp_path.glob("*.journal")
        return segment.stat().st_ino in synced

    bench.session.journal.append(line("a"))
    assert is_synced_within_a_second()
    assert not is_synced_within_a_second()
    bench.session.journal.append(line("b"))
    assert is_synced_within_a_second()
    bench.session.end()


def test_what_is_sent_within_a_second_is_not_brought_to_the_disk_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the destination takes events, they cost no fsync of the journal."""
    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda number: synced.add(os.fstat(number).st_ino))
    bench = make_bench(tmp_path, flush_interval=1.0)
    for number in range(10):
        bench.session.journal.append(line(str(number)))
        bench.clock.advance(bench.flusher.step())
    (segment,) = tmp_path.glob("*.journal")

    assert len(bench.transport.messages) >= 5
    assert segment.stat().st_ino not in synced
    bench.session.end()


def test_urgent_events_are_sent_at_most_every_fifty_milliseconds() -> None:
    """A storm of errors makes one flush in 50 ms, and none of them waits longer."""
    bench = make_bench(flush_interval=3600)
    bench.session.journal.append(line("first"))
    bench.inbox.urgent = True
    bench.flusher.step()
    assert ["first"] == bench.transport.messages
    bench.session.journal.append(line("second"))
    bench.inbox.urgent = True
    assert 0.05 == pytest.approx(bench.flusher.step())
    assert ["first"] == bench.transport.messages
    bench.clock.advance(0.06)
    bench.flusher.step()
    assert ["first", "second"] == bench.transport.messages
    assert {"level": 2} == dict(bench.counters.flushes)
    bench.session.end()


@pytest.mark.parametrize(
    ("error", "kind", "least", "most"),
    [
        (TemporaryError("down"), "send", 0.02, 30.0),
        (TemporaryError("busy", retry_after=100.0), "send", 100.0, 100.0),
        (TemporaryError("busy", retry_after=9e9), "send", 3600.0, 3600.0),
        (DeniedError("who are you?"), "denied", 5.0, 60.0),
        (DeniedError("who are you?", retry_after=90.0), "denied", 90.0, 90.0),
    ],
)
def test_what_failed_is_tried_again_later(
    error: TemporaryError, kind: str, least: float, most: float
) -> None:
    """Sooner where a server is away than where it does not let us in; then everything arrives."""
    bench = make_bench()
    bench.transport.answer(*[error] * 20)
    bench.session.journal.append(line("a"))
    bench.inbox.ask([Request(bench.session, FAR)])
    waits = []
    for _ in range(20):
        waits.append(bench.flusher.step())
        bench.clock.advance(waits[-1])
    bench.flusher.step()

    assert all(least <= wait <= most for wait in waits)
    assert {kind: 20} == bench.trouble.counts
    assert 20 == len(bench.transport.attempts) - 1
    assert ["a"] == bench.transport.messages
    assert max(waits) > most / 10
    bench.session.end()


def test_failures_with_successes_between_them_are_not_in_a_row() -> None:
    """A server that fails now and then is not taken for one that is away, however much waits."""
    bench = make_bench(max_batch_size=1)
    down = TemporaryError("down")
    bench.transport.answer(*[None, None, down] * 20)
    for n in range(40):
        bench.session.journal.append(line(str(n)))
    bench.inbox.ask([Request(bench.session, FAR)])
    waits = []
    for _ in range(19):
        waits.append(bench.flusher.step())
        bench.clock.advance(waits[-1])
    bench.flusher.step()

    assert max(waits) <= 0.25
    assert 40 == len(bench.transport.messages)
    bench.session.end()


def test_steps_follow_the_clock_they_are_given() -> None:
    """A step sends nothing before the interval and everything after."""
    bench = make_bench(flush_interval=10.0)
    bench.put("a")
    assert 10.0 == bench.step()
    bench.clock.advance(9.0)
    assert 1.0 == bench.step()
    assert [] == bench.transport.messages
    bench.clock.advance(1.0)
    bench.step()
    assert ["a"] == bench.transport.messages
    bench.session.end()


def test_an_idle_flusher_wakes_rarely(tmp_path: Path) -> None:
    """With nothing to do the next look is at least a third of a second away."""
    bench = make_bench(tmp_path)
    bench.step()  # it looks for what others left
    assert bench.step() >= 1 / 3
    assert float("inf") == make_bench().step()


def test_a_loss_while_one_is_reported_is_reported_too() -> None:
    """Regression: an event dropped while the log was told of those before it was told nowhere."""

    class Interrupted(LineEncoder):
        def text(self, *args: Any, **given: Any) -> bytes:
            if bench.session.losses == {} and not dropped:
                dropped.append(bench.session.drop_newest("journal full"))
            return super().text(*args, **given)

    dropped: list[int] = []
    bench = Bench(CapturingTransport(), encoder=Interrupted(), flush_interval=0.1)
    bench.session.drop_newest("journal full")
    bench.session.drop_newest("journal full")
    bench.run(1.0)

    assert [1] == dropped
    assert [2, 1] == [event["attributes"]["dropped"] for event in bench.transport.events]
    bench.session.end()


def test_a_loss_that_finds_no_room_is_reported_later() -> None:
    """With all that was dropped for the same reason since."""
    bench = make_bench(flush_interval=0.1, max_journal_bytes=1 << 16)
    for size in (2000, 1):
        with contextlib.suppress(JournalFull):
            while True:
                bench.put("x" * size)
    assert 1 == bench.session.drop_newest("journal full")
    bench.step()  # nothing is due, so there is no room yet
    assert 2 == bench.session.drop_newest("journal full")
    bench.run(1.0)

    told = [event for event in bench.transport.events if event["logger"] == "logbatch"]
    assert [2] == [event["attributes"]["dropped"] for event in told]
    bench.session.end()


class Beginning(CapturingTransport):
    """Notes which producers begin, and how many batches came before."""

    def __init__(self) -> None:
        super().__init__([TemporaryError("down")])
        self.began: list[tuple[str, int]] = []

    def begin(self, producer: str) -> None:
        """Note it."""
        self.began.append((producer, len(self.attempts)))


def test_the_transport_is_told_once_of_a_producer_that_begins(tmp_path: Path) -> None:
    """Before the first batch, and never again: later its records may be there already."""
    transport = Beginning()
    bench = Bench(transport, tmp_path)
    for text in ("a", "b", "c"):
        bench.put(text)
        bench.clock.advance(60.0)
        bench.step()
    assert ["a", "b", "c"] == transport.messages
    assert [(bench.session.journal.producer, 0)] == transport.began
    bench.session.end()
