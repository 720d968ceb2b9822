"""Threads, locks and sockets of the operating system, also where gevent or eventlet replaced them.

The thread that delivers must be a real one.  As a greenlet it would wait until the application has
nothing to do, hold it up while it writes and syncs, and never run at all if it was started in a
thread whose hub nobody runs, such as one of gevent's pool.  And what it shares with greenlets must
not be theirs: a lock of eventlet's cannot be released to another thread.

So the rule is: what the delivering thread uses comes from here; what a caller waits with lets other
greenlets run.  A lock from here is held by a thread, not by a greenlet, so nothing that switches
greenlets is called while one is held.
"""

from __future__ import annotations

import _thread
import contextlib
import importlib
import sys
import time
from _queue import Empty, SimpleQueue
from collections.abc import Callable
from typing import Any

_POLL = 0.005  # seconds between two looks of a greenlet that waits for a thread


def original(module: str, name: str) -> Any:
    """Return what a module of the standard library had under a name before it was replaced."""
    if _is_eventlets(module):
        return getattr(sys.modules["eventlet.patcher"].original(module), name)
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched(module):
        return gevent.get_original(module, name)
    return getattr(importlib.import_module(module), name)


def threads_are_replaced() -> bool:
    """Return whether what the application takes for threads and locks are greenlets and theirs."""
    return _thread.start_new_thread is not start_thread


def _is_eventlets(module: str) -> bool:
    patcher = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(
        patcher.is_monkey_patched("thread" if module == "_thread" else module)
    )


RLock = original("_thread", "RLock")
start_thread = original("_thread", "start_new_thread")
get_ident: Callable[[], int] = original("_thread", "get_ident")
sleep = original("time", "sleep")


class Flag:
    """Set once, by any thread; nobody needs a lock, so a signal handler may set it or wait."""

    def __init__(self) -> None:
        self._is_set = False
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Let the one go on that waits."""
        self._is_set = True
        self._wakes.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until it is set, for so long at the most; other greenlets run meanwhile."""
        if time.sleep is sleep:
            if not self._is_set:
                with contextlib.suppress(Empty):
                    self._wakes.get(timeout=max(seconds, 0.0))
            return
        deadline = time.monotonic() + seconds
        while not self._is_set and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _POLL))
