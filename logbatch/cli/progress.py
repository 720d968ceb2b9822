"""One line on stderr that says how far a command is: on a terminal, once it has taken a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

_AFTER = 1.0  # seconds until it is shown first
_EVERY = 0.2  # seconds between two changes of it


class Progress:
    """The line; where stderr is no terminal, nothing is written.

    Args:
        clock: Seconds that only go forward.

    Attributes:
        is_wanted: Whether it is shown, once it is due.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.is_wanted = sys.stderr.isatty()
        self._due = clock() + _AFTER
        self._is_shown = False

    def show(self, text: str) -> None:
        """Show a text in place of the one before; what is written next begins in its place."""
        now = self._clock()
        if self.is_wanted and now >= self._due:
            self._due = now + _EVERY
            self._is_shown = True
            self._write(text)

    def clear(self) -> None:
        """Take it away."""
        if self._is_shown:
            self._is_shown = False
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text}\r")
        sys.stderr.flush()
