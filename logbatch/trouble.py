"""Say that something went wrong without ever hurting, or feeding on, the application.

Each trouble is counted, handed to `on_error`, and written to stderr at most once a minute for its
kind.  Nothing here uses `logging`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

from logbatch.options import OnError

EVERY = 60.0  # seconds between two lines of one kind on stderr


class Trouble:
    """Where the parts of a batcher report to.

    Args:
        on_error: The application's own function, or None.
        clock: Seconds that only go forward.
    """

    def __init__(
        self, on_error: OnError | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_error = on_error
        self._clock = clock
        self._lock = threading.RLock()
        self._said: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.last: str | None = None

    def say(self, kind: str, text: str, error: BaseException | None = None) -> None:
        """Report a trouble; this never raises an Exception.

        Args:
            kind: A word that groups troubles of one cause.
            text: One sentence, without secrets.
            error: The exception behind it, for `on_error`.
        """
        with self._lock:
            self.last = text
            self.counts[kind] = self.counts.get(kind, 0) + 1
            now = self._clock()
            due = now - self._said.get(kind, -EVERY) >= EVERY
            if due:
                self._said[kind] = now
        if due and sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):  # stderr may be closed or full
                print(f"logbatch: {_one_line(text)}", file=sys.stderr, flush=True)
        if self._on_error is not None:
            with contextlib.suppress(Exception):
                self._on_error(kind, text, error)


def _one_line(text: str) -> str:
    """Keep what came from elsewhere from driving the terminal: control characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def describe(error: BaseException) -> str:
    """Name an exception and its message in one line."""
    with contextlib.suppress(Exception):
        if text := str(error):
            return f"{type(error).__name__}: {text}"
    return type(error).__name__
