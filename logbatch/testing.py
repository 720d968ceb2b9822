"""Test doubles: a transport that records what it is sent, and a clock that is set by hand."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from logbatch.native import RLock
from logbatch.transports.base import BaseTransport, Batch, Receipt


class CapturingTransport(BaseTransport):
    """Keeps every batch that it is sent, and fails as scripted.

    Its journal is in memory, unless a `destination` is given.

    Args:
        answers: What the next calls of `send` do, one after the other: None acknowledges, a
            `Receipt` is returned, an exception is raised.  When they are used up, every call
            acknowledges; they may be endless (`itertools.repeat(TemporaryError("down"))`).
        destination: A name for the destination; with one, the journal is in files.

    Attributes:
        batches: The batches that were acknowledged.
        attempts: All batches that were sent.
        singles: Those of them that were sent singly, for lack of a batch endpoint.
        closed: How often `close` was called.
    """

    def __init__(
        self,
        answers: Iterable[Receipt | BaseException | None] = (),
        *,
        destination: str | None = None,
    ) -> None:
        self.destination = destination
        self.batches: list[Batch] = []
        self.attempts: list[Batch] = []
        self.singles: list[Batch] = []
        self.closed = 0
        self._answers: Iterator[Receipt | BaseException | None] = iter(answers)
        self._lock = RLock()

    def answer(self, *answers: Receipt | BaseException | None) -> None:
        """Script the next calls of `send`, after those that are scripted already."""
        self.answer_with(answers)

    def answer_with(self, answers: Iterable[Receipt | BaseException | None]) -> None:
        """Script the next calls by an iterable, which may be endless."""
        with self._lock:
            self._answers = chain(self._answers, answers)

    def send(self, batch: Batch) -> Receipt | None:
        """Keep the batch and return the next answer, or raise it."""
        with self._lock:
            self.attempts.append(batch)
            answer = next(self._answers, None)
            if not isinstance(answer, BaseException):
                self.batches.append(batch)
        if isinstance(answer, BaseException):
            raise answer.with_traceback(None)  # one that is raised often would grow
        return answer

    def send_single(self, batch: Batch) -> Receipt | None:
        """Receive a single event as `send` does, and note it among the single ones."""
        self.singles.append(batch)
        return self.send(batch)

    def close(self) -> None:
        """Count the call."""
        self.closed += 1

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of all acknowledged batches, in the order they came."""
        return [event for batch in list(self.batches) for event in batch.events()]

    @property
    def messages(self) -> list[str]:
        """Their messages."""
        return [event["message"] for event in self.events]

    def wait_for(self, events: int, timeout: float = 10.0) -> bool:
        """Wait until so many events were acknowledged.

        Args:
            events: How many in all.
            timeout: Seconds to wait at most.

        Returns:
            Whether they were, in time.
        """
        deadline = time.monotonic() + timeout
        while sum(map(len, self.batches.copy())) < events:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.001)  # which lets greenlets run, where there are any
        return True


class ManualClock:
    """A clock that stands still until it is advanced.

    Args:
        now: What it shows at first, in seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Go forward."""
        self.now += seconds
