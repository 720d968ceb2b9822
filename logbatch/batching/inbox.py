"""What callers leave for the thread that delivers, and how they wake it.

Callers set a flag and then wake the thread.  The thread clears a flag *before* it looks at the
journal, so that an event which came before the flag was cleared is seen by that look, and one that
comes later sets the flag again.  No lock is needed, and none is taken: a caller may be a signal
handler.
"""

from __future__ import annotations

import contextlib
from _queue import Empty, SimpleQueue
from collections import deque

from logbatch.batching.session import Session
from logbatch.native import Flag


class Request:
    """Somebody waits until a session is settled up to a sequence, or has ended."""

    def __init__(self, session: Session, target: int) -> None:
        self._session = session
        self._target = target
        self._done = Flag()

    def look(self) -> bool:
        """Return whether it is; whoever waits for this then goes on."""
        met = self._session.ended or self._session.journal.settled >= self._target
        if met:
            self._done.set()
        return met

    def wait(self, seconds: float) -> None:
        """Wait until somebody has looked and it was."""
        self._done.wait(seconds)


class Inbox:
    """One for each batcher.

    Attributes:
        urgent: An event of `flush_level` came.
        full: An event found no room.
        hurry: Somebody new waits: the backoff is not sat out.
        closing: `close` was called.
        requests: Who waits for a flush.
        retiring: Sessions that take no more events and are to be finished, the oldest first.
    """

    def __init__(self) -> None:
        # Set by callers, cleared by the thread that delivers.
        self.urgent = False
        self.full = False
        self.hurry = False
        # Set by callers, never cleared: from then on a thread that has nothing to do ends.
        self.closing = False
        # Appended to by callers.  The thread that delivers takes away what is done, and a caller
        # that has waited long enough its own requests.
        self.requests: deque[Request] = deque()
        self.retiring: deque[Session] = deque()
        self._wakes: SimpleQueue[None] = SimpleQueue()

    @property
    def asked(self) -> bool:
        """Whether somebody waits for a flush."""
        return bool(self.requests)

    # ------------------------------------------------------------------ for callers

    def wake(self) -> None:
        """Have the thread look at what there is."""
        self._wakes.put(None)

    def ask(self, requests: list[Request]) -> None:
        """Ask for a flush, at once; `withdraw` must follow."""
        self.requests.extend(requests)
        self.hurry = True
        self.wake()

    def withdraw(self, requests: list[Request]) -> None:
        """Wait no longer for what was asked."""
        for request in requests:
            with contextlib.suppress(ValueError):  # it was done
                self.requests.remove(request)

    # ------------------------------------------------------------------ for the thread

    def answer(self) -> None:
        """Let those go on whose requests are met."""
        self.withdraw([request for request in list(self.requests) if request.look()])

    def wait(self, seconds: float) -> None:
        """Wait until somebody wakes the thread; however often that was, it returns once."""
        with contextlib.suppress(Empty):
            self._wakes.get(timeout=seconds)
            while True:
                self._wakes.get_nowait()
