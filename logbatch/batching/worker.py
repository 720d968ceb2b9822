"""The one thread that delivers for a batcher: when it starts, rests, dies and is replaced.

It is started by the first event that needs it, and ends when its batcher is closed and has nothing
to do.  Where no thread can be started (the interpreter exits, there are too many, or uWSGI is about
to fork), a caller of `flush` or `close` delivers on its own.

What holds at all times:

- One thread at a time is inside a step: the one that holds `_working`.
- `running` is set before a thread is started, and cleared by the thread as it ends.  One that ends
  clears it, then has the next event wake the batcher, and then looks once more whether there is
  something to do.  So an event that comes at this moment is either seen by that look or starts
  another thread.
- A thread that dies (`SystemExit` is raised in it from outside) does the same, and starts the next
  one itself if there is something to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from logbatch import forks
from logbatch.batching.flusher import Flusher
from logbatch.batching.inbox import Inbox
from logbatch.batching.lifetime import process
from logbatch.batching.reports import Reporter
from logbatch.native import RLock, get_ident, start_thread
from logbatch.transports.base import BaseTransport
from logbatch.trouble import Trouble, describe

_LONGEST_SLEEP = 3600.0
_RETRY = 1.0  # seconds until the next step after one that failed


class Worker:
    """Runs the steps of a flusher.

    Args:
        flusher: Whose steps are run.
        inbox: Where callers leave what they want.
        transport: The destination.
        reporter: What tells others how it goes; None where nothing does.
        trouble: Where failures are reported.
        clock: Seconds that only go forward.

    Attributes:
        running: Whether there is a thread.
        inside: The thread that is inside a step; None where none is.
    """

    def __init__(
        self,
        flusher: Flusher,
        inbox: Inbox,
        transport: BaseTransport,
        reporter: Reporter | None,
        trouble: Trouble,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._flusher = flusher
        self._inbox = inbox
        self._transport = transport
        self._reporter = reporter
        self._trouble = trouble
        self._clock = clock
        # Written under `_starting`, and by the thread itself as it ends; read by any.
        self.running = False
        self._starting = RLock()
        # Written by the one that holds `_working`; read by any.
        self.inside: int | None = None
        self._working = RLock()
        # Written by that one.
        self._has_imported = False

    def is_inside(self) -> bool:
        """Return whether the calling thread is the one that delivers at this moment."""
        return self.inside == get_ident()

    def start(self) -> bool:
        """Start the thread if it does not run; return whether it runs now."""
        if process.ending or not forks.may_start_threads():
            return self.running
        process.end_with_multiprocessing()
        with self._starting:
            if self.running:
                return True
            self.running = True
            try:
                # Not threading.Thread: its start() waits for the new thread and takes a lock that
                # is not re-entrant, so a signal handler that logs could wait for itself.
                start_thread(self._run, ())
            except RuntimeError:  # no more threads, or the interpreter is shutting down
                self.running = False
            except BaseException:
                self.running = False  # if it did start, two are no harm: one works at a time
                raise
        return self.running

    def _run(self) -> None:
        rests = False
        try:
            while True:
                wait = self._step()
                rests = self._may_rest()
                if rests:
                    return
                self._inbox.wait(min(wait, _LONGEST_SLEEP))
        finally:
            if not rests:  # the thread was killed: another goes on, now or with the next event
                self.running = False
                self._flusher.rearm()
                if self._flusher.is_busy():
                    self.start()

    def _step(self) -> float:
        """Run one step and release those who wait; return the seconds until the next."""
        with self._working:
            wait = self._try_step()
            if self._has_nothing_left():
                self._flusher.rest()
            return wait

    def _try_step(self) -> float:
        self.inside = get_ident()
        try:
            if not self._has_imported:
                with forks.holding_off():
                    self._transport.import_libraries()
                self._has_imported = True
            wait = self._flusher.step()
            return wait if self._reporter is None else min(wait, self._reporter.step())
        except BaseException as error:
            text = f"internal error while delivering: {describe(error)}"
            fate = f"the events are kept; retrying in {_RETRY:.0f} s; report a bug if it goes on"
            self._trouble.say("flusher", f"{text}; {fate}", error)
            return _RETRY
        finally:
            self.inside = None
            self._inbox.answer()

    def _has_nothing_left(self) -> bool:
        """Return whether the batcher is closed and has nothing to do."""
        return self._inbox.closing and not self._flusher.is_busy()

    def _may_rest(self) -> bool:
        """End the thread of a closed batcher; but not if an event came in at this moment."""
        if not self._has_nothing_left():
            return False
        self.running = False
        self._flusher.rearm()
        # Not under the lock: who holds the journal's may log, in a signal handler, and wait for it.
        if not self._flusher.is_busy():
            return True
        with self._starting:
            if self.running:  # another was started meanwhile
                return True
            self.running = True
            return False

    # ------------------------------------------------------------------ without the thread

    def drain(self, seconds: float) -> None:
        """Deliver on the calling thread, for so long at the most, until nobody waits any more."""
        if self.is_inside() or forks.imports_hang:
            return
        deadline = self._clock() + seconds
        with self._working:  # a `with`, so that no interrupt leaves it locked
            try:
                while self._inbox.asked and (left := deadline - self._clock()) > 0:
                    self._transport.patience = left
                    time.sleep(min(max(self._step(), 0.0), left, 0.1))
            finally:
                self._transport.patience = None

    def leave_to_others(self) -> None:
        """Give up what could not be delivered: it stays in the journal for the next process."""
        with self._working:
            self._flusher.leave_to_others()
            if self._reporter is not None:
                self._reporter.step()
