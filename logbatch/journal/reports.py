"""What a journal reports: each trouble once, and while no lock is held."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

OnTrouble = Callable[[str, str], object]


class Reports:
    """Troubles that were noted, and are reported as soon as no lock is held.

    Any thread may call either method, also from within itself.

    Args:
        on_trouble: Called (kind, text); it may wait for something, but must not raise.
    """

    def __init__(self, on_trouble: OnTrouble) -> None:
        self._on_trouble = on_trouble
        self._noted: set[str] = set()
        self._waiting: deque[str] = deque()

    def note(self, text: str) -> None:
        """Keep a text to be reported, unless it was noted before."""
        if text not in self._noted:
            self._noted.add(text)
            self._waiting.append(text)

    def say(self, text: str) -> None:
        """Keep a text to be reported, each time that it happens."""
        self._waiting.append(text)

    def flush(self) -> None:
        """Report what was noted.  Hold no lock: whoever is called may wait for something."""
        while self._waiting:
            self._on_trouble("journal", self._waiting.popleft())
