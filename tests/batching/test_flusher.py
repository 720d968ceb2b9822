"""The flusher's steps, driven by hand."""

from pathlib import Path

import pytest
from make import encoder
from make import logged_line as line

from logbatch.batching.delivery import Delivery
from logbatch.batching.flusher import Flusher
from logbatch.batching.session import Session
from logbatch.errors import DeniedError, TemporaryError
from logbatch.identity import new_producer
from logbatch.journal import Journal
from logbatch.options import BatchOptions
from logbatch.testing import CapturingTransport, ManualClock
from logbatch.trouble import Trouble


class Bench:
    """A flusher with what it works on, and no thread."""

    def __init__(self, directory: Path | None = None, **options: object) -> None:
        self.transport = CapturingTransport()
        self.clock = ManualClock(1000.0)
        self.trouble = Trouble(clock=self.clock)
        self.session = Session(Journal(directory, new_producer()))
        self.flusher = Flusher(
            Delivery(self.transport, None, self.trouble, self.clock),
            BatchOptions(**options),
            directory,
            lambda: self.current(),  # noqa: PLW0108  # a test may replace it
            encoder,
            self.trouble,
            self.clock,
        )

    def current(self) -> Session:
        """Return the session that events go into."""
        return self.session


def test_a_session_that_is_closed_during_a_step_is_ended_by_the_next(tmp_path: Path):
    """A close that comes in the middle of a step does not take the journal away from under it."""
    bench = Bench(tmp_path)
    closed = bench.session
    closed.journal.append(line("a"))

    def close_now() -> Session:
        if not bench.flusher.retiring and not closed.ended:
            bench.flusher.retiring.append(closed)
        return closed

    bench.current = close_now
    bench.flusher.step()
    assert not closed.ended
    bench.session = Session(Journal(tmp_path, new_producer()))
    bench.current = lambda: bench.session
    bench.flusher.step()
    assert closed.ended
    assert ["a"] == bench.transport.messages
    bench.session.end()


def test_adaptive_flushes_soon_while_events_flow_and_rarely_while_they_trickle():
    """With `adaptive` the wait is 2 s at the beginning and 0.5 s once many events came."""
    bench = Bench(flush_interval="adaptive")
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


def test_urgent_events_are_sent_at_most_every_fifty_milliseconds():
    """A storm of errors makes one flush in 50 ms, and none of them waits longer."""
    bench = Bench(flush_interval=3600)
    bench.session.journal.append(line("first"))
    bench.flusher.urgent = True
    bench.flusher.step()
    assert ["first"] == bench.transport.messages
    bench.session.journal.append(line("second"))
    bench.flusher.urgent = True
    assert 0.05 == pytest.approx(bench.flusher.step())
    assert ["first"] == bench.transport.messages
    bench.clock.advance(0.06)
    bench.flusher.step()
    assert ["first", "second"] == bench.transport.messages
    assert {"level": 2} == dict(bench.flusher.flushes)
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
):
    """Sooner where a server is away than where it does not let us in; then everything arrives."""
    bench = Bench()
    bench.transport.answer(*[error] * 20)
    bench.session.journal.append(line("a"))
    bench.flusher.asked = True
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


def test_failures_with_successes_between_them_are_not_in_a_row():
    """A server that fails now and then is not taken for one that is away, however much waits."""
    bench = Bench(max_batch_size=1)
    down = TemporaryError("down")
    bench.transport.answer(*[None, None, down] * 20)
    for n in range(40):
        bench.session.journal.append(line(str(n)))
    bench.flusher.asked = True
    waits = []
    for _ in range(19):
        waits.append(bench.flusher.step())
        bench.clock.advance(waits[-1])
    bench.flusher.step()

    assert max(waits) <= 0.25
    assert 40 == len(bench.transport.messages)
    bench.session.end()
