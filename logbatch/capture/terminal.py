"""Our own terminal, while a child has one of its own: each key goes to the child's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

if sys.platform != "win32":
    import fcntl
    import termios

KEYS = 0  # the descriptor from which keys are read


@contextlib.contextmanager
def lending_keys(terminal: int) -> Iterator[bool]:
    """Have each key that is pressed reach a child's terminal, Ctrl-C too.

    Args:
        terminal: The child's.

    Yields:
        Whether there are keys to pass on: whether our own input is a terminal.
    """
    if not os.isatty(KEYS):
        yield False
        return
    before = termios.tcgetattr(KEYS)
    mode = termios.tcgetattr(KEYS)
    mode[0] &= ~(termios.ICRNL | termios.IXON)
    mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    with _following_size(terminal):
        termios.tcsetattr(KEYS, termios.TCSADRAIN, mode)
        try:
            yield True
        finally:
            termios.tcsetattr(KEYS, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _following_size(terminal: int) -> Iterator[None]:
    """Give a child's terminal the size of ours, whenever that changes."""

    def changed(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            copy_size(terminal)

    try:
        before = signal.signal(signal.SIGWINCH, changed)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before or signal.SIG_DFL)


def copy_size(terminal: int) -> None:
    """Give a terminal the size of ours.

    Raises:
        OSError: We have none.
    """
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, fcntl.ioctl(KEYS, termios.TIOCGWINSZ, bytes(8)))
