"""A batcher, and what delivers for it with a clock that is set by hand and no thread."""

from __future__ import annotations

import logging
import threading
from _thread import start_new_thread
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest
from make import encoder, logged_line

from logbatch.batching.batcher import Batcher
from logbatch.batching.counters import Counters
from logbatch.batching.delivery import Delivery
from logbatch.batching.flusher import Flusher
from logbatch.batching.inbox import Inbox
from logbatch.batching.session import Session
from logbatch.batching.takeover import Takeover
from logbatch.events.event import LineEncoder
from logbatch.identity import new_producer
from logbatch.journal import Journal
from logbatch.options import BatchOptions
from logbatch.testing import ManualClock
from logbatch.transports.base import BaseTransport
from logbatch.trouble import Trouble

T = TypeVar("T", bound=BaseTransport)


def put(batcher: Batcher, *texts: str, level: int = logging.INFO) -> None:
    """Append events."""
    for text in texts:
        batcher.append(logged_line(text, level), level)


def assert_law(batcher: Batcher) -> None:
    """Check that every accepted event is accounted for."""
    stats = batcher.stats()
    accounted = stats.published + stats.pending + stats.rejected + sum(stats.dropped.values())
    assert accounted == stats.accepted


@contextmanager
def no_threads() -> Iterator[None]:
    """Have the system refuse every new thread: none has room for a stack of this size."""
    before = threading.stack_size(1 << 47)
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            start_new_thread(int, ())
        yield
    finally:
        threading.stack_size(before)


class Bench(Generic[T]):
    """A flusher with what it works on; a test is its thread, and its callers.

    Args:
        transport: The destination.
        directory: Where journals are; None keeps them in memory.
        encoder: Makes the lines by which losses are reported.
        **options: Of the batcher.
    """

    def __init__(
        self,
        transport: T,
        directory: Path | None = None,
        encoder: LineEncoder = encoder,
        **options: Any,
    ) -> None:
        self.transport = transport
        self.clock = ManualClock(1000.0)
        self.trouble = Trouble(clock=self.clock)
        self.counters = Counters()
        self.inbox = Inbox()
        self.options = BatchOptions(**options)
        self.session = Session(
            Journal(directory, new_producer(), max_bytes=self.options.max_journal_bytes)
        )
        delivery = Delivery(transport, None, self.trouble, self.counters, self.clock)
        self.takeover = Takeover(directory, delivery, self.options, self.counters, self.trouble)
        self.flusher = Flusher(
            self.options,
            lambda: self.current(),  # noqa: PLW0108  # a test may replace it
            self.inbox,
            delivery,
            self.takeover,
            encoder,
            None,
            self.counters,
            self.trouble,
            self.clock,
        )

    def current(self) -> Session:
        """Return the session that events go into."""
        return self.session

    def put(self, *texts: str) -> None:
        """Append events."""
        for text in texts:
            self.session.journal.append(logged_line(text))

    def step(self) -> float:
        """Run one step, and what the worker does behind it."""
        wait = self.flusher.step()
        self.inbox.answer()
        return wait

    def run(self, seconds: float) -> None:
        """Run for some time, by the clock, what the thread would run."""
        until = self.clock.now + seconds
        while (wait := self.step()) <= until - self.clock.now:
            self.clock.advance(wait)
        self.clock.now = until
