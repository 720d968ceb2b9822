"""The destination is kept in order while nothing else is to be done, and at no other time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, put
from children import Child
from make import logged_line
from waiting import wait_until

from logbatch.batching.batcher import Batcher
from logbatch.batching.delivery import KEEP_LATER, delivering
from logbatch.batching.session import Session
from logbatch.errors import TemporaryError
from logbatch.identity import new_producer
from logbatch.journal import Journal
from logbatch.native import get_ident
from logbatch.options import BatchOptions
from logbatch.testing import CapturingTransport
from logbatch.transports.base import Tidied


class Tidying(CapturingTransport):
    """Counts how often it is asked, and does as it is told."""

    def __init__(self, *answers: Any, then: Tidied | Exception | None = None) -> None:
        super().__init__(answers)
        self.then = then or Tidied()
        self.calls = 0
        self.inside: Callable[[], object] = int

    def tidy(self) -> Tidied:
        """Count, and answer."""
        self.calls += 1
        self.inside()
        if isinstance(self.then, Exception):
            raise self.then
        return self.then


def make_bench(transport: Tidying, directory: Path | None = None) -> Bench[Tidying]:
    """Make one that sends after a second."""
    return Bench(transport, directory, flush_interval=1.0)


def test_it_is_asked_when_nothing_is_due() -> None:
    """At the end of each step, and again when it wants to be."""
    bench = make_bench(Tidying(then=Tidied(0.25)))
    bench.put("a")
    assert 0.25 == bench.step()
    assert 1 == bench.transport.calls
    bench.clock.advance(1.0)
    assert 0.25 == bench.step()
    assert ["a"] == bench.transport.messages
    assert 2 == bench.transport.calls
    bench.session.end()


def test_what_is_due_comes_first(tmp_path: Path) -> None:
    """While there is always more to send, as of a journal that is taken over, once a second."""
    bench = Bench(Tidying(then=Tidied(0.25)), tmp_path, max_batch_size=1)

    def die() -> None:
        bench.session.journal.abandon()
        journal = Journal(tmp_path, new_producer())
        for text in "abcde":
            journal.append(logged_line(text))

    Child(die).wait()
    for seconds, calls in ((0.0, 1), (0.5, 1), (0.6, 2), (0.0, 2), (0.9, 2)):
        bench.clock.advance(seconds)
        assert 0 == bench.step()
        assert calls == bench.transport.calls
    assert list("abcde") == bench.transport.messages
    bench.step()
    assert bench.step() > 0
    assert 3 == bench.transport.calls
    bench.session.end()


def test_not_when_the_process_ends(tmp_path: Path) -> None:
    """From `close` on nothing is begun that somebody would have to wait for."""
    bench = make_bench(Tidying(then=Tidied(0.25)), tmp_path)
    bench.put("a")
    retired = bench.session
    bench.session = Session(Journal(tmp_path, new_producer()))
    bench.inbox.retiring.append(retired)
    bench.inbox.closing = True
    bench.run(10.0)
    assert retired.ended
    assert ["a"] == bench.transport.messages
    assert 0 == bench.transport.calls
    bench.session.end()


def test_not_while_the_destination_is_away() -> None:
    """A directory that cannot be written to is left alone until it can."""
    bench = make_bench(Tidying(*repeat(TemporaryError("away"), 2)))
    bench.put("a")
    bench.step()
    before = bench.transport.calls
    bench.clock.advance(1.0)
    assert 0 < bench.step() < 10
    assert before == bench.transport.calls
    bench.run(100.0)
    assert before < bench.transport.calls
    bench.session.end()


@pytest.mark.parametrize("error", [TemporaryError("the disk is full"), ValueError("a bug")])
def test_a_failure_is_told_and_costs_nothing_else(error: Exception) -> None:
    """Batches go on; the next try comes a minute later."""
    bench = make_bench(Tidying(then=error))
    for n in range(20):
        bench.put(str(n))
        bench.clock.advance(1.0)
        bench.step()
    assert 1 == bench.transport.calls
    assert {"merge": 1} == bench.trouble.counts
    assert bench.trouble.last is not None
    assert str(error) in bench.trouble.last
    assert "no record is lost" in bench.trouble.last
    bench.run(KEEP_LATER)
    assert 2 == bench.transport.calls
    assert 20 == len(bench.transport.messages)
    bench.session.end()


def test_what_was_done_is_counted() -> None:
    """In the statistics of the batcher, step by step."""
    bench = make_bench(Tidying(then=Tidied(1.0, merges=1, files=10, bytes=4000, seconds=0.5)))
    bench.step()
    bench.step()
    counters = bench.counters
    assert (2, 20, 8000, 1.0) == (
        counters.merges, counters.merged_files, counters.merged_bytes, counters.merge_seconds
    )  # fmt: skip
    bench.session.end()


def test_an_error_waits_for_one_step_at_most() -> None:
    """An urgent event that comes during a step is sent before the next one."""
    bench = make_bench(Tidying(then=Tidied(0.25)))
    seen: list[list[str]] = []

    def log() -> None:
        seen.append(bench.transport.messages)
        bench.put(f"urgent {len(seen)}")
        bench.inbox.urgent = True

    bench.transport.inside = log
    for _ in range(3):
        bench.step()
        bench.clock.advance(0.1)
    assert [[], ["urgent 1"], ["urgent 1", "urgent 2"]] == seen
    bench.session.end()


def test_what_is_logged_meanwhile_is_not_stored() -> None:
    """As during a send: else each step would log the next one."""
    transport = Tidying(then=Tidied(0.001))
    batcher = Batcher(transport, BatchOptions(flush_interval=3600.0))
    threads: list[bool] = []
    transport.inside = lambda: threads.append(get_ident() in delivering)
    put(batcher, "a", level=logging.ERROR)
    wait_until(lambda: threads, "the moment behind the send")
    assert batcher.close()
    assert all(threads)
    assert get_ident() not in delivering
