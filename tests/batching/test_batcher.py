"""The batcher: triggers in real life, flush and close, the account, full journals."""

import logging
import os
import threading
from itertools import cycle, repeat, takewhile
from pathlib import Path
from typing import Any, Literal

import pytest
from bench import assert_law, put
from recovering import recover

from logbatch.batching.batcher import Batcher
from logbatch.errors import BatchUnsupportedError, RejectedError, TemporaryError
from logbatch.options import BatchOptions
from logbatch.testing import CapturingTransport
from logbatch.transports import build
from logbatch.transports.base import Batch, Receipt


def options(**given: Any) -> BatchOptions:
    """Build options with an interval so long that only what a test does makes a batch due."""
    return BatchOptions(**{"flush_interval": 3600.0, **given})


def outage(transport: CapturingTransport) -> threading.Event:
    """Have the transport fail until the event that is returned is set."""
    over = threading.Event()
    down = repeat(TemporaryError("down"))
    transport.answer_with(takewhile(lambda _: not over.is_set(), down))
    return over


def test_nothing_is_started_or_written_by_building(tmp_path: Path) -> None:
    """Building a batcher starts no thread and touches no file."""
    before = threading.active_count()
    batcher = Batcher(CapturingTransport(destination="x"), options())
    assert threading.active_count() == before
    assert batcher.directory is not None and not batcher.directory.exists()
    assert batcher.close()
    assert not batcher.directory.exists()


def test_age_makes_a_batch_due(transport: CapturingTransport) -> None:
    """Events are sent when the oldest has waited `flush_interval`, with no further event."""
    batcher = Batcher(transport, BatchOptions(flush_interval=0.05))
    put(batcher, "a", "b")
    assert transport.wait_for(2)
    assert ["a", "b"] == transport.messages
    assert "age" in batcher.stats().flushes
    batcher.close()


def test_count_makes_a_batch_due(transport: CapturingTransport) -> None:
    """The event that completes `max_batch_size` makes the batch go."""
    batcher = Batcher(transport, options(max_batch_size=10))
    put(batcher, *(str(n) for n in range(10)))
    assert transport.wait_for(10)
    assert {"size": 1} == batcher.stats().flushes
    batcher.close()


def test_bytes_make_a_batch_due(transport: CapturingTransport) -> None:
    """The event that brings the bytes to `max_batch_bytes` makes the batch go."""
    batcher = Batcher(transport, options(max_batch_bytes=10_000))
    put(batcher, "small", "x" * 12_000)
    assert transport.wait_for(2)
    assert {"bytes": 1} == batcher.stats().flushes
    batcher.close()


def test_an_error_takes_all_before_it_along_at_once(transport: CapturingTransport) -> None:
    """An event of `flush_level` is sent at once, with all before it, in order."""
    batcher = Batcher(transport, options())
    put(batcher, "a", "b")
    put(batcher, "boom", level=logging.ERROR)
    assert transport.wait_for(3)
    assert ["a", "b", "boom"] == transport.messages
    assert {"level": 1} == batcher.stats().flushes
    batcher.close()


def test_batches_hold_at_most_the_given_number(transport: CapturingTransport) -> None:
    """A backlog is cut into batches of `max_batch_size`, contiguous and in order."""
    batcher = Batcher(transport, options(max_batch_size=3))
    put(batcher, *(str(n) for n in range(10)))
    assert batcher.flush()
    assert [str(n) for n in range(10)] == transport.messages
    assert max(map(len, transport.batches)) <= 3
    assert list(range(10)) == [event["sequence"] for event in transport.events]
    batcher.close()


def test_flush_waits_for_all_that_was_accepted(transport: CapturingTransport) -> None:
    """After `flush` has returned True everything accepted before is at the destination."""
    batcher = Batcher(transport, options())
    for n in range(50):
        put(batcher, str(n))
        assert batcher.flush()
        assert n + 1 == len(transport.events)
    assert_law(batcher)
    batcher.close()


def test_flush_of_nothing_is_true_at_once(transport: CapturingTransport) -> None:
    """With nothing accepted there is nothing to wait for."""
    batcher = Batcher(transport, options())
    assert batcher.flush(0)
    assert batcher.close(0)


def test_flush_gives_up_at_its_deadline(transport: CapturingTransport) -> None:
    """`flush` returns False where the destination fails for longer than the timeout."""
    over = outage(transport)
    batcher = Batcher(transport, options())
    put(batcher, "a")
    assert not batcher.flush(0.2)
    assert 1 == batcher.stats().pending
    assert_law(batcher)
    over.set()
    assert batcher.close()
    assert ["a"] == transport.messages


