"""SIGTERM ends a command as Ctrl-C does: from its first moment on, and leaving nothing behind."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_TERMINATED = 143  # 128 + SIGTERM, as the shell reports it for other tools
_FOLLOW = re.compile(r"-f.*|--follow")


@contextmanager
def ending(arguments: Sequence[str]) -> Iterator[None]:
    """Have SIGTERM raise `SystemExit`, unless the program has its own way with it.

    Args:
        arguments: Of the command line: what goes on until it is told to end has done what it was
            told, and ends with 0.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    code = 0 if goes_on(arguments) else _TERMINATED

    def end(_number: int, _frame: object) -> None:
        raise SystemExit(code)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def goes_on(arguments: Sequence[str]) -> bool:
    """Return whether a command does not end by itself."""
    match arguments:
        case ["serve" | "view", *_]:
            return True
        case ["compact", *rest]:
            return "--watch" in rest
        case ["demo", *rest]:
            return "--view" in rest
        case ["tail", *rest] | ["runs", "show", *rest]:
            return any(map(_FOLLOW.fullmatch, rest))
    return False
