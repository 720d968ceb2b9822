"""What happens to all batchers at once: when the process ends, and when it forks."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import weakref
from typing import Protocol

from logbatch import forks
from logbatch.forks import call_in_child, is_importing
from logbatch.native import sleep

WHILE_CONFIGURED = 0.1  # seconds waited at the most while `logging` is configured
BEFORE_FORK = 5.0  # seconds that forks wait at the most for one import, or for Arrow
_LOOK = 0.002  # seconds between two looks whether that is at its end


class Lasting(Protocol):
    """What is closed at the end, and starts afresh in a forked child."""

    def patience(self) -> float:
        """Return how many seconds the end may wait for it."""

    def retire(self) -> None:
        """Begin to close, without waiting."""

    def close(self) -> bool:
        """Close, within `close_timeout` seconds; return whether everything was delivered."""

    def report_left(self) -> None:
        """Report what becomes of what was not."""

    def working_thread(self) -> int | None:
        """Return the thread that delivers at this moment; None where none does."""

    def after_fork(self) -> None:
        """Start afresh in a forked child."""


class Patience:
    """How long the end of the process may wait for one destination.

    Where somebody has just waited and it accepted nothing, that is not waited for once more.

    Args:
        longest: Seconds, where nobody has.
        now: The time, in seconds that only go forward.
    """

    def __init__(self, longest: float, now: float) -> None:
        self._longest = longest
        self._state = (longest, now)  # what was left, and when

    def left(self, now: float) -> float:
        """Return how many seconds may be waited."""
        left, then = self._state
        return min(left + now - then, self._longest)

    def note(self, started: float, now: float, *, in_vain: bool) -> None:
        """Note that somebody waited, and whether nothing was accepted meanwhile."""
        left = self.left(started) - (now - started) if in_vain else self._longest
        self._state = (max(left, 0.0), now)


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
        self._fork_patience = BEFORE_FORK
        self._holds_door = False
        self._ends_with_multiprocessing = False
        self._last_call: logging.Handler | None = None

    def add(self, batcher: Lasting) -> None:
        """Close it at the end, unless it goes away before."""
        self._live.add(batcher)

    def live(self) -> list[Lasting]:
        """Return those that are there now."""
        return list(self._live)

    def limit(self, seconds: float) -> float:
        """Return how much of a time to wait may be waited."""
        if _holds_up_logging():
            seconds = min(seconds, WHILE_CONFIGURED)
        return min(seconds, self._patience) if self.ending else seconds

    def spend(self, seconds: float) -> None:
        """Count time that was waited."""
        if self.ending:
            self._patience = max(self._patience - seconds, 0.0)

    def end(self) -> None:
        """Close everything; what other functions of atexit log afterwards is waited for once more.

        `logging.shutdown` runs after every other function of atexit, and closes what is made here.
        """
        self._patience = max((each.patience() for each in self.live()), default=0.0)
        self.ending = True
        self.close_all()
        self._last_call = _LastCall(self)

    def end_with_multiprocessing(self) -> None:
        """Close everything at the end of a child of multiprocessing, which runs nothing of atexit.

        To be called when the child is at work: as it begins, it forgets what was registered.
        """
        util = sys.modules.get("multiprocessing.util")
        processes = sys.modules.get("multiprocessing.process")
        if util is None or processes is None or self._ends_with_multiprocessing:
            return
        if processes.parent_process() is not None:
            self._ends_with_multiprocessing = True
            util.Finalize(None, self.close_all, exitpriority=-100)

    def close_all(self) -> None:
        """Close all: those that deliver in the background at the same time."""
        for batcher in self.live():
            batcher.retire()
        for batcher in self.live():
            if not batcher.close():
                batcher.report_left()

    def before_fork(self) -> None:
        """Wait, within limits, until no thread that delivers is where a fork would break the child.

        What is being imported when a process is forked can never be imported in the child: the
        lock of the module stays with a thread that is not there.  So do the locks of Arrow.
        """
        self._holds_door = forks.door.acquire(timeout=BEFORE_FORK)
        while forks.are_held_off() or self._is_importing():
            if self._fork_patience <= 0:
                return  # it waits for us, perhaps, who fork from within an import
            sleep(_LOOK)  # not a greenlet's: none may run within the fork
            self._fork_patience -= _LOOK
        self._fork_patience = BEFORE_FORK

    def after_fork_in_parent(self) -> None:
        """Let threads go on to what forks wait for."""
        if self._holds_door:
            forks.door.release()

    def _is_importing(self) -> bool:
        threads = [batcher.working_thread() for batcher in self.live()]
        return any(thread is not None and is_importing(thread) for thread in threads)

    def after_fork(self) -> None:
        """Have all of them start afresh, in the child."""
        self._ends_with_multiprocessing = False
        for batcher in self.live():
            batcher.after_fork()


def _holds_up_logging() -> bool:
    """Return whether this thread is inside `logging.config`, which flushes and closes old handlers.

    It holds the lock under which `logging` looks up levels.  If the flusher's thread logs, as
    urllib3 does, or imports a library that does, it waits for that lock; to wait for the flusher
    then would be in vain.  The process goes on, and with it the delivery, right after.
    """
    owned = getattr(getattr(logging, "_lock", None), "_is_owned", None)
    return owned is not None and bool(owned())


class _LastCall(logging.Handler):
    def __init__(self, lifetime: Lifetime) -> None:
        super().__init__()
        self._lifetime = lifetime

    def close(self) -> None:
        self._lifetime.close_all()
        super().close()


process = Lifetime()
atexit.register(process.end)
call_in_child(process.after_fork)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=process.before_fork, after_in_parent=process.after_fork_in_parent)
