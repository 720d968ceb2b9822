"""The commands on a terminal of their own."""

from __future__ import annotations

import os
import re
import sys
import termios
from collections.abc import Iterator

import warm

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
WIPED = re.compile(r"(\r\x1b\[K[^\r\n]*\r?)*\r\x1b\[K")


def environment(**settings: str) -> dict[str, str]:
    """The environment of the tests, without what says how a terminal or a stream is."""
    told = ("COLUMNS", "LINES", "PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8")
    return {**{name: os.environ[name] for name in os.environ if name not in told}, **settings}


def command(*arguments: str) -> list[str]:
    """The command line that runs `logbatch` with the Python of the tests."""
    return [sys.executable, "-m", "logbatch", *arguments]


def on_terminal(*arguments: str, size: tuple[int, int] = (24, 80), **settings: str) -> str:
    """Run `logbatch` on a terminal of its own, where it succeeds; return what it leaves there.

    On a slow machine it shows its progress meanwhile, which it wipes away.
    """
    ours, its = os.openpty()
    termios.tcsetwinsize(its, size)
    own = environment(**{"TERM": "xterm-256color", **settings})
    child = warm.Popen(command(*arguments), stdin=its, stdout=its, stderr=its, env=own)
    os.close(its)
    written = b"".join(read_all(ours))
    os.close(ours)
    assert child.wait() == 0, written
    return WIPED.sub("", written.decode().replace("\r\n", "\n"))


def read_all(terminal: int) -> Iterator[bytes]:
    """Read until nobody holds the other side any more."""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux tells the end so
            return
        if not data:
            return
        yield data