def test_a_retried_batch_is_the_same_batch(transport: CapturingTransport) -> None:
    """After a failure the same range with the same lines is sent again, whatever came since."""
    transport.answer(TemporaryError("down", retry_after=0.01))
    batcher = Batcher(transport, options())
    put(batcher, "a", "b")
    put(batcher, "boom", level=logging.ERROR)
    assert transport.wait_for(3)
    put(batcher, "c")
    assert batcher.close()
    assert transport.attempts[0] == transport.attempts[1]
    assert ["a", "b", "boom", "c"] == transport.messages


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(28, "full"), SystemExit(), KeyboardInterrupt()]
)
def test_any_exception_of_a_transport_counts_as_temporary(
    transport: CapturingTransport, error: BaseException
) -> None:
    """The flusher survives any exception and sends the batch again."""
    transport.answer(error)
    batcher = Batcher(transport, options())
    put(batcher, "a")
    assert batcher.flush(10)
    assert ["a"] == transport.messages
    assert 1 == batcher.stats().retries
    batcher.close()


def test_rejected_events_are_counted_and_the_law_holds(transport: CapturingTransport) -> None:
    """Events that are refused are rejected, all others published."""
    transport.answer(RejectedError({1: "no"}))
    batcher = Batcher(transport, options())
    put(batcher, "a", "b", "c")
    assert batcher.flush()
    stats = batcher.stats()
    assert (3, 2, 1) == (stats.accepted, stats.published, stats.rejected)
    batcher.close()


def test_close_may_be_repeated_and_late_events_are_published(transport: CapturingTransport) -> None:
    """An event after `close` begins a new session and is published by the next close."""
    batcher = Batcher(transport, options())
    put(batcher, "a")
    assert batcher.close()
    assert batcher.close()
    put(batcher, "late")
    assert batcher.close()
    assert ["a", "late"] == transport.messages
    assert 2 == batcher.stats().published
    assert_law(batcher)


def test_a_late_event_is_published_without_another_close(transport: CapturingTransport) -> None:
    """An event after `close` is published when its age makes it due."""
    batcher = Batcher(transport, BatchOptions(flush_interval=0.05))
    put(batcher, "a")
    assert batcher.close()
    put(batcher, "late")
    assert transport.wait_for(2)


def test_closing_while_the_flusher_finishes_does_not_raise(transport: CapturingTransport) -> None:
    """A close that meets the end of the session it closes is quiet (it raised RuntimeError)."""
    batcher = Batcher(transport, BatchOptions(flush_interval=0.01))
    for n in range(300):
        put(batcher, str(n))
        assert batcher.close()
    assert 300 == len(transport.messages)


def test_the_flush_at_the_end_is_counted(transport: CapturingTransport) -> None:
    """What `close` sends is counted among the flushes by trigger."""
    batcher = Batcher(transport, options())
    put(batcher, "a")
    assert batcher.close()
    assert {"close": 1} == batcher.stats().flushes


