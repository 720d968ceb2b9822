"""One line on stderr that says how far a command is: on a terminal, once it has taken a second.

It is written anew in its place, and gone before anything else is printed.  A terminal that cannot
do that gets a line now and then.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Self

_AFTER = 1.0  # seconds until it is shown first
_EVERY = 0.2  # seconds between two changes of it
_SELDOM = 5.0  # the same on a terminal where each is a new line
_WIDTH = 80  # where the terminal does not tell its own


class Progress:
    """The line, for as long as a `with` lasts; where stderr is no terminal, nothing is written.

    Args:
        tell: Returns the text at any moment, on another thread; that takes no time.
        clock: Seconds that only go forward.
    """

    def __init__(
        self, tell: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._begin = clock()
        self._in_place = os.environ.get("TERM") not in ("dumb", "unknown")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # of what follows, and of the terminal's line
        self._due = self._begin + _AFTER
        self._is_shown = False

    def __enter__(self) -> Self:
        if on_screen():
            _shown.append(self)
            self._thread = threading.Thread(target=self._run, name="logbatch-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            self.show()

    def end(self) -> None:
        """Take the line away for good."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            _shown.remove(self)
        self.clear()

    def show(self) -> None:
        """Show how far it is now, if it is time to."""
        with self._lock:
            now = self._clock()
            if now < self._due:
                return
            self._due = now + (_EVERY if self._in_place else _SELDOM)
            self._write(f"{self._tell()}, {now - self._begin:.0f} s so far")

    def clear(self) -> None:
        """Take the line away, for something else to be printed; it comes again a second later."""
        with self._lock:
            self._due = self._clock() + _AFTER
            if self._is_shown:
                self._write("")

    def _write(self, text: str) -> None:
        self._is_shown = bool(text) and self._in_place
        with contextlib.suppress(OSError):
            if self._in_place:
                text = text[: _width() - 1]
                sys.stderr.write(f"\r\x1b[K{text}" + ("\r" if text else ""))
            else:
                sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


_shown: list[Progress] = []


def clear_shown() -> None:
    """Take away whatever line there is, for something else to be printed to stderr."""
    for progress in _shown:
        progress.clear()


def on_screen() -> bool:
    """Return whether there is a terminal to show it on."""
    return sys.stderr.isatty()


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _WIDTH
    except (OSError, ValueError):
        return _WIDTH


def files(done: int, total: int) -> str:
    """Say how many files were read; nothing where that is not known."""
    return f": {min(done, total):,} of {total:,} files" if done else ""
