"""End a search while it goes on: what takes long asks now and then whether its result is wanted.

A search goes through many hands, most of which have no use for who waits for it.  So what may end
it is kept beside the thread that searches, for as long as that looks for one row.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Protocol, TypeVar

_T = TypeVar("_T")

_LOOK = 0.01  # seconds between two looks while something else works


class Stop(Protocol):
    """What ends `follow`: a `threading.Event`, or what behaves like one."""

    def wait(self, timeout: float) -> bool:
        """Wait at most so many seconds, between two looks; return whether to end."""

    def is_set(self) -> bool:
        """Return at once whether to end; asked while something is looked for."""


class Stopped(Exception):
    """Nobody wants the result any more."""


class _Current(threading.local):
    stop: Stop | None = None


_current = _Current()


def until(rows: Iterator[_T], stop: Stop) -> Iterator[_T]:
    """Yield rows, and end when `stop` says so, also while the next one is being looked for."""
    while True:
        before, _current.stop = _current.stop, stop
        try:
            row = next(rows)
        except (StopIteration, Stopped):
            return
        finally:
            _current.stop = before
        yield row


@contextmanager
def stopping(stop: Stop) -> Iterator[None]:
    """Have what this thread looks for in a `with` end when `stop` says so, by `Stopped`."""
    before, _current.stop = _current.stop, stop
    try:
        yield
    finally:
        _current.stop = before


def check() -> None:
    """Go on, unless the result is not wanted any more.

    Raises:
        Stopped: It is not.
    """
    stop = _current.stop
    if stop is not None and stop.is_set():
        raise Stopped


def result_of(work: Future[_T], timeout: float | None) -> _T:
    """Wait for the result of another thread, and look meanwhile whether it is still wanted.

    Raises:
        Stopped: It is not.
        TimeoutError: The time was up.
    """
    end = math.inf if timeout is None else time.monotonic() + timeout
    while _current.stop is not None and wait([work], _LOOK).not_done:
        check()
        if time.monotonic() >= end:
            raise TimeoutError
    return work.result(timeout)