def test_close_is_bounded_where_the_destination_hangs() -> None:
    """`close` returns within its timeout though `send` does not."""
    release = threading.Event()

    class Hanging(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            release.wait(30)
            return super().send(batch)

    transport = Hanging()
    batcher = Batcher(transport, options())
    put(batcher, "a")
    assert not batcher.close(0.2)
    release.set()
    assert transport.wait_for(1)
    assert batcher.close()


def test_many_threads_lose_nothing_and_keep_their_order(transport: CapturingTransport) -> None:
    """Events of eight threads all arrive, each thread's in its order."""
    batcher = Batcher(transport, BatchOptions(flush_interval=0.01, max_batch_size=100))

    def work(name: int) -> None:
        for n in range(500):
            put(batcher, f"{name}:{n}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert batcher.close()
    by_thread: dict[str, list[int]] = {}
    for message in transport.messages:
        name, n = message.split(":")
        by_thread.setdefault(name, []).append(int(n))
    assert {str(name): list(range(500)) for name in range(8)} == by_thread
    assert_law(batcher)


@pytest.mark.parametrize("when_full", ["drop_newest", "drop_oldest"])
def test_the_law_holds_at_every_instant(when_full: Literal["drop_newest", "drop_oldest"]) -> None:
    """While events come, are sent, rejected and dropped, and sessions end, no number goes back."""
    answers = cycle([None, RejectedError({0: "no"}), TemporaryError("down", retry_after=0.001)])
    batcher = Batcher(
        CapturingTransport(answers),
        BatchOptions(
            flush_interval=0.01, max_batch_size=7, max_journal_bytes=1 << 16, when_full=when_full
        ),
    )

    def work() -> None:
        for n in range(400):
            put(batcher, "x" * 1000)
            if n % 100 == 99:
                batcher.close(0)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    before = batcher.stats()
    while any(thread.is_alive() for thread in threads) or not batcher.close(0):
        stats = batcher.stats()
        accounted = stats.published + stats.pending + stats.rejected + sum(stats.dropped.values())
        assert stats.accepted == accounted
        assert stats.pending >= 0
        for name in ("accepted", "published", "rejected"):
            assert getattr(before, name) <= getattr(stats, name)
        assert sum(before.dropped.values()) <= sum(stats.dropped.values())
        before = stats
    assert 0 == batcher.stats().pending
    assert 1200 <= batcher.stats().accepted  # and the events that report losses


def test_when_full_drops_the_newest_counts_them_and_says_so_in_the_log(
    transport: CapturingTransport,
) -> None:
    """What finds no room is dropped, counted, and told by a WARNING event once there is room."""
    over = outage(transport)
    batcher = Batcher(transport, options(max_journal_bytes=1 << 16))
    for n in range(100):
        put(batcher, f"{n}" + "x" * 2000)
        assert_law(batcher)
    lost = batcher.stats().dropped["journal full"]
    assert lost > 0
    over.set()
    assert batcher.close()
    told = [event for event in transport.events if event["logger"] == "logbatch"]
    assert lost == sum(event["attributes"]["dropped"] for event in told)
    assert all("WARNING" == event["level"] for event in told)
    assert f"logbatch dropped {lost} events (journal full)" == told[0]["message"]
    assert 100 - lost + len(told) == len(transport.events)
    assert_law(batcher)


def test_when_full_drops_the_oldest_if_told_to(transport: CapturingTransport) -> None:
    """With `drop_oldest` the newest event is there, the oldest are counted with their range."""
    over = outage(transport)
    batcher = Batcher(transport, options(max_journal_bytes=1 << 16, when_full="drop_oldest"))
    for n in range(100):
        put(batcher, f"{n:03}" + "x" * 2000)
        assert_law(batcher)
    lost = batcher.stats().dropped["journal full"]
    over.set()
    assert batcher.close()
    assert "099" in {message[:3] for message in transport.messages}
    told = [event for event in transport.events if event["logger"] == "logbatch"]
    assert lost == sum(event["attributes"]["dropped"] for event in told)
    first, last = told[0]["attributes"]["first"], told[0]["attributes"]["last"]
    sequences = {event["sequence"] for event in transport.events}
    assert not sequences & set(range(first, last + 1))
    assert_law(batcher)


def test_when_full_blocks_for_a_while_if_told_to(transport: CapturingTransport) -> None:
    """With `block` a call waits for room; all events arrive where the destination keeps up."""
    batcher = Batcher(
        transport, options(max_journal_bytes=1 << 16, when_full="block", block_timeout=10)
    )
    for n in range(200):
        put(batcher, f"{n}" + "x" * 2000)
    assert batcher.close()
    assert 200 == len(transport.events)
    assert {} == batcher.stats().dropped


def test_the_files_of_a_settled_journal_are_removed(home: Path) -> None:
    """The journal's files are removed when everything is settled."""
    transport = CapturingTransport(destination="somewhere")
    batcher = Batcher(transport, options())
    put(batcher, *(str(n) for n in range(1000)))
    assert any(name.endswith(".journal") for name in os.listdir(batcher.directory))
    assert batcher.close()
    assert ["reports"] == os.listdir(batcher.directory)


def test_what_a_closed_batcher_could_not_finish_is_left_to_others(home: Path) -> None:
    """Regression: its process kept the journals of dead ones locked until it ended itself."""
    child = os.fork()
    if child == 0:
        try:
            put(Batcher(CapturingTransport(destination="x"), options()), "left behind")
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    class Choosy(CapturingTransport):
        def send(self, batch: Batch) -> Receipt | None:
            if b"left behind" in batch.lines:
                raise TemporaryError("not that")
            return super().send(batch)

    transport = Choosy(destination="x")
    batcher = Batcher(transport, options())
    put(batcher, "mine")
    assert batcher.close()
    assert ["mine"] == transport.messages

    other = CapturingTransport(destination="x")
    done = recover(other)
    assert (1, 1, 0) == (done.producers, done.events, done.left)
    assert ["left behind"] == other.messages


def test_requests_are_counted(transport: CapturingTransport) -> None:
    """What was sent, saved, and how much of it at the first try, is told by `stats`."""
    batcher = Batcher(transport, options())
    put(batcher, *"abcde")
    transport.answer(TemporaryError("down"), BatchUnsupportedError("404"))
    assert batcher.flush()
    stats = batcher.stats()
    assert (7, 0, 1, 1.0, 0.0) == (
        stats.requests,
        stats.requests_saved,
        stats.retries,
        stats.fallback_share,
        stats.batch_success_rate,
    )
    batcher.close()


def test_files_save_no_requests(tmp_path: Path) -> None:
    """Where a batch is a file there is no request that it saves."""
    batcher = Batcher(build(f"parquet:{tmp_path / 'logs'}"), options())
    put(batcher, *"abcde")
    assert batcher.close()

    assert (1, None) == (batcher.stats().requests, batcher.stats().requests_saved)


def test_requests_saved(transport: CapturingTransport) -> None:
    """One request for many events saves all but one; a batch that failed is one more."""
    batcher = Batcher(transport, options())
    assert batcher.stats().batch_success_rate is None
    put(batcher, *"abcde")
    transport.answer(TemporaryError("down"))
    assert batcher.flush()
    stats = batcher.stats()
    assert (2, 3, 0.5, 0.0) == (
        stats.requests,
        stats.requests_saved,
        stats.batch_success_rate,
        stats.fallback_share,
    )
    batcher.close()
