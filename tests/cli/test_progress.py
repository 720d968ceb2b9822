"""The line that says how far a command is."""

from __future__ import annotations

import io
import sys

import pytest

from logbatch.cli.progress import Progress
from logbatch.testing import ManualClock


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Be one."""
        return True


def show(progress: Progress, clock: ManualClock) -> None:
    """Show something every eighth of a second for two seconds, and take it away."""
    for eighths in range(16):
        progress.show(f"{eighths} of 15")
        clock.advance(0.125)
    progress.clear()


def test_a_terminal_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second, five times a second at the most; nothing is left of it."""
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    show(Progress(clock := ManualClock()), clock)

    lines = screen.getvalue().split("\r\x1b[K")
    assert ["", "8 of 15\r", "10 of 15\r", "12 of 15\r", "14 of 15\r", "\r"] == lines


def test_a_quick_command_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one whose stderr is no terminal."""
    monkeypatch.setattr(sys, "stderr", screen := Screen())
    progress = Progress(ManualClock())
    progress.show("half")
    progress.clear()
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    show(Progress(clock := ManualClock()), clock)

    assert ("", "") == (screen.getvalue(), pipe.getvalue())
