"""Report what goes wrong, without harm to the application and without logging through it.

Each trouble is counted, handed to `on_error`, and written to stderr at most once a minute for its
kind.  Nothing here uses `logging`; but `on_error` may, and stderr may lead back to it.  So what
goes wrong on a thread while it is reporting is only counted.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

from logbatch.native import RLock
from logbatch.options import OnError

EVERY = 60.0  # seconds between two lines of one kind on stderr
LONGEST = 1000  # characters of one trouble; what a destination answers may be a whole page


class Trouble:
    """Where the parts of a batcher report to.

    Args:
        on_error: The application's own function, or None.
        clock: Seconds that only go forward.

    Attributes:
        counts: How many troubles there were, by kind.
        last: The newest, in one sentence.
    """

    def __init__(
        self, on_error: OnError | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_error = on_error
        self._clock = clock
        # Written under `_lock` by whichever thread has trouble; the last two are read without it.
        self._lock = RLock()
        self._written: dict[str, float] = {}  # when a trouble of that kind was on stderr last
        self._reporting: set[int] = set()  # the threads that are inside `_report`
        self.counts: dict[str, int] = {}
        self.last: str | None = None

    def say(self, kind: str, text: str, error: BaseException | None = None) -> None:
        """Report a trouble; this never raises an Exception.

        Args:
            kind: A word that groups troubles of one cause.
            text: One sentence, without secrets.  Control characters in it are escaped.
            error: The exception behind it, for `on_error`.
        """
        text = _one_line(text)
        me = threading.get_ident()
        with self._lock:
            self.last = text
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if me in self._reporting:
                return
            self._reporting.add(me)
        try:
            self._report(kind, text, error)
        finally:
            self._reporting.discard(me)

    def _report(self, kind: str, text: str, error: BaseException | None) -> None:
        if self._is_due(kind) and sys.stderr is not None:
            # stderr may be closed, full, busy below us (in a signal handler), or anybody's object.
            with contextlib.suppress(Exception):
                print(f"logbatch: {text}", file=sys.stderr, flush=True)
        if self._on_error is not None:
            with contextlib.suppress(Exception):
                self._on_error(kind, text, error)

    def _is_due(self, kind: str) -> bool:
        with self._lock:
            now = self._clock()
            due = now - self._written.get(kind, float("-inf")) >= EVERY
            if due:
                self._written[kind] = now
            return due


def _one_line(text: str) -> str:
    """Escape what could control the terminal, and cut what would fill it."""
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def describe(error: BaseException) -> str:
    """Return the class of an exception and its message, in one line."""
    name, text = type(error).__name__, ""
    with contextlib.suppress(Exception):
        text = _one_line(str(error))
    return f"{name}: {text}" if text else name
