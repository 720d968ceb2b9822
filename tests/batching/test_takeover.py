"""What processes that died left is taken over, sent, and let go of."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest
from bench import Bench, no_threads
from make import logged_line as line
from recovering import recover

from logbatch import BatchHandler
from logbatch.batching.batcher import Batcher
from logbatch.errors import RejectedError, TemporaryError
from logbatch.options import BatchOptions
from logbatch.testing import CapturingTransport, ManualClock
from logbatch.transports.base import Batch, Receipt, journal_directory

# Journals of destinations without a directory are in the user's state.
pytestmark = pytest.mark.usefixtures("home")


def die_with(*messages: str) -> None:
    """Have a process log these and die before it delivers anything."""
    child = os.fork()
    if child == 0:
        try:
            logger = logging.Logger("dead")
            logger.addHandler(BatchHandler(new_transport(), flush_interval=3600))
            for message in messages:
                logger.info(message)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def new_transport() -> CapturingTransport:
    """Make the destination of all that is logged here."""
    return CapturingTransport(destination="there")


def new_bench(**options: Any) -> Bench[CapturingTransport]:
    """Make what delivers to it, and so takes over what is left for it."""
    transport = new_transport()
    return Bench(transport, journal_directory(transport), **options)


def test_own_events_do_not_wait_for_those_of_dead_processes() -> None:
    """A step sends what is due and then one batch of another process."""
    die_with("a", "b", "c")
    bench = new_bench(max_batch_size=1)
    bench.put("mine")
    assert 0.0 == bench.step()
    bench.put("mine, too")
    bench.step()

    assert ["mine", "a", "mine, too", "b"] == bench.transport.messages
    bench.run(1.0)
    assert ["mine", "a", "mine, too", "b", "c"] == bench.transport.messages
    assert (3, 1) == (bench.counters.recovered, bench.counters.recovered_journals)
    bench.session.end()


def test_a_batch_of_a_dead_process_is_sent_again_after_a_failure() -> None:
    """As the same batch, when the backoff is over."""
    die_with("a", "b")
    bench = new_bench()
    bench.transport.answer(TemporaryError("down"))
    bench.run(60.0)

    assert bench.transport.attempts[0] == bench.transport.attempts[1]
    assert ["a", "b"] == bench.transport.messages
    bench.session.end()


def test_what_a_dead_process_left_is_looked_for_every_three_seconds() -> None:
    """Also what is left later."""
    bench = new_bench()
    bench.step()
    die_with("a")
    bench.run(2.9)
    assert [] == bench.transport.messages
    bench.run(0.2)
    assert ["a"] == bench.transport.messages
    bench.session.end()


@pytest.mark.parametrize("late", [False, True], ids=["by the close", "by a late event"])
def test_a_closed_batcher_holds_no_journal_of_a_dead_process(late: bool) -> None:
    """Regression: where sending took long, one that was not finished stayed locked."""

    class Slow(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            clock.advance(4.0)
            return super().send(batch)

    die_with("a", "b", "c", "d")
    clock = ManualClock()
    transport = Slow(destination="there")
    batcher = Batcher(transport, BatchOptions(max_batch_size=1), clock=clock)
    with no_threads():  # so that nothing goes on behind these calls
        batcher.append(line("mine"), logging.INFO)
        assert batcher.close(1000.0)
        if late:
            batcher.append(line("late"), logging.ERROR)
            assert batcher.flush(1000.0)

    other = new_transport()
    assert 0 == recover(other).left
    expected = ["a", "b", "c", "d", "mine"] + (["late"] if late else [])
    assert sorted(expected) == sorted(transport.messages + other.messages)


def test_recover_counts_what_could_not_be_published(capsys: pytest.CaptureFixture[str]) -> None:
    """In the journal it has taken over and in those that come behind it; and says why."""
    die_with("a", "b", "c")
    die_with("d", "e")
    transport = new_transport()
    transport.answer(TemporaryError("the disk is full"))
    assert (0, 0, 5) == recover(transport)[:3]
    assert "the disk is full" in capsys.readouterr().err
    assert 1 == transport.closed

    assert (2, 5, 0) == recover(transport)[:3]
    assert {"a", "b", "c", "d", "e"} == set(transport.messages)


def test_recover_does_not_count_what_is_rejected() -> None:
    """It is a dead letter, beside the journals."""
    die_with("a", "b", "c")
    transport = new_transport()
    transport.answer(RejectedError({1: "no"}))
    assert (1, 2, 0) == recover(transport)[:3]

    directory = journal_directory(transport)
    assert directory is not None
    (letters,) = (directory / "rejected").iterdir()
    assert 1 == letters.read_text().count('"reason":"no"')


def test_recover_finds_journals_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Regression: with LOGBATCH_DURABILITY=memory it found nothing to recover."""
    die_with("a")
    monkeypatch.setenv("LOGBATCH_DURABILITY", "memory")
    transport = new_transport()

    assert (1, 1, 0) == recover(transport)[:3]


def test_where_journals_are_in_memory_there_is_nothing_to_recover() -> None:
    """They ended with their process."""
    assert (0, 0, 0) == recover(CapturingTransport())[:3]
