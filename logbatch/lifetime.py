"""What happens to all batchers at once: when the process ends, and when it forks."""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from typing import Protocol

from logbatch.options import BatchOptions


class Lasting(Protocol):
    """What is told of the end and of forks."""

    options: BatchOptions

    def retire(self) -> None:
        """Begin to close, without waiting."""

    def close(self) -> bool:
        """Close, within `close_timeout` seconds."""

    def after_fork(self) -> None:
        """Start afresh in a forked child."""


class Lifetime:
    """The batchers of this process, and how long may still be waited for them.

    All waiting at the end together takes no longer than the longest `close_timeout`: `logging`
    flushes and closes each handler once more, one after the other.

    Attributes:
        ending: Whether the interpreter exits, so that no thread can be started any more.
    """

    def __init__(self) -> None:
        self.ending = False
        self._live: weakref.WeakSet[Lasting] = weakref.WeakSet()
        self._patience = 0.0
        self._last_call: logging.Handler | None = None

    def add(self, batcher: Lasting) -> None:
        """Close it at the end, unless it goes away before."""
        self._live.add(batcher)

    def limit(self, seconds: float) -> float:
        """Return how much of a time to wait may be waited."""
        return min(seconds, self._patience) if self.ending else seconds

    def spend(self, seconds: float) -> None:
        """Take note of time that was waited."""
        if self.ending:
            self._patience = max(self._patience - seconds, 0.0)

    def end(self) -> None:
        """Close everything; what other functions of atexit log afterwards is waited for once more.

        `logging.shutdown` runs after every other function of atexit, and closes what is made here.
        """
        self._patience = max((each.options.close_timeout for each in list(self._live)), default=0.0)
        self.ending = True
        self.close_all()
        self._last_call = _LastCall(self)

    def close_all(self) -> None:
        """Close all: those that deliver in the background at the same time."""
        for batcher in list(self._live):
            batcher.retire()
        for batcher in list(self._live):
            batcher.close()

    def after_fork(self) -> None:
        """Tell all of them, in the child."""
        for batcher in list(self._live):
            batcher.after_fork()


class _LastCall(logging.Handler):
    def __init__(self, lifetime: Lifetime) -> None:
        super().__init__()
        self._lifetime = lifetime

    def close(self) -> None:
        self._lifetime.close_all()
        super().close()


process = Lifetime()
atexit.register(process.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=process.after_fork)
